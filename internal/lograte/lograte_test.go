package lograte

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// log is a handler whose records are of chosen moments.
type log struct {
	t    *testing.T
	h    slog.Handler
	text bytes.Buffer
}

func newLog(t *testing.T) *log {
	l := &log{t: t}
	l.h = New(slog.NewTextHandler(&l.text, nil))
	return l
}

func (l *log) at(second int, level slog.Level, message string, args ...any) {
	l.t.Helper()
	r := slog.NewRecord(time.Unix(int64(1000+second), 0), level, message, 0)
	r.Add(args...)
	if err := l.h.Handle(context.Background(), r); err != nil {
		l.t.Fatal(err)
	}
}

func (l *log) lines(part string) int { return strings.Count(l.text.String(), part) }

func TestOneCauseOnceAMinute(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	for second := range 150 {
		l.at(second, slog.LevelError, "the kernel is not as configured", "error", "no such file")
		l.at(second, slog.LevelInfo, "changed", "what", "network")
	}
	l.at(30, slog.LevelError, "the kernel is not as configured", "error", "another one")
	if n := l.lines("no such file"); n != 3 { // at 0, 60 and 120
		t.Errorf("%d lines of one cause:\n%s", n, l.text.String())
	}
	if n := l.lines("alsoBefore=59"); n != 2 {
		t.Errorf("%d lines say how many were left out", n)
	}
	if n := l.lines("another one"); n != 1 {
		t.Errorf("%d lines of another cause", n)
	}
	if n := l.lines("msg=changed"); n != 150 {
		t.Errorf("%d of 150 lines that are no fault", n)
	}
}

// A message whose attributes are ever others does not fill the log either, nor memory.
func TestManyAttributes(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	for i := range 5000 {
		l.at(i/1000, slog.LevelWarn, "refused", "port", i)
	}
	if n := l.lines("refused"); n > variants*6 {
		t.Errorf("%d lines", n)
	}
	for i := range 5000 {
		l.at(10, slog.LevelWarn, fmt.Sprint("message ", i))
	}
	if h := l.h.(*Handler); len(h.seen.causes) > most || len(h.seen.messages) > most {
		t.Errorf("%d causes, %d messages", len(h.seen.causes), len(h.seen.messages))
	}
}

func TestAttributesOfTheLogger(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	one, two := slog.New(l.h).With("network", "a"), slog.New(l.h).With("network", "b")
	for range 5 {
		one.Warn("no room")
		two.Warn("no room")
		one.WithGroup("g").Warn("no room")
	}
	if n := l.lines("no room"); n != 3 {
		t.Errorf("%d lines:\n%s", n, l.text.String())
	}
}
