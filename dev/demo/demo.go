// Package demo shows what hostnat does, in network namespaces of its own: it
// builds a server outside, a host and two containers, runs the daemon in the
// host, types the commands that a user would type, and checks each result.
//
// One file holds one chapter. A chapter prints what it does and ends with
// promises: what must be true. The first one that is not ends the demo.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// chapter is one part of the demo.
type chapter struct {
	title string
	play  func(context.Context, *stage) error
}

var chapters = []chapter{
	{"Two networks, a container on each", buildNetworks},
	{"From inside to outside", goOutside},
	{"A published port", publishPort},
	{"What the NAT knows", listTables},
	{"kill -9 of the daemon while data flows", killDaemon},
	{"Networks do not reach each other, and no endpoint can use the address of another", keepApart},
	{"One connection as events", watchEvents},
	{"Nothing is left", takeDown},
}

// Run plays the demo on stdout, with colour and check marks if styled, with
// the program self as daemon and as client. It returns an error if anything is
// not as promised, and removes what it made in any case, when ctx ends too.
// The caller must be root.
func Run(ctx context.Context, stdout io.Writer, styled bool, self string) error {
	start := time.Now()
	before, err := lookAround()
	if err != nil {
		return err
	}
	p := &page{w: stdout, styled: styled}
	err = stageAndPlay(ctx, p, self)
	if ctx.Err() != nil {
		return errors.Join(errors.New("interrupted; what the demo made is removed"), cleanupError(err))
	}
	if err != nil {
		return err
	}
	if err := before.unchanged(p); err != nil {
		return err
	}
	p.end("All of the %d promises were kept, in %.1f s.", p.kept, time.Since(start).Seconds())
	return p.err
}

// stageAndPlay leaves nothing behind, whatever comes in between.
func stageAndPlay(ctx context.Context, p *page, self string) error {
	p.intro()
	s, err := newStage(p, self)
	if err != nil {
		return err
	}
	err = s.play(ctx)
	if closeErr := s.close(); closeErr != nil {
		return errors.Join(err, leftoverError{closeErr})
	}
	if err != nil {
		return err
	}
	return s.gone()
}

// play plays the chapters until one fails.
func (s *stage) play(ctx context.Context) error {
	for i, c := range chapters {
		s.heading(i+1, c.title)
		if err := c.within(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
		if err := errors.Join(ctx.Err(), s.err); err != nil {
			return err
		}
	}
	return nil
}

// within plays a chapter, which may wait for an answer that never comes.
func (c chapter) within(ctx context.Context, s *stage) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("a minute is over"))
	defer cancel()
	return c.play(ctx, s)
}

// leftoverError is a failure to clean up, which is told even when the demo was
// interrupted.
type leftoverError struct{ err error }

func (e leftoverError) Error() string { return "clean-up: " + e.err.Error() }

func cleanupError(err error) error {
	if leftover, ok := errors.AsType[leftoverError](err); ok {
		return leftover
	}
	return nil
}
