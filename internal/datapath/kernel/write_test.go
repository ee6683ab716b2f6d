package kernel

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// A table that is busy is written a moment later; whatever else is wrong is told at
// once, and so is a table that stays busy.
func TestBusyTablesAreWrittenAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer error
		times  int // then it works
		tries  int
		code   model.Code // of the error, if it is one of ours
		err    error
	}{
		{answer: unix.EBUSY, times: 0, tries: 1},
		{answer: unix.EBUSY, times: 3, tries: 4},
		{answer: unix.ENOMEM, times: 3, tries: 4},
		{answer: unix.EAGAIN, times: 3, tries: 4},
		{answer: unix.EDEADLK, times: 3, tries: 4},
		{answer: unix.ETIMEDOUT, times: 3, tries: 4},
		{answer: unix.EBUSY, times: 1 << 20, tries: writeTries, code: model.Unavailable},
		{answer: unix.E2BIG, times: 1 << 20, tries: 1, err: unix.E2BIG},
		{answer: ebpf.ErrKeyExist, times: 1 << 20, tries: 1, err: ebpf.ErrKeyExist},
	} {
		tries := 0
		err := again(func() error {
			if tries++; tries > test.times {
				return nil
			}
			return fmt.Errorf("update: %w", test.answer)
		}, 0)
		switch {
		case tries != test.tries:
			t.Errorf("%v, %d times: written %d times, want %d", test.answer, test.times, tries, test.tries)
		case test.code != "" && model.CodeOf(err) != test.code, test.err != nil && !errors.Is(err, test.err):
			t.Errorf("%v, %d times: %v", test.answer, test.times, err)
		case test.code == "" && test.err == nil && err != nil:
			t.Errorf("%v, %d times: %v", test.answer, test.times, err)
		}
	}
}
