// Package lograte keeps a fault that repeats from filling the log: warnings and
// errors of one cause are written at most once a minute.
package lograte

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"
)

const (
	interval = time.Minute
	variants = 10   // records of one message that differ in their attributes, in an interval
	most     = 1000 // causes that are remembered
)

// Handler passes records on, and leaves out warnings and errors that repeat. The
// next one that is passed on says how many were left out.
type Handler struct {
	next  slog.Handler
	bound string // attributes and groups that every record has
	seen  *seen
}

// New returns a Handler in front of another one.
func New(next slog.Handler) *Handler {
	return &Handler{next: next, seen: &seen{causes: make(map[string]*cause), messages: make(map[string]*window)}}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle implements slog.Handler. Time is that of the record.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.next.Handle(ctx, r)
	}
	var attributes strings.Builder
	attributes.WriteString(h.bound)
	r.Attrs(func(a slog.Attr) bool {
		attributes.WriteString(a.String())
		attributes.WriteByte('\n')
		return true
	})
	pass, left := h.seen.pass(r.Message, attributes.String(), r.Time)
	if !pass {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("alsoBefore", left))
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	bound := h.bound
	for _, a := range attrs {
		bound += a.String() + "\n"
	}
	return &Handler{next: h.next.WithAttrs(attrs), bound: bound, seen: h.seen}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name), bound: h.bound + name + "\n", seen: h.seen}
}

// seen is what was written lately. A cause is a message with its attributes. Of a
// message that comes with ever other attributes only some are written.
type seen struct {
	mu       sync.Mutex
	causes   map[string]*cause
	messages map[string]*window
}

type cause struct {
	written time.Time
	left    int // out since
}

type window struct {
	begin   time.Time
	written int // since
}

func (s *seen) pass(message, attributes string, now time.Time) (pass bool, left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	key := message + "\n" + attributes
	c, known := s.causes[key]
	if !known {
		c = &cause{}
		s.causes[key] = c
	}
	w := s.messages[message]
	if w == nil || now.Sub(w.begin) >= interval {
		w = &window{begin: now}
		s.messages[message] = w
	}
	if known && now.Sub(c.written) < interval || w.written >= variants {
		c.left++
		return false, 0
	}
	left = c.left
	*c = cause{written: now}
	w.written++
	return true, left
}

// forget drops what has not come for long, when there is much, and all if that is
// not enough.
func (s *seen) forget(now time.Time) {
	if len(s.causes) < most && len(s.messages) < most {
		return
	}
	maps.DeleteFunc(s.causes, func(_ string, c *cause) bool { return now.Sub(c.written) >= interval })
	maps.DeleteFunc(s.messages, func(_ string, w *window) bool { return now.Sub(w.begin) >= interval })
	if len(s.causes) >= most || len(s.messages) >= most {
		clear(s.causes)
		clear(s.messages)
	}
}
