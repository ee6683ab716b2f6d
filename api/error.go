package api

import (
	"errors"
	"fmt"
)

// Code says what kind of refusal an Error is, so that a program can tell "exists
// already" from "not there".
type Code string

// The codes of refusals.
const (
	Invalid     Code = "invalid"     // the request itself is malformed
	NotFound    Code = "not_found"   // it names something that does not exist
	Conflict    Code = "conflict"    // it contradicts something that exists
	Denied      Code = "denied"      // the caller may not do this
	Unavailable Code = "unavailable" // the kernel or the host lacks what is needed, or no daemon runs
	Exhausted   Code = "exhausted"   // no address, port or subnet is left
	Internal    Code = "internal"    // hostnat's own fault
)

// Error is a refusal that a person can act on: Message names the thing in
// conflict, Hint (it may be empty) says what to do about it.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error returns the message and the hint on one line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// CodeOf returns the code of the first Error in err's chain; Internal if there
// is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// ErrorBody is the body of every answer that is not a success.
type ErrorBody struct {
	Error Error `json:"error"`
}

func refuse(code Code, hint, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}
