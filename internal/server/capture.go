package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/capture"
	"github.com/hostnat/hostnat/internal/model"
)

// captureFile marks a route whose answer is a file of packets.
type captureFile struct{}

// packetStream marks a route whose answer is packets, one JSON object a line.
type packetStream struct{}

func captureRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/v1/capture", out: captureFile{}, handle: serveCapture},
		{method: http.MethodGet, path: "/v1/packets", out: packetStream{}, handle: servePackets},
		{method: http.MethodGet, path: "/v1/recording", out: recordingFile{}, handle: serveRecording},
	}
}

// packetSink takes packets that are wanted.
type packetSink interface {
	write(p *model.CapturedPacket) error
	lose(packets uint64) error
	flush() error
}

// serveCapture sends packets as pcapng.
func serveCapture(s *Server, w http.ResponseWriter, r *http.Request) error {
	return s.capture(w, r, api.PcapNG, func(q captureQuery) (packetSink, error) {
		names, err := s.captureNames(r.Context())
		if err != nil {
			return nil, err
		}
		file, err := capture.NewFile(&deadlineWriter{w, http.NewResponseController(w)}, s.version, q.text, names)
		return &pcapSink{file: file, response: http.NewResponseController(w)}, err
	})
}

func servePackets(s *Server, w http.ResponseWriter, r *http.Request) error {
	return s.capture(w, r, api.EventStream, func(captureQuery) (packetSink, error) {
		out := &deadlineWriter{w, http.NewResponseController(w)}
		return &lineSink{lines: json.NewEncoder(out), response: out.control, reader: capture.NewReader()}, nil
	})
}

// captureQuery is what a client asks for.
type captureQuery struct {
	text   string
	filter capture.Filter
	wish   model.CaptureWish
	count  int // packets after which it ends; 0: never
}

func captureQueryOf(s Service, r *http.Request) (q captureQuery, err error) {
	var program, length, count string
	if err := query(r, map[string]*string{"filter": &q.text, "bpf": &program, "length": &length, "count": &count}); err != nil {
		return q, err
	}
	if q.filter, err = capture.ParseOf(q.text, namesOf(r.Context(), s)); err != nil {
		return q, err
	}
	if program != "" {
		if q.filter, err = q.filter.WithProgram(program); err != nil {
			return q, err
		}
	}
	q.wish = q.filter.Wish()
	err = readNumbers(number{"length", length, &q.wish.Length, 1 << 16}, number{"count", count, &q.count, 1 << 31})
	return q, err
}

// namesOf looks up what a filter names.
func namesOf(ctx context.Context, s Service) capture.Names {
	return capture.Names{
		Endpoint: func(name string) (string, error) { return endpointMeant(ctx, s, name) },
		Network: func(name string) (string, error) {
			n, err := s.Network(ctx, name)
			return n.Name, err
		},
	}
}

// errEnough ends a capture that has all packets that were asked for.
var errEnough = errors.New("all packets are there")

// capture sends packets until the client goes away, the server stops, or there are as
// many as were asked for. The header is sent at once: a client that has it misses no
// packet after it. What packets carry is shown to those alone who may change things.
func (s *Server) capture(w http.ResponseWriter, r *http.Request, kind string, open func(captureQuery) (packetSink, error)) error {
	if !trusted(r) {
		return model.Errorf(model.Denied, "only root and members of the group %q may capture packets", Group)
	}
	q, err := captureQueryOf(s.service, r)
	if err != nil {
		return err
	}
	ctx, end, err := s.openStream(r, true)
	if err != nil {
		return err
	}
	defer end()
	batches, err := s.service.Capture(ctx, q.wish)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	if http.NewResponseController(w).Flush() != nil {
		return nil // nobody is there any more
	}
	sink, err := open(q)
	if err == nil {
		err = sendPackets(batches, q, sink)
	}
	if err != nil && !errors.Is(err, errEnough) && r.Context().Err() == nil {
		panic(http.ErrAbortHandler) // the client must not take what there is for all
	}
	return nil
}

func sendPackets(batches <-chan model.CaptureBatch, q captureQuery, sink packetSink) error {
	reader, sent := capture.NewReader(), 0
	if err := sink.flush(); err != nil {
		return err
	}
	for batch := range batches {
		if batch.Lost > 0 {
			if err := sink.lose(batch.Lost); err != nil {
				return err
			}
		}
		for i := range batch.Packets {
			p := &batch.Packets[i]
			if !q.filter.Selects(p, reader) {
				continue
			}
			if err := sink.write(p); err != nil {
				return err
			}
			if sent++; sent == q.count {
				return errors.Join(sink.flush(), errEnough)
			}
		}
		// A burst goes out in few writes.
		if len(batches) == 0 {
			if err := sink.flush(); err != nil {
				return err
			}
		}
	}
	return sink.flush()
}

// captureNames are the endpoints' names, for a file.
func (s *Server) captureNames(ctx context.Context) (names []capture.Name, err error) {
	endpoints, err := s.service.Endpoints(ctx, "")
	for _, e := range endpoints {
		for _, a := range e.Addresses {
			names = append(names, capture.Name{Address: a, Name: e.Name + "." + e.Network})
		}
	}
	return names, err
}

// deadlineWriter gives the client time for each part.
type deadlineWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (d *deadlineWriter) Write(part []byte) (int, error) {
	_ = d.control.SetWriteDeadline(time.Now().Add(answerTime))
	return d.w.Write(part)
}

type pcapSink struct {
	file     *capture.File
	response *http.ResponseController
}

func (p *pcapSink) write(c *model.CapturedPacket) error { return p.file.Write(c) }

func (p *pcapSink) lose(packets uint64) error {
	p.file.Lost(packets)
	return nil
}

func (p *pcapSink) flush() error { return errors.Join(p.file.Flush(), p.response.Flush()) }

type lineSink struct {
	lines    *json.Encoder
	response *http.ResponseController
	reader   *capture.Reader
}

func (l *lineSink) write(c *model.CapturedPacket) error { return l.lines.Encode(packetOf(c, l.reader)) }

func (l *lineSink) lose(packets uint64) error {
	return l.lines.Encode(api.CapturedPacket{Time: time.Now(), Lost: packets, Short: strconv.FormatUint(packets, 10) + " packets were lost: they came faster than they were read"})
}

func (l *lineSink) flush() error { return l.response.Flush() }

func packetOf(c *model.CapturedPacket, r *capture.Reader) api.CapturedPacket {
	came, went := r.Sides(c)
	out := api.CapturedPacket{
		Time: c.Time, ID: c.ID, Program: c.Program, Link: c.Link, Network: c.Network, Endpoint: c.Endpoint, Target: c.Target,
		Verdict: string(c.Verdict), Reason: c.Reason, Told: c.Told,
		Came:  sideOf(came, c.CameLength),
		Went:  sideOf(went, c.Length),
		Short: capture.Short(c, came, went),
	}
	if s := c.Session; s != nil {
		out.Session = &api.PacketSession{
			NAT: s.NAT, Network: s.Network, Endpoint: s.Endpoint, Protocol: protocolOf(s.Protocol),
			Internal: s.Internal, External: s.External, Remote: s.Remote, State: api.TCPState(s.State.String()),
		}
	}
	return out
}

func sideOf(h capture.Headers, length int) api.PacketSide {
	side := api.PacketSide{EtherType: h.EtherType, Protocol: h.Protocol, TCPFlags: h.TCPFlags, Length: length}
	if h.From.IsValid() {
		side.From, side.To = h.Ends()
	}
	if h.HasICMP {
		side.ICMPType, side.ICMPCode = &h.ICMPType, &h.ICMPCode
	}
	return side
}
