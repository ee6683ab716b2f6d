package recording

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hostnat/hostnat/internal/model"
)

// Format is what the first line of a file says that it is.
const Format = "hostnat recording"

// Bounds of what is read, since a file may be anything.
const (
	longestLine = 8 << 20
	mostBytes   = 4 << 30 // unpacked
	mostKept    = 1 << 30 // of rows and packets, in memory
	mostRows    = 8 << 20
	mostPackets = 4 << 20
	// RowsOfLine is how many rows a line has at most: they fit in longestLine.
	RowsOfLine = 256
)

// ReadyPrefix begins the line that ends the beginning: what comes after it are packets.
const ReadyPrefix = `{"ready":`

// PacketPrefix begins the line of a packet.
const PacketPrefix = `{"packet":`

// EndPrefix begins the last line.
const EndPrefix = `{"end":`

// Write writes a file with all that r has.
func (r *Recording) Write(to io.Writer) error {
	packed := gzip.NewWriter(to)
	lines := json.NewEncoder(packed)
	all := []Line{{Begin: &r.Begin}, {Configuration: &r.Configuration}, {Host: &r.Host}}
	for i := range r.Rows {
		all = append(all, Line{Rows: &r.Rows[i]})
	}
	all = append(all, Line{Ready: &r.Ready})
	for i := range r.Packets {
		all = append(all, Line{Packet: &r.Packets[i]})
	}
	if r.End != nil {
		all = append(all, Line{End: r.End})
	}
	for _, l := range all {
		if err := lines.Encode(l); err != nil {
			return fmt.Errorf("writing a recording: %w", err)
		}
	}
	if err := packed.Close(); err != nil {
		return fmt.Errorf("writing a recording: %w", err)
	}
	return nil
}

// Read reads a file. One that was cut off behind its beginning is read as far as it goes:
// End is nil then. Other damage is an *model.Error.
func Read(from io.Reader) (*Recording, error) {
	plain, err := unpacked(from)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(io.LimitReader(plain, mostBytes), 1<<16)
	r := &reader{}
	for number := 1; r.End == nil; number++ {
		line, err := readLine(in)
		if err != nil && r.isReady() && isCutOff(err) { // stopped while packets were recorded
			return &r.Recording, nil
		}
		if err == nil {
			err = r.take(line, number)
		}
		if err != nil {
			return nil, refused(number, err)
		}
	}
	if err := readRest(in); err != nil {
		return nil, damaged("behind its end", err)
	}
	return &r.Recording, nil
}

// readRest reads what comes behind the last line: that is where gzip finds out whether the
// bytes before are those that were written. A file without gzip's last bytes has all lines.
func readRest(in *bufio.Reader) error {
	n, err := io.Copy(io.Discard, in)
	switch {
	case isCutOff(err):
		return nil
	case err == nil && n > 0:
		return errors.New("something follows")
	}
	return err
}

func isCutOff(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func refused(number int, err error) error {
	if number == 1 {
		return model.Errorf(model.Invalid, "this is no recording of hostnat: %v", err).WithHint("'hostnat record FILE' makes one")
	}
	if isCutOff(err) {
		return model.Errorf(model.Invalid, "the recording ends before its tables do").WithHint("copy the file again, or record again")
	}
	return damaged(fmt.Sprintf("in line %d", number), err)
}

func damaged(where string, err error) error {
	return model.Errorf(model.Invalid, "the recording is damaged %s: %v", where, err).WithHint("copy the file again, or record again")
}

// unpacked reads a file that is gzip, or that somebody has unpacked already.
func unpacked(from io.Reader) (io.Reader, error) {
	in := bufio.NewReader(from)
	if first, _ := in.Peek(1); bytes.Equal(first, []byte("{")) {
		return in, nil
	}
	plain, err := gzip.NewReader(in)
	if err != nil {
		return nil, refused(1, errors.New("it is not packed by gzip"))
	}
	return plain, nil
}

func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case len(line) > longestLine:
			return nil, fmt.Errorf("it is longer than %d bytes", longestLine)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// reader is a recording of which the beginning is there.
type reader struct {
	Recording
	rows int
	kept int
}

func (r *reader) isReady() bool { return r.Ready.Told != nil }

func (r *reader) take(text []byte, number int) error {
	var l Line
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("it is not JSON of this format: %v", err)
	}
	if number == 1 {
		return r.begin(l.Begin)
	}
	switch {
	case l.Packet != nil && r.isReady():
		return r.packet(l.Packet)
	case l.End != nil && r.isReady():
		r.End = l.End
	case r.isReady(), l.Begin != nil:
		return errors.New("it is not a line for this place")
	case l.Configuration != nil:
		r.Configuration = *l.Configuration
	case l.Host != nil:
		r.Host = *l.Host
	case l.Rows != nil:
		return r.addRows(*l.Rows)
	case l.Ready != nil:
		r.Ready = *l.Ready
	default: // of a later version, and nothing that has to be known
	}
	return nil
}

func (r *reader) begin(b *Begin) error {
	switch {
	case b == nil || b.Format != Format:
		return errors.New("its first line does not say so")
	case b.Version > Version:
		return fmt.Errorf("it has version %d of the format, and this hostnat knows %d", b.Version, Version)
	}
	r.Begin = *b
	return nil
}

func (r *reader) addRows(rows Rows) error {
	if r.rows += len(rows.Rows); r.rows > mostRows {
		return fmt.Errorf("there are more than %d rows", mostRows)
	}
	kept := lineRoom + len(rows.Table) + len(rows.Layout)
	for _, row := range rows.Rows {
		kept += len(row[0]) + len(row[1])
	}
	if err := r.keep(kept); err != nil {
		return err
	}
	r.Rows = append(r.Rows, rows)
	return nil
}

// lineRoom is about what a line of rows takes without what is in it: a file of lines with
// nothing in them may have any number of these.
const lineRoom = 64

func (r *reader) keep(bytes int) error {
	if r.kept += bytes; r.kept > mostKept {
		return fmt.Errorf("its rows and packets are more than %d bytes", mostKept)
	}
	return nil
}

func (r *reader) packet(p *Packet) error {
	switch {
	case len(r.Packets) == mostPackets:
		return fmt.Errorf("there are more than %d packets", mostPackets)
	case p.CameLength < len(p.Came) || p.CameLength > 1<<20 || p.Length < 0 || p.Length > 1<<20 || len(p.Went) > p.Length:
		return fmt.Errorf("a packet of %d bytes of which %d were kept is none", p.CameLength, len(p.Came))
	}
	kept := len(p.Came) + len(p.Went) + len(p.Program) + len(p.Link) + len(p.Reason) + len(p.Endpoint) + len(p.Target) + len(p.Verdict)
	if p.Session != nil {
		kept += len(p.Session.NAT) + len(p.Session.State)
	}
	if err := r.keep(kept); err != nil {
		return err
	}
	r.Packets = append(r.Packets, *p)
	return nil
}
