package top

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"github.com/hostnat/hostnat/api"
)

// Action is what a key asks for beside another state. The zero value is nothing.
type Action struct {
	Kind   ActionKind
	End    api.Session // for End
	Title  string      // for Explain
	Filter api.Filter  // for Explain
	Reason string      // for Explain: drops of this reason only; empty: any failure
}

// ActionKind says what to do.
type ActionKind int

// What there is to do.
const (
	Nothing ActionKind = iota
	Quit
	Ask     // the daemon, for what State.Query says now
	End     // a session
	Explain // what failed lately
)

// Press returns what becomes of the state by a key, and what else is to be done. Keys have
// bubbletea's names: "a", "enter", "shift+tab".
func Press(s State, key string) (State, Action) {
	s.Note = ""
	switch {
	case key == "ctrl+c":
		return s, Action{Kind: Quit}
	case s.Ending != nil:
		return pressEnding(s, key)
	case s.Typing:
		return pressTyping(s, key)
	case move(&s, key):
		return s.clamp(), Action{}
	case s.Help || s.Explained != nil:
		if key == "esc" || key == "q" || key == "enter" || key == "?" {
			s.Help, s.Explained, s.Cursor = false, nil, 0
		}
		return s, Action{}
	}
	return pressList(s, key)
}

// pressEnding is the answer to whether a session shall end.
func pressEnding(s State, key string) (State, Action) {
	session := *s.Ending
	s.Ending = nil
	if key == "y" {
		return s, Action{Kind: End, End: session}
	}
	s.Note = "not ended"
	return s, Action{}
}

func pressTyping(s State, key string) (State, Action) {
	switch {
	case key == "enter":
		s.Typing, s.Match, s.Cursor = false, s.Typed, 0
		return s, Action{Kind: Ask}
	case key == "esc":
		s.Typing = false
	case key == "backspace" && s.Typed != "":
		_, size := utf8.DecodeLastRuneInString(s.Typed)
		s.Typed = s.Typed[:len(s.Typed)-size]
	case key == "space":
		s.Typed += " "
	case utf8.RuneCountInString(key) == 1:
		s.Typed += key
	}
	return s, Action{}
}

// move moves the cursor. False: the key does something else.
func move(s *State, key string) bool {
	switch key {
	case "up", "k":
		s.Cursor--
	case "down", "j":
		s.Cursor++
	case "pgup":
		s.Cursor -= s.page()
	case "pgdown", "space":
		s.Cursor += s.page()
	case "home", "g":
		s.Cursor = 0
	case "end", "G":
		s.Cursor = s.length()
	default:
		return false
	}
	return true
}

func pressList(s State, key string) (State, Action) {
	switch key {
	case "q":
		return s, Action{Kind: Quit}
	case "?", "h":
		s.Help, s.Cursor = true, 0
	case "tab", "right":
		return s.show((s.View + 1) % views), Action{}
	case "shift+tab", "left":
		return s.show((s.View + views - 1) % views), Action{}
	case "1", "2", "3":
		return s.show(View(key[0] - '1')), Action{}
	case "s":
		s.Order, s.Cursor = Orders[(slices.Index(Orders, s.Order)+1)%len(Orders)], 0
		return s, Action{Kind: Ask}
	case "/":
		s.Typing, s.Typed = true, s.Match
	case "p":
		s.Paused = !s.Paused
	case "esc":
		if s.Match == "" && s.Endpoint == "" {
			return s, Action{}
		}
		s.Match, s.Endpoint, s.Cursor = "", "", 0
		return s, Action{Kind: Ask}
	case "f":
		return follow(s)
	case "e":
		return explain(s)
	case "enter":
		if s.View == Endpoints {
			return follow(s)
		}
		return explain(s)
	case "x":
		return end(s)
	}
	return s, Action{}
}

func (s State) show(v View) State {
	s.View, s.Cursor = v, 0
	return s
}

// follow shows the sessions of the row's endpoint alone, or of all again.
func follow(s State) (State, Action) {
	if s.Endpoint != "" && s.View != Endpoints {
		s.Endpoint, s.Cursor = "", 0
		return s, Action{Kind: Ask}
	}
	name := s.endpoint()
	if name == "" {
		s.Note = "no endpoint has this row; filter by its address instead: /"
		return s, Action{}
	}
	s.Endpoint = name
	return s.show(Sessions), Action{Kind: Ask}
}

// endpoint is that of the row under the cursor; empty: none.
func (s State) endpoint() string {
	switch {
	case s.View == Endpoints && s.Cursor < len(s.Traffic.Endpoints):
		return s.Traffic.Endpoints[s.Cursor].Endpoint
	case s.View == Sessions && s.Cursor < len(s.Traffic.Active):
		return s.Traffic.Active[s.Cursor].Endpoint
	}
	return ""
}

// explain asks what failed lately: drops of a reason, or what an endpoint wanted.
func explain(s State) (State, Action) {
	if s.View == Drops {
		if s.Cursor >= len(s.Traffic.Drops) {
			return s, Action{}
		}
		reason := s.Traffic.Drops[s.Cursor].Reason
		return s, Action{Kind: Explain, Title: "dropped: " + reason, Reason: reason, Filter: api.Filter{Endpoint: s.Endpoint}}
	}
	name := cmp.Or(s.endpoint(), s.Endpoint)
	if name == "" {
		s.Note = "no endpoint has this row; drops of all are under 3"
		return s, Action{}
	}
	return s, Action{Kind: Explain, Title: "what failed for " + name, Filter: api.Filter{Endpoint: name}}
}

// end asks whether the session under the cursor shall end.
func end(s State) (State, Action) {
	if s.View != Sessions || s.Cursor >= len(s.Traffic.Active) {
		s.Note = "sessions are ended in the list of sessions: 2"
		return s, Action{}
	}
	session := s.Traffic.Active[s.Cursor].Session
	s.Ending = &session
	return s, Action{}
}
