package server

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// breaking is a Service whose table cannot be read to its end.
type breaking struct {
	*servertest.Service
	after int // rows
}

var errBroken = errors.New("the table broke")

func (b breaking) Sessions(context.Context, model.Filter) (iter.Seq2[model.Session, error], error) {
	return func(yield func(model.Session, error) bool) {
		for range b.after {
			if !yield(model.Session{Endpoint: "c1"}, nil) {
				return
			}
		}
		yield(model.Session{}, errBroken)
	}, nil
}

// A list that breaks off is not taken for the whole, whether its beginning was sent
// or not.
func TestListThatBreaksOff(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{0, 3, 100_000} {
		socket, _ := serve(t, breaking{servertest.Example(), rows})
		client := api.NewClient(socket)
		_, err := client.Sessions(t.Context(), api.Filter{})
		if err == nil || rows < 1000 && !strings.Contains(err.Error(), errBroken.Error()) {
			t.Errorf("after %d rows: %v", rows, err)
		}
		count := 0
		for _, e := range client.EachSession(t.Context(), api.Filter{}) {
			if err = e; e == nil {
				count++
			}
		}
		if err == nil || rows < 1000 && count != 0 || rows >= 1000 && (count == 0 || count > rows) {
			t.Errorf("after %d rows: %d came, then %v", rows, count, err)
		}
	}
}

// Who has seen enough stops the reading.
func TestListThatIsLeft(t *testing.T) {
	t.Parallel()
	socket, _ := serve(t, breaking{servertest.Example(), 1_000_000})
	for s, err := range api.NewClient(socket).EachSession(t.Context(), api.Filter{}) {
		if err != nil || s.Endpoint != "c1" {
			t.Errorf("got %+v, %v", s, err)
		}
		break
	}
}
