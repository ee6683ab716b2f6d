package model

import (
	"errors"
	"strings"
	"testing"
)

// ports reads "0.0.0.0:80" or "172.16.1.2:80-89".
func ports(text string) AddrPorts {
	var a AddrPorts
	if err := a.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return a
}

// refused checks that err is one clear line that mentions what it should.
func refused(t *testing.T, err error, code Code, mentions ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Code != code {
		t.Errorf("code %s, want %s: %v", e.Code, code, err)
	}
	if e.Hint == "" || strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 800 {
		t.Errorf("not one clear line with a hint: %q", err)
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			t.Errorf("%q does not mention %q", err, m)
		}
	}
}
