package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/event"
)

// watchedPort is where the watched connection comes from, inside.
const watchedPort = 40000

// watchEvents is chapter 7.
func watchEvents(ctx context.Context, s *stage) error {
	s.say("c1 connects, asks, and hangs up. The events have Windows NAT's numbers and wording, here " +
		"shortened after the first one. Nothing is sent while nobody watches.")
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	lines, err := s.startWatch(ctx)
	if err != nil {
		return err
	}
	from := netip.AddrPortFrom(s.address[s.c1], watchedPort).String()
	if err := s.connectFrom(ctx, from); err != nil {
		return err
	}
	s.command("hostnat event watch -o winnat | grep " + from)
	ids, err := s.showEvents(ctx, lines, from)
	if err != nil {
		return err
	}
	return s.promise(ids[event.BindingCreate] == 1 && ids[event.SessionCreate] == 1,
		"one binding and one session created, %d changes of the TCP state, all seen as they happened", ids[event.SessionTCPStateUpdate])
}

// startWatch runs `hostnat event watch` until ctx ends, and returns its lines.
func (s *stage) startWatch(ctx context.Context) (<-chan string, error) {
	cmd := s.prepare(ctx, "event", "watch", "-o", "winnat")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := make(chan string, 256)
	go func() {
		readLines(ctx, out, lines)
		_ = cmd.Wait() // killed when ctx ended
	}()
	return lines, s.awaitWatch(ctx, lines)
}

func readLines(ctx context.Context, r io.Reader, lines chan<- string) {
	defer close(lines)
	for scanner := bufio.NewScanner(r); scanner.Scan(); {
		select {
		case lines <- scanner.Text():
		case <-ctx.Done():
			return
		}
	}
}

// awaitWatch makes c2 talk until the watcher prints something: then it listens.
func (s *stage) awaitWatch(ctx context.Context, lines <-chan string) error {
	for {
		if _, err := lab.Ask(ctx, s.c2, "udp", echoAddr); err != nil {
			return err
		}
		select {
		case _, ok := <-lines:
			if !ok {
				return fmt.Errorf("hostnat event watch ended")
			}
			return nil
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no event came: %w", ctx.Err())
		}
	}
}

func (s *stage) connectFrom(ctx context.Context, from string) error {
	conn, err := s.c1.DialFrom(ctx, "tcp", from, echoAddr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = lab.AskConn(ctx, conn)
	return err
}

// showEvents prints the watched connection's events until both sides have hung
// up, and counts them by number.
func (s *stage) showEvents(ctx context.Context, lines <-chan string, from string) (map[event.ID]int, error) {
	ids := map[event.ID]int{}
	for {
		select {
		case l, ok := <-lines:
			if !ok {
				return nil, fmt.Errorf("hostnat event watch ended too early")
			}
			if !strings.Contains(l, " "+from+" ") {
				continue
			}
			ids[eventID(l)]++
			if len(ids) > 1 { // the first one is shown in full
				l = shorten(l)
			}
			s.output(l)
			if strings.HasSuffix(l, "Both FIN received.") {
				return ids, nil
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("the connection's last event did not come: %w", ctx.Err())
		}
	}
}

// shorten leaves of an event its time, number and name, and what is new in it.
func shorten(line string) string {
	name := strings.LastIndex(line, "  ")
	for _, news := range []string{"session count ", "TCP state "} {
		if at := strings.LastIndex(line, news); at > name && name > 0 {
			return line[:name+2] + "... " + line[at:]
		}
	}
	return line
}

// eventID reads the number in a line of `hostnat event watch`.
func eventID(line string) event.ID {
	var at, name string
	var id event.ID
	if _, err := fmt.Sscan(line, &at, &id, &name); err != nil {
		return 0
	}
	return id
}
