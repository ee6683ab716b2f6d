package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/model"
)

// maxBody is far more than any request needs but that with configuration files, in bytes.
const maxBody = 1 << 20

// readJSON reads a request's body into v: exactly one JSON object, in which each
// key is known and there once, of at most so many bytes.
func readJSON(w http.ResponseWriter, r *http.Request, most int64, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err == nil {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // else the rest of it is waited for
		err = checkKeys(body, keysOf(v))
	}
	if err == nil {
		err = decodeOne(body, v)
	}
	if err != nil {
		return model.Errorf(model.Invalid, "the request's body %s", problemOf(err))
	}
	return nil
}

func decodeOne(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bodyError("goes on after its JSON object")
	}
	return nil
}

// bodyError is what is wrong with a body, as the rest of a sentence.
type bodyError string

func (e bodyError) Error() string { return string(e) }

// problemOf says what is wrong with a body, as the rest of a sentence.
func problemOf(err error) string {
	var tooLarge *http.MaxBytesError
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return "is empty; a JSON object is needed"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "ends in the middle of its JSON"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("did not come within %v", requestTime)
	case errors.As(err, &tooLarge):
		return fmt.Sprintf("is larger than %d bytes", tooLarge.Limit)
	case errors.As(err, &syntax):
		return fmt.Sprintf("is no JSON at byte %d: %v", syntax.Offset, syntax)
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return fmt.Sprintf("has a %s in %q, where a %s belongs", mismatch.Value, mismatch.Field, mismatch.Type.Kind())
	case errors.As(err, &mismatch):
		return fmt.Sprintf("is a JSON %s; an object is needed", mismatch.Value)
	}
	return err.Error()
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // fails only if the client went away
	return nil
}

// statuses is the HTTP status of each kind of refusal.
var statuses = map[model.Code]int{
	model.Invalid:     http.StatusBadRequest,
	model.NotFound:    http.StatusNotFound,
	model.Conflict:    http.StatusConflict,
	model.Exhausted:   http.StatusConflict,
	model.Denied:      http.StatusForbidden,
	model.Unavailable: http.StatusServiceUnavailable,
	model.Internal:    http.StatusInternalServerError,
}

// writeError answers with the refusal that err is or wraps.
func writeError(w http.ResponseWriter, err error) {
	e := refusal(err)
	status, ok := statuses[e.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	_ = writeJSON(w, status, api.ErrorBody{Error: api.Error{Code: api.Code(e.Code), Message: e.Message, Hint: e.Hint}})
}

// refusal makes a *model.Error of any error. One that was wrapped on its way
// keeps its code, and its text says how it was come by.
func refusal(err error) *model.Error {
	if e, ok := err.(*model.Error); ok {
		return e
	}
	return &model.Error{Code: model.CodeOf(err), Message: err.Error()}
}
