package wire

import (
	"context"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Eventually waits until cond holds.
func Eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	Within(t, Patience, what, cond)
}

func Within(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := lab.WaitFor(ctx, cond); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
