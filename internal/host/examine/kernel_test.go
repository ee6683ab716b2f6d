package examine

import "testing"

func TestParseRelease(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Release{
		"6.18.44-fc-v595": {Text: "6.18.44-fc-v595", Major: 6, Minor: 18},
		"6.6":             {Text: "6.6", Major: 6, Minor: 6},
		"7.0.0-rc1":       {Text: "7.0.0-rc1", Major: 7},
	} {
		if got, err := parseRelease(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if _, err := parseRelease("linux"); err == nil {
		t.Error("nonsense was parsed")
	}
	if _, err := KernelRelease(); err != nil {
		t.Error(err)
	}
}
