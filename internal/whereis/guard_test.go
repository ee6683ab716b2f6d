package whereis

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/host/arp"
	"github.com/hostnat/hostnat/internal/model"
)

const (
	oldPort, newPort = 7, 8
	machine          = model.MAC("02:00:00:00:00:aa")
	rival            = model.MAC("02:00:00:00:00:bb")
)

var held = netip.MustParseAddr("172.16.1.20")

// world is a switch with one row of who is where, and the machine that it is about.
type world struct {
	heard    time.Time // when the row's holder was last heard of
	known    bool      // the row is there
	answers  bool      // the holder is still at its port
	delay    time.Duration
	unplug   bool
	places   []datapath.Place
	refusals []datapath.Refusal

	asked    []netip.Addr
	conceded []datapath.Claim
	claims   chan datapath.Claim
	swept    int
}

func (w *world) WatchClaims(ctx context.Context, sink func(datapath.Claim)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-w.claims:
			sink(c)
		}
	}
}

func (w *world) LastSeen(datapath.Claim) (time.Duration, bool) { return time.Since(w.heard), w.known }

func (w *world) Concede(c datapath.Claim) (bool, error) {
	w.conceded = append(w.conceded, c)
	w.known = false
	return true, nil
}

func (w *world) Places() ([]datapath.Place, error)     { return w.places, nil }
func (w *world) Refusals() ([]datapath.Refusal, error) { return w.refusals, nil }
func (w *world) ForgetSilent(_ time.Duration, there func(uint32) bool) error {
	w.swept++
	there(oldPort)
	return nil
}

func (w *world) At(index uint32) (arp.SwitchPort, bool) {
	return arp.SwitchPort{Index: int(index), Name: "tap" + string(rune('0'+index)), Bridge: "hn-web"}, !(w.unplug && index == oldPort)
}

func (w *world) Ask(_ context.Context, port arp.SwitchPort, _ model.MAC, a netip.Addr) error {
	w.asked = append(w.asked, a)
	if w.answers && port.Index == oldPort {
		time.AfterFunc(w.delay, func() { w.heard = time.Now() })
	}
	return nil
}

func guardOf(w *world, announce func(event.Event)) *Guard {
	return New(w, w, announce, slog.New(slog.DiscardHandler))
}

// Who holds a MAC or an address gives it up only if its port is gone, or if it does
// not answer there. It never takes a second: a machine that moves is where it is.
func TestDecide(t *testing.T) {
	t.Parallel()
	address := datapath.Claim{Port: newPort, HolderPort: oldPort, Address: held, MAC: rival, HolderMAC: machine}
	mac := datapath.Claim{Port: newPort, HolderPort: oldPort, MAC: machine, HolderMAC: machine}
	has := []datapath.Place{{Port: oldPort, MAC: machine, Address: held}, {Port: newPort, MAC: rival, Address: held.Next()}}
	was := []datapath.Place{{Port: newPort + 1, MAC: machine, Address: held}}
	foreign := []datapath.Place{{Port: oldPort, Compartment: 9, MAC: machine, Address: held}}
	for _, tt := range []struct {
		name  string
		claim datapath.Claim
		world world
		age   time.Duration
		gone  bool
		asks  int
	}{
		{"its port is gone", mac, world{known: true, unplug: true}, 0, true, 0},
		{"it has just been heard of, and answers", mac, world{known: true, places: has, answers: true, delay: time.Millisecond}, 10 * time.Millisecond, false, 1},
		{"it has just been heard of, and has moved", mac, world{known: true, places: has}, 10 * time.Millisecond, true, 2},
		{"it has said nothing since it came to its port", mac, world{known: true, places: was}, time.Second, true, 2},
		{"it has said nothing since it came to its port, and answers", mac, world{known: true, places: was, answers: true, delay: time.Millisecond}, time.Second, false, 1},
		{"another compartment's machine of that MAC", mac, world{known: true, places: foreign}, 2 * time.Second, false, 0},
		{"it answers", mac, world{known: true, places: has, answers: true, delay: 5 * time.Millisecond}, time.Second, false, 1},
		{"it answers the second question", address, world{known: true, answers: true, delay: 250 * time.Millisecond}, time.Second, false, 2},
		{"it has moved", mac, world{known: true, places: has}, time.Second, true, 2},
		{"another one answers in its place", address, world{known: true}, time.Second, true, 2},
		{"a MAC without an address, silent for a moment", mac, world{known: true}, 2 * time.Second, false, 0},
		{"a MAC without an address, silent for long", mac, world{known: true}, 6 * time.Second, true, 0},
		{"the row is gone already", mac, world{places: has}, time.Second, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := tt.world
				w.heard = time.Now().Add(-tt.age)
				begin := time.Now()
				if err := guardOf(&w, nil).decide(t.Context(), tt.claim); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took >= time.Second {
					t.Errorf("it took %v", took)
				}
				if gone := len(w.conceded) > 0; gone != tt.gone {
					t.Errorf("given up: %v, want %v", gone, tt.gone)
				}
				if len(w.asked) != tt.asks {
					t.Errorf("asked %d times, want %d", len(w.asked), tt.asks)
				}
				time.Sleep(time.Second) // answers that come too late
			})
		})
	}
}

// A flood of claims is looked into a few at a time, and none waits for the others.
func TestRunLooksIntoFewAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{known: true, heard: time.Now().Add(-time.Minute), claims: make(chan datapath.Claim)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		g := guardOf(w, func(event.Event) {})
		go func() { ended <- g.Run(ctx) }()
		for range 10 * parallel {
			w.claims <- datapath.Claim{HolderPort: oldPort, Address: held, HolderMAC: machine}
		}
		if busy := len(g.slots); busy > parallel {
			t.Errorf("%d are looked into at once", busy)
		}
		synctest.Wait()
		time.Sleep(2 * sweep)
		stop()
		if err := <-ended; err != context.Canceled {
			t.Errorf("it ended with %v", err)
		}
		if w.swept == 0 {
			t.Error("nobody was forgotten")
		}
	})
}

// What is refused is told once for each new refusal, with who tried what.
func TestTellRefusals(t *testing.T) {
	t.Parallel()
	w := &world{}
	var told []event.Event
	g := guardOf(w, func(e event.Event) { told = append(told, e) })
	refuse := func(count uint64, last time.Time) {
		w.refusals = []datapath.Refusal{{Port: newPort, Reason: event.MACElsewhere, Count: count, Last: last, MAC: machine, Address: held}}
		g.tellRefusals()
	}
	refuse(1, time.Now())
	refuse(1, time.Now()) // nothing new
	refuse(5, time.Now())
	if len(told) != 2 {
		t.Fatalf("%d events, want 2: %v", len(told), told)
	}
	for i, want := range []string{
		"port tap8 of hn-web: 1 frame was refused as mac-elsewhere, the last from 02:00:00:00:00:aa for 172.16.1.20",
		"port tap8 of hn-web: 4 frames were refused as mac-elsewhere",
	} {
		if !strings.HasPrefix(told[i].Description, want) {
			t.Errorf("event %d says %q, want %q", i, told[i].Description, want)
		}
	}
	if problems := g.Problems(); len(problems) != 1 || !strings.Contains(problems[0], "5 frames") || !strings.Contains(problems[0], "port-security=off") {
		t.Errorf("problems are %q", problems)
	}
	refuse(5, time.Now().Add(-2*recent))
	if problems := g.Problems(); len(problems) != 0 {
		t.Errorf("long after it was over: %q", problems)
	}
}
