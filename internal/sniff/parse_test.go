package sniff

import (
	"errors"
	"testing"
)

// FuzzParse shows that what was decided by a message's beginning is not undone
// by its rest: the server that was chosen stays the right one, however the
// bytes come in.
func FuzzParse(f *testing.F) {
	record := compose(serverNames("0 b.example"))
	f.Add(record, 20)
	f.Add(inRecords(record, 9), 70)
	f.Add([]byte("GET / HTTP/1.1\r\nHost: b.example\r\n\r\nrest"), 40)
	f.Add([]byte("SSH-2.0-x\r\n"), 3)
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		if n < 0 || n > len(in) {
			return
		}
		early, earlyErr := Parse(in[:n])
		if errors.Is(earlyErr, ErrIncomplete) {
			return
		}
		late, lateErr := Parse(in)
		if early != late || !errors.Is(lateErr, earlyErr) {
			t.Errorf("after %d bytes %+v, %v; after %d %+v, %v", n, early, earlyErr, len(in), late, lateErr)
		}
	})
}
