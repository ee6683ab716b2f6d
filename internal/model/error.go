package model

import (
	"errors"
	"fmt"
)

// Code says what kind of refusal an Error is, so that the API can choose an
// HTTP status and a script can tell "exists already" from "not there".
type Code string

// The codes an Error can have.
const (
	Invalid     Code = "invalid"     // the request itself is malformed
	NotFound    Code = "not_found"   // it names something that does not exist
	Conflict    Code = "conflict"    // it conflicts with something that exists
	Denied      Code = "denied"      // the caller may not do this
	Unavailable Code = "unavailable" // the kernel or host lacks what is needed
	Exhausted   Code = "exhausted"   // no address, port or subnet is left
	Internal    Code = "internal"    // hostnat's own fault
)

// Error is a refusal that a person can act on: Message names the thing in
// conflict, Hint (optional) says what to do about it.
type Error struct {
	Code    Code
	Message string
	Hint    string
}

// Error returns the message and the hint on one line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// Errorf makes an Error with the given code and no hint.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of e that says what to do.
func (e *Error) WithHint(format string, args ...any) *Error {
	return &Error{Code: e.Code, Message: e.Message, Hint: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the first Error in err's chain, or Internal.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
