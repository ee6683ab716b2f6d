package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Users who are not trusted read one thing at a time, two of them together; root, and who asks for
// the status, wait for nobody.
func TestOthersTakeTurns(t *testing.T) {
	t.Parallel()
	o := newOthers()
	request := func(ctx context.Context, uid uint32, path string) *http.Request {
		return httptest.NewRequestWithContext(context.WithValue(ctx, peerKey{}, peer{uid: uid, groups: []uint32{uid}}), http.MethodGet, path, nil)
	}
	in := func(uid uint32, path string) func() {
		t.Helper()
		done, err := o.read(request(t.Context(), uid, path))
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	waits := func(uid uint32) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // who has no place at once waits, and sees that
		for range 20 {
			done, err := o.read(request(ctx, uid, "/v1/sessions"))
			if errors.Is(err, context.Canceled) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			done() // both were possible, and chance has chosen
		}
		t.Errorf("user %d does not wait", uid)
	}
	first := in(1000, "/v1/sessions")
	waits(1000)
	second := in(1001, "/v1/ports")
	waits(1002)
	in(0, "/v1/sessions")()
	in(1002, "/v1/status")()
	next := make(chan func())
	go func() {
		done, err := o.read(request(t.Context(), 1000, "/v1/sessions"))
		if err != nil {
			t.Error(err)
			done = func() {}
		}
		next <- done
	}()
	first()
	third := <-next
	waits(1002)
	third()
	second()
	in(1002, "/v1/sessions")()
	for _, c := range append(o.users[:], o.atOnce) {
		if len(c) != 0 {
			t.Error("a place is not given back")
		}
	}
}
