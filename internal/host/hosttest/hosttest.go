// Package hosttest is what tests of package host and of those below it share.
package hosttest

import (
	"errors"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// New returns a namespace that stands for a host.
func New(t *testing.T) *lab.Namespace {
	t.Helper()
	lab.RequireRoot(t)
	n, err := lab.NewNamespace("hosttest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// On runs fn in the namespace and ends the test if it fails.
func On(t *testing.T, n *lab.Namespace, fn func() error) {
	t.Helper()
	if err := n.Do(fn); err != nil {
		t.Fatal(err)
	}
}

// Must ends the test at an error.
func Must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// WantRefusal checks the kind of an error and that it names the thing.
func WantRefusal(t *testing.T, err error, code model.Code, naming string) {
	t.Helper()
	if err == nil || model.CodeOf(err) != code || !strings.Contains(err.Error(), naming) {
		t.Errorf("got %v (%s), want %s naming %q", err, model.CodeOf(err), code, naming)
	}
}
