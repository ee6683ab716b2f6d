package top

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/api"
)

// same compares sessions as values.
var same = cmpopts.EquateComparable(api.Session{})

// pressed is the state after keys, with what the last of them asked for.
func pressed(s State, keys string) (State, Action) {
	var a Action
	for _, key := range strings.Fields(keys) {
		s, a = Press(s, key)
	}
	return s, a
}

// keyTest is what keys change, and what the last of them asks for.
type keyTest struct {
	change func(*State)
	action Action
}

func keyTests() map[string]keyTest {
	first := example().Active[0].Session
	return map[string]keyTest{
		"z":             {func(*State) {}, Action{}},
		"tab":           {func(s *State) { s.View = Sessions }, Action{}},
		"tab tab tab":   {func(*State) {}, Action{}},
		"shift+tab":     {func(s *State) { s.View = Drops }, Action{}},
		"left right":    {func(*State) {}, Action{}},
		"down 3":        {func(s *State) { s.View = Drops }, Action{}},
		"up":            {func(*State) {}, Action{}},
		"down j k down": {func(s *State) { s.Cursor = 2 }, Action{}},
		"pgdown":        {func(s *State) { s.Cursor = 19 }, Action{}},
		"end":           {func(s *State) { s.Cursor = 31 }, Action{}},
		"G pgup":        {func(s *State) { s.Cursor = 12 }, Action{}},
		"end home":      {func(*State) {}, Action{}},
		"p":             {func(s *State) { s.Paused = true }, Action{}},
		"p p":           {func(*State) {}, Action{}},
		"q":             {func(*State) {}, Action{Kind: Quit}},
		"/ ctrl+c":      {func(s *State) { s.Typing = true }, Action{Kind: Quit}},

		"down s":        {func(s *State) { s.Order = "packets" }, Action{Kind: Ask}},
		"s s s s s":     {func(*State) {}, Action{Kind: Ask}},
		"/ w q space 1": {func(s *State) { s.Typing, s.Typed = true, "wq 1" }, Action{}},
		"/ w backspace backspace e shift+tab enter": {func(s *State) { s.Typed, s.Match = "e", "e" }, Action{Kind: Ask}},
		"/ w enter / esc": {func(s *State) { s.Typed, s.Match = "w", "w" }, Action{}},
		"/ w enter esc":   {func(s *State) { s.Typed = "w" }, Action{Kind: Ask}},
		"esc":             {func(*State) {}, Action{}},

		"f":          {func(s *State) { s.View, s.Endpoint = Sessions, "c1" }, Action{Kind: Ask}},
		"down enter": {func(s *State) { s.View, s.Endpoint = Sessions, "worker-00" }, Action{Kind: Ask}},
		"f f":        {func(s *State) { s.View = Sessions }, Action{Kind: Ask}},
		"f esc":      {func(s *State) { s.View = Sessions }, Action{Kind: Ask}},
		"2 down f":   {func(s *State) { s.View, s.Endpoint = Sessions, "worker-00" }, Action{Kind: Ask}},
		"end f":      {func(s *State) { s.Cursor, s.Note = 31, "no endpoint has this row; filter by its address instead: /" }, Action{}},

		"e":       {func(*State) {}, Action{Kind: Explain, Title: "what failed for c1", Filter: api.Filter{Endpoint: "c1"}}},
		"2 enter": {func(s *State) { s.View = Sessions }, Action{Kind: Explain, Title: "what failed for c1", Filter: api.Filter{Endpoint: "c1"}}},
		"3 down enter": {func(s *State) { s.View, s.Cursor = Drops, 1 },
			Action{Kind: Explain, Title: "dropped: no-session", Reason: "no-session"}},
		"f 3 e": {func(s *State) { s.View, s.Endpoint = Drops, "c1" },
			Action{Kind: Explain, Title: "dropped: isolated-network", Reason: "isolated-network", Filter: api.Filter{Endpoint: "c1"}}},
		"end e": {func(s *State) { s.Cursor, s.Note = 31, "no endpoint has this row; drops of all are under 3" }, Action{}},

		"x":        {func(s *State) { s.Note = "sessions are ended in the list of sessions: 2" }, Action{}},
		"2 x":      {func(s *State) { s.View, s.Ending = Sessions, &first }, Action{}},
		"2 x y":    {func(s *State) { s.View = Sessions }, Action{Kind: End, End: first}},
		"2 x q":    {func(s *State) { s.View, s.Note = Sessions, "not ended" }, Action{}},
		"2 x q q":  {func(s *State) { s.View = Sessions }, Action{Kind: Quit}},
		"?":        {func(s *State) { s.Help = true }, Action{}},
		"? q":      {func(*State) {}, Action{}},
		"end ? up": {func(s *State) { s.Help = true }, Action{}},
		"? x":      {func(s *State) { s.Help = true }, Action{}},
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for keys, tt := range keyTests() {
		want := shown(80, 24)
		tt.change(&want)
		got, action := pressed(shown(80, 24), keys)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(State{}, "Traffic"), same); diff != "" {
			t.Errorf("%s (-want +got):\n%s", keys, diff)
		}
		if diff := cmp.Diff(tt.action, action, same); diff != "" {
			t.Errorf("%s, what is to be done (-want +got):\n%s", keys, diff)
		}
	}
}

// Nothing that has no rows makes trouble.
func TestKeysWithoutRows(t *testing.T) {
	t.Parallel()
	for _, view := range []string{"1", "2", "3"} {
		for _, key := range []string{"f", "e", "x", "enter", "down", "end", "pgup"} {
			s, a := pressed(State{Width: 80, Height: 24, Order: "bytes"}, view+" "+key)
			if s.Cursor != 0 || a != (Action{}) {
				t.Errorf("%s %s: cursor %d, %+v", view, key, s.Cursor, a)
			}
		}
	}
}

// A text that is longer than the screen can be scrolled to its end, and no further.
func TestScrolledText(t *testing.T) {
	t.Parallel()
	s := shown(80, 10)
	s.Explained = failed()
	for range 5 {
		s.Explained.Failures = append(s.Explained.Failures, failed().Failures...)
	}
	if strings.Count(Render(s), "isolation=off") != 1 {
		t.Fatalf("the text is not longer than the screen:\n%s", Render(s))
	}
	s, _ = Press(s, "end")
	lines := strings.Split(Render(s), "\n")
	if !strings.HasPrefix(lines[7], "    hostnat network set") || s.Cursor != len(s.textLines())-8 {
		t.Errorf("the end is not at the end:\n%s", Render(s))
	}
	if s, _ = Press(s, "enter"); s.Explained != nil || s.Cursor != 0 {
		t.Errorf("it is not left: %+v", s.Explained)
	}
}

// What the daemon says is shown unless it is paused, and the cursor stays in the list.
func TestAnswered(t *testing.T) {
	t.Parallel()
	s, _ := pressed(shown(80, 24), "end p")
	small := example()
	small.Endpoints = small.Endpoints[:3]
	if got := s.Answered(small); len(got.Traffic.Endpoints) != 32 || got.Cursor != 31 {
		t.Errorf("paused: %d rows, cursor %d", len(got.Traffic.Endpoints), got.Cursor)
	}
	s, _ = Press(s, "p")
	if got := s.Answered(small); len(got.Traffic.Endpoints) != 3 || got.Cursor != 2 {
		t.Errorf("%d rows, cursor %d", len(got.Traffic.Endpoints), got.Cursor)
	}
}
