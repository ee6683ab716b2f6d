package model

import (
	"encoding/json"
	"testing"
)

func TestOverlapText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Overlap{`{"overlap":"keep"}`: Keep, `{"overlap":"renumber"}`: Renumber, `{}`: Keep} {
		var n Network
		if err := json.Unmarshal([]byte(text), &n); err != nil || n.Overlap != want {
			t.Errorf("%s: %v, %v", text, n.Overlap, err)
		}
		out, err := json.Marshal(n)
		var back Network
		if err == nil {
			err = json.Unmarshal(out, &back)
		}
		if err != nil || back.Overlap != want {
			t.Errorf("%s became %s, %v", text, out, err)
		}
	}
	var o Overlap
	refused(t, o.UnmarshalText([]byte("move")), Invalid, "move", "renumber")
}
