package server

import (
	"bufio"
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// streamBuffer is how much of a list is sent at a time, in bytes. As long as
// nothing was sent, an error has an answer of its own.
const streamBuffer = 64 << 10

// streamed makes a route that reads an array which may be long: it is sent as it
// is read, and never in memory as a whole.
func streamed[From, To any](path string, read func(Service, context.Context, model.Filter) (iter.Seq2[From, error], error), convert func(From) To) route {
	return route{method: http.MethodGet, path: path, out: []To{},
		handle: func(s *Server, w http.ResponseWriter, r *http.Request) error {
			f, err := filter(r)
			if err != nil {
				return err
			}
			done, err := s.others.read(r)
			if err != nil {
				return err
			}
			defer done()
			rows, err := read(s.service, r.Context(), f)
			if err != nil {
				return err
			}
			return sendArray(w, rows, convert)
		}}
}

// sendArray writes a JSON array, a row a line. An error in the middle ends the
// connection: the client must not take what there is for all.
func sendArray[From, To any](w http.ResponseWriter, rows iter.Seq2[From, error], convert func(From) To) error {
	out := &arrayWriter{w: w, control: http.NewResponseController(w)}
	buffer := bufio.NewWriterSize(out, streamBuffer)
	lines, separator := json.NewEncoder(buffer), "["
	for row, err := range rows {
		if err == nil {
			_, _ = buffer.WriteString(separator) // the buffer remembers an error
			err = lines.Encode(convert(row))
		}
		switch {
		case err != nil && !out.begun:
			return err
		case err != nil:
			panic(http.ErrAbortHandler)
		}
		separator = ","
	}
	if separator == "[" {
		_, _ = buffer.WriteString(separator)
	}
	_, _ = buffer.WriteString("]\n")
	if err := buffer.Flush(); err != nil && !out.begun {
		return err
	}
	return nil
}

// arrayWriter gives the client time for each part, and sends the header with the
// first.
type arrayWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (a *arrayWriter) Write(part []byte) (int, error) {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "application/json")
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(answerTime))
	return a.w.Write(part)
}
