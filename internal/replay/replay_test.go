package replay

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/rerun"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

// TestLessOf: what is left has all that is needed, and nothing else.
func TestLessOf(t *testing.T) {
	t.Parallel()
	var all []int
	for i := range 100 {
		all = append(all, i)
	}
	for _, needed := range [][]int{nil, {0}, {99}, {3, 4, 50}, {0, 33, 66, 99}} {
		runs := 0
		got := lessOf(all, func(some []int) bool {
			runs++
			for _, n := range needed {
				if !slices.Contains(some, n) {
					return false
				}
			}
			return true
		})
		if !slices.Equal(got, needed) || runs > 200 {
			t.Errorf("of what needs %v is left %v after %d runs", needed, got, runs)
		}
	}
	if len(all) != 100 || all[99] != 99 {
		t.Error("what was given has changed")
	}
}

func frame(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A datagram of four bytes from 172.16.1.2:40000 to 203.0.113.2:7; its checksum is that of
// its pseudo header: ac10 + 0102 + cb00 + 7102 + 0011 + 000c.
const partial = "020000000001" + "020000000002" + "0800" +
	"45000020" + "12344000" + "40110000" + "ac100102" + "cb007102" +
	"9c400007" + "000ce932" + "61616161"

func TestUnfinishedChecksums(t *testing.T) {
	t.Parallel()
	came := frame(t, partial)
	if !isPartial(came) {
		t.Error("the checksum of a pseudo header is not seen")
	}
	came[41]++
	if isPartial(came) || isPartial(came[:40]) || isPartial(nil) {
		t.Error("another one is taken for it")
	}
}

// TestDifferences: all of a packet's fate counts, and what may differ does not.
func TestDifferences(t *testing.T) {
	t.Parallel()
	p := recording.Packet{Verdict: model.VerdictSent, Code: 7, Came: frame(t, partial), CameLength: 46, Went: frame(t, partial), Length: 46}
	now := func(change func(*rerun.Outcome)) *rerun.Outcome {
		o := rerun.Outcome{Captured: datapath.Captured{Verdict: model.VerdictSent, Code: 7, Went: frame(t, partial), Length: 46}}
		change(&o)
		return &o
	}
	const sum, id, ipSum, ttl = 40, 18, 24, 22
	recordedID := p
	recordedID.Went = frame(t, partial)
	recordedID.Went[id]++
	recordedID.Went[ipSum] -= 1
	for name, tt := range map[string]struct {
		p      recording.Packet
		change func(*rerun.Outcome)
		same   bool
	}{
		"the same":       {p, func(*rerun.Outcome) {}, true},
		"verdict":        {p, func(o *rerun.Outcome) { o.Verdict, o.Code = model.VerdictDropped, 2 }, false},
		"code":           {p, func(o *rerun.Outcome) { o.Code = 0 }, false},
		"reason":         {p, func(o *rerun.Outcome) { o.Verdict, o.Reason = model.VerdictDropped, event.Reason(1) }, false},
		"told":           {p, func(o *rerun.Outcome) { o.Told = true }, false},
		"session":        {p, func(o *rerun.Outcome) { o.Session = &datapath.Session{Protocol: model.UDP} }, false},
		"length":         {p, func(o *rerun.Outcome) { o.Length++ }, false},
		"hop limit":      {p, func(o *rerun.Outcome) { o.Went[ttl]-- }, false},
		"identification": {p, func(o *rerun.Outcome) { o.Went[id] += 7 }, false},
		"unfinished sum": {p, func(o *rerun.Outcome) { o.Went[sum]++ }, true},
		"chosen identification": {recordedID, func(o *rerun.Outcome) {
			o.Went[id] += 7
			o.Went[ipSum] -= 7
		}, true},
	} {
		if got := differences(&tt.p, now(tt.change)); (len(got) == 0) != tt.same {
			t.Errorf("%s: %v", name, got)
		}
	}
}
