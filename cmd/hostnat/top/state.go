// Package top is the screens of `hostnat top`. What is shown is a function of a State and
// what a key does is another; program.go alone knows the terminal and the daemon.
package top

import (
	"time"

	"github.com/hostnat/hostnat/api"
)

// View is which list is shown.
type View int

// The lists.
const (
	Endpoints View = iota
	Sessions
	Drops
	views
)

// rows is how many rows of a list the daemon is asked for: more than a screen has, to scroll.
const rows = 200

// Orders are what lists may be sorted by, in the order in which a key goes through them.
var Orders = []string{"bytes", "packets", "sessions", "opened", "name"}

// State is all that a screen depends on.
type State struct {
	Width, Height int
	Colour        bool
	Interval      time.Duration // between questions to the daemon

	View     View
	Order    string // of Orders
	Match    string // only rows with this text; empty: all
	Endpoint string // only this endpoint; empty: all
	Cursor   int    // row of the list; in a text, the first line that is shown
	Paused   bool

	Help      bool
	Explained *Explanation // instead of a list; nil: the list
	Typing    bool         // a filter
	Typed     string
	Ending    *api.Session // it is asked whether to end it

	Traffic api.Traffic
	Note    string // what has just been done, or did not work
}

// Explanation is what failed lately.
type Explanation struct {
	Title    string
	Failures []api.Failure
}

// Query is what the daemon is to be asked for.
func (s State) Query() api.TrafficQuery {
	return api.TrafficQuery{Endpoint: s.Endpoint, Match: s.Match, Order: s.Order, Count: rows}
}

// length is how many rows or lines there are.
func (s State) length() int {
	switch {
	case s.Help || s.Explained != nil:
		return len(s.textLines())
	case s.View == Endpoints:
		return len(s.Traffic.Endpoints)
	case s.View == Sessions:
		return len(s.Traffic.Active)
	}
	return len(s.Traffic.Drops)
}

// page is how many rows or lines fit.
func (s State) page() int {
	if s.Help || s.Explained != nil {
		return max(1, s.Height-2) // a title and a footer
	}
	return max(1, s.Height-5) // three lines above, the columns' names, a footer
}

// Answered is the state after the daemon's answer.
func (s State) Answered(t api.Traffic) State {
	if s.Paused {
		return s
	}
	s.Traffic = t
	return s.clamp()
}

// clamp keeps the cursor in the list.
func (s State) clamp() State {
	last := s.length() - 1
	if s.Help || s.Explained != nil {
		last = s.length() - s.page()
	}
	s.Cursor = max(0, min(s.Cursor, last))
	return s
}
