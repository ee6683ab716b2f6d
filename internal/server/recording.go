package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/capture"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

// recordingFile marks a route whose answer is the lines of a recording.
type recordingFile struct{}

// longestRecording is how long one may be asked for: a recording is of a fault, not of all days.
const longestRecording = 24 * 60 * 60 // seconds

type recordingQuery struct {
	text           string
	filter         capture.Filter
	seconds, count int
}

func recordingQueryOf(s Service, r *http.Request) (q recordingQuery, err error) {
	var seconds, count string
	if err := query(r, map[string]*string{"filter": &q.text, "seconds": &seconds, "count": &count}); err != nil {
		return q, err
	}
	if q.filter, err = capture.ParseOf(q.text, namesOf(r.Context(), s)); err != nil {
		return q, err
	}
	err = readNumbers(number{"seconds", seconds, &q.seconds, longestRecording}, number{"count", count, &q.count, 1 << 22})
	return q, err
}

// serveRecording sends a recording, line by line: packets are sent until the client goes
// away, the server stops, the time is over or there are as many as were asked for.
func serveRecording(s *Server, w http.ResponseWriter, r *http.Request) error {
	if !trusted(r) {
		return model.Errorf(model.Denied, "only root and members of the group %q may record packets", Group)
	}
	q, err := recordingQueryOf(s.service, r)
	if err != nil {
		return err
	}
	ctx, end, err := s.openStream(r, true)
	if err != nil {
		return err
	}
	defer end()
	configuration, err := exportConfiguration(s.service, r)
	if err != nil {
		return err
	}
	if _, err := s.service.Told(ctx); err != nil { // while an error has an answer of its own
		return err
	}
	wish := q.filter.Wish()
	wish.Length = recording.Kept
	packets, stop := context.WithCancel(ctx)
	defer stop()
	batches, err := s.service.Capture(packets, wish) // before the tables are read: what comes meanwhile is counted
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", api.EventStream)
	w.WriteHeader(http.StatusOK)
	rec := &recorder{s: s, out: json.NewEncoder(&deadlineWriter{w, http.NewResponseController(w)}), query: q}
	err = rec.begin(ctx, s.version, configuration.Text)
	if err == nil && q.seconds > 0 {
		defer time.AfterFunc(time.Duration(q.seconds)*time.Second, stop).Stop()
	}
	if err == nil {
		err = rec.packets(batches, http.NewResponseController(w))
	}
	if err == nil && ctx.Err() == nil {
		err = rec.finish(ctx)
	}
	if err != nil && r.Context().Err() == nil {
		s.log.Warn("a recording was broken off", "error", err)
		panic(http.ErrAbortHandler) // the client must not take what there is for all
	}
	return nil
}

// recorder writes a recording.
type recorder struct {
	s     *Server
	out   *json.Encoder
	query recordingQuery
	ready recording.Ready
	end   recording.End
}

func (r *recorder) begin(ctx context.Context, version, configuration string) (err error) {
	var uts unix.Utsname
	_ = unix.Uname(&uts) // cannot fail on Linux
	write := func(l recording.Line) error { return r.out.Encode(l) }
	begin := recording.Begin{Format: recording.Format, Version: recording.Version, Hostnat: version, Kernel: unix.ByteSliceToString(uts.Release[:]), Filter: r.query.text}
	if err := write(recording.Line{Begin: &begin}); err != nil {
		return err
	}
	if err := write(recording.Line{Configuration: &configuration}); err != nil {
		return err
	}
	r.ready, err = r.s.service.Snapshot(ctx, write)
	return err
}

func (r *recorder) packets(batches <-chan model.CaptureBatch, response *http.ResponseController) error {
	reader := capture.NewReader()
	if err := response.Flush(); err != nil {
		return err
	}
	for batch := range batches {
		r.end.Lost += batch.Lost
		for i := range batch.Packets {
			p := &batch.Packets[i]
			if !r.query.filter.Selects(p, reader) {
				continue
			}
			if p.Time.Before(r.ready.Time) {
				r.end.Meanwhile++
				continue
			}
			if err := r.out.Encode(recording.Line{Packet: recording.PacketOf(p)}); err != nil {
				return err
			}
			if r.end.Packets++; r.end.Packets == r.query.count {
				return nil
			}
		}
		if len(batches) == 0 { // a burst goes out in few writes
			if err := response.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *recorder) finish(ctx context.Context) error {
	told, err := r.s.service.Told(ctx)
	r.end.Changed = err != nil || !bytes.Equal(told, r.ready.Told)
	return r.out.Encode(recording.Line{End: &r.end})
}
