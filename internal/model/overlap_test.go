package model

import "testing"

func TestOverlapText(t *testing.T) {
	t.Parallel()
	var o Overlap
	for text, want := range map[string]Overlap{"keep": Keep, "renumber": Renumber} {
		if err := o.UnmarshalText([]byte(text)); err != nil || o != want || o.String() != text {
			t.Errorf("%s: %v, %v", text, o, err)
		}
	}
	if (Network{}).Overlap != Keep {
		t.Error("a network that nothing is said of is renumbered")
	}
	refused(t, o.UnmarshalText([]byte("move")), Invalid, "move", "renumber")
}
