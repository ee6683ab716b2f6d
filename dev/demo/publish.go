package demo

import (
	"context"
	"io"
	"net"
	"slices"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// publishPort is chapter 3.
func publishPort(ctx context.Context, s *stage) error {
	s.say("A server in c1 listens on port 80. Who connects to port 8080 of the host gets there, with its own address.")
	if err := s.serve(s.c1, "tcp", ":80"); err != nil {
		return err
	}
	add := []string{"mapping", "add", "--protocol", "tcp", "--external", "8080", "--internal"}
	if _, err := s.hostnat(ctx, append(slices.Clone(add), "c1:80")...); err != nil {
		return err
	}
	t, client, err := s.dial(ctx, s.net.Remote, lab.HostAddress+":8080", "the client of the published port")
	if err != nil {
		return err
	}
	// The Echo is inside here: it saw the client, not what the NAT made of it.
	if err := s.promise(t.external == client, "the client outside is %s, the server inside saw %s", client, t.external); err != nil {
		return err
	}
	median, err := roundTrip(t.conn)
	if err != nil {
		return err
	}
	if err := s.promise(true, "a question and its answer over that connection: %.0f µs (median of %d), "+
		"both programs included", float64(median.Nanoseconds())/1e3, questions); err != nil {
		return err
	}
	if err := s.publishedElsewhere(ctx); err != nil {
		return err
	}
	if _, err := s.hostnatRefuses(ctx, append(slices.Clone(add), "c2:80")...); err != nil {
		return err
	}
	mappings, err := s.client.Mappings(ctx)
	if err != nil {
		return err
	}
	return s.promise(len(mappings) == 1 && mappings[0].Endpoint == "c1",
		"a change that conflicts with something is refused in one line, and nothing is changed (mappings: %d)", len(mappings))
}

// publishedElsewhere asks the same port from where others do not answer: the
// host itself by loopback, and the other network.
func (s *stage) publishedElsewhere(ctx context.Context) error {
	local, err := lab.Ask(ctx, s.net.Host, "tcp", "127.0.0.1:8080")
	if err != nil {
		return err
	}
	other, err := lab.Ask(ctx, s.c2, "tcp", lab.HostAddress+":8080")
	if err != nil {
		return err
	}
	return s.promise(other.Addr().String() == lab.HostAddress,
		"the same from the host itself by 127.0.0.1 (seen as %s), and from c2 on the other network (seen as %s)",
		local.Addr(), other)
}

const questions = 500

// roundTrip is the median time of a small question and its answer.
func roundTrip(conn net.Conn) (time.Duration, error) {
	took := make([]time.Duration, questions)
	for i := range took {
		start := time.Now()
		if err := echoed(conn, []byte("question")); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// echoed sends text to an Echo and reads it back.
func echoed(conn net.Conn, text []byte) error {
	if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(text); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len(text)))
	return err
}
