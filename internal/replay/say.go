package replay

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/hostnat/hostnat/internal/capture"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

type sayer struct{ to io.Writer }

// say writes a line. Names come out of a file that anybody may have made: what would
// command the terminal is a question mark.
func (s sayer) say(format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' {
			return r
		}
		return '?'
	}, fmt.Sprintf(format, args...))
	_, _ = fmt.Fprintln(s.to, text)
}

// Introduce says what a recording is, and what of it may be the cause of a difference.
func Introduce(to io.Writer, r *recording.Recording) {
	s := sayer{to}
	s.say("recorded by hostnat %s on Linux %s: %s", r.Begin.Hostnat, r.Begin.Kernel, packets(len(r.Packets)))
	if r.Begin.Filter != "" {
		s.say("only what %q selects: what others did meanwhile is not run again", r.Begin.Filter)
	}
	if r.End == nil {
		s.say("the file has no end: it was cut off, or could not be written whole")
		return
	}
	if r.End.Lost > 0 {
		s.say("%s lost: what they did is not run again", packets(int(r.End.Lost)))
	}
	if r.End.Meanwhile > 0 {
		s.say("%s came while the tables were read: what they changed may be in them or not", packets(r.End.Meanwhile))
	}
	if r.End.Changed {
		s.say("the configuration was changed before the end: what came after that may differ for this reason")
	}
}

func packets(n int) string {
	if n == 1 {
		return "1 packet"
	}
	return fmt.Sprintf("%d packets", n)
}

// Say says what a replay has found.
func (r *Report) Say(to io.Writer, of *recording.Recording) {
	s := sayer{to}
	for _, m := range r.Missing {
		s.say("could not be made here: %s", m)
	}
	s.say("%s as recorded; of %d the model says the same", packets(r.AsRecorded), r.AsModel)
	s.counted("not run", r.NotFollowed)
	s.counted("not in the model", r.NotModelled)
	if r.Difference != nil {
		r.Difference.say(s, of)
	}
}

// counted says why packets were left out, what was most frequent first.
func (s sayer) counted(what string, reasons map[string]int) {
	for _, why := range slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		if reasons[a] != reasons[b] {
			return reasons[b] - reasons[a]
		}
		return strings.Compare(a, b)
	}) {
		s.say("%s: %d of %s", what, reasons[why], why)
	}
}

func (d *Difference) say(s sayer, of *recording.Recording) {
	reader := capture.NewReader()
	short := func(p model.CapturedPacket) string {
		came, went := reader.Sides(&p)
		return capture.Short(&p, came, went)
	}
	p := &of.Packets[d.At]
	s.say("\npacket %d, at %s by %s:", d.At+1, p.Time.Format("15:04:05.000000"), p.Program)
	s.say("  recorded  %s", short(p.Captured()))
	s.say("  programs  %s", short(d.now(p)))
	if d.Model != nil {
		s.say("  model     %s", strings.TrimSpace(fmt.Sprint(d.Model.Verdict, " ", d.Model.Reason)))
	} else {
		s.say("  model     does not follow here")
	}
	for _, f := range d.Fields {
		s.say("  %s", f)
	}
	s.say("the tables before it:")
	for _, line := range d.Before {
		s.say("  %s", line)
	}
	if len(d.Before) == 0 {
		s.say("  nothing of its flow")
	}
}

// now is the packet as the programs handled it here.
func (d *Difference) now(p *recording.Packet) model.CapturedPacket {
	c, now := p.Captured(), &d.Now
	nat := ""
	if c.Session != nil {
		nat = c.Session.NAT
	}
	c.Verdict, c.Code, c.Told, c.Reason, c.Session, c.Length, c.Went = now.Verdict, now.Code, now.Told, "", nil, now.Length, now.Went
	if c.Verdict == model.VerdictDropped {
		c.Reason = now.Reason.String()
	}
	if s := now.Session; s != nil {
		c.Session = &model.Session{NAT: nat, Protocol: s.Protocol, Internal: s.Internal, External: s.External, Remote: s.Remote, State: s.State}
	}
	return c
}

// WritePackets writes a recording's packets as pcapng.
func WritePackets(to io.Writer, r *recording.Recording) error {
	file, err := capture.NewFile(to, r.Begin.Hostnat, r.Begin.Filter, nil)
	if err != nil {
		return err
	}
	for i := range r.Packets {
		p := r.Packets[i].Captured()
		if err := file.Write(&p); err != nil {
			return err
		}
	}
	return file.Flush()
}
