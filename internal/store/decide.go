package store

import (
	"bytes"
	"fmt"
	"maps"
)

// copyName is a place where the configuration is kept.
type copyName int

// The places, in the order in which a change is written to them.
const (
	mainFile   copyName = iota // STATE/hostnat.db
	secondFile                 // STATE/hostnat-copy.db
	runFile                    // RUN/hostnat-running.db, as long as the kernel has what it says
	places
)

// found is what is in all places.
type found [places]contents

// decision is which configuration is to be used.
type decision struct {
	use       copyName
	undecided string   // why none is used; empty: use says
	fresh     bool     // there never was one
	notes     []string // what a person has to know
}

// decide chooses among what was found. What runs in the kernel must go on as it
// is: so only a configuration that is certainly the last one is used, or the one
// that the kernel was given last. running says whether the kernel has anything of
// hostnat.
func decide(f found, running bool) decision {
	m, c, run := f[mainFile], f[secondFile], f[runFile]
	if !run.isOf(m) || !run.isOf(c) {
		run = contents{}
	}
	if m.condition == absent && c.condition == absent && run.condition != whole {
		if running {
			return decision{undecided: "there is no configuration, but networks of hostnat are in the kernel"}
		}
		return decision{fresh: true}
	}
	best, why := bestOf(m, c)
	if why == "" {
		if run.condition == whole && run.revision > f[best].revision && !f[best].layout1 {
			return decision{use: runFile, notes: []string{fmt.Sprintf("both files of the configuration are older (revision %d) than what runs (revision %d): hostnat goes on with what runs", f[best].revision, run.revision)}}
		}
		if f[runFile].revision > f[best].revision && !f[runFile].isForeign(f[best]) && !f[best].layout1 {
			why = fmt.Sprintf("the configuration is older (revision %d) than what runs (revision %d), of which the copy is damaged", f[best].revision, f[runFile].revision)
			return decision{undecided: why}
		}
		return decision{use: best}
	}
	if run.condition == whole && run.revision+1 >= max(m.beyond, c.beyond) {
		return decision{use: runFile, notes: []string{why + ": hostnat goes on with what runs, by the copy in the run directory"}}
	}
	if !running && m.condition == torn && c.condition == torn && m.revision == c.revision {
		return decision{use: mainFile, notes: []string{"both files of the configuration end in the middle of the same change, as after a power cut: that change is lost"}}
	}
	return decision{undecided: why}
}

// isOf reports whether the copy of what runs may be that of a file, as far as
// the file still tells.
func (c contents) isOf(file contents) bool {
	return c.condition == whole && (file.head.id == "" || file.head.id == c.head.id)
}

// isForeign reports whether a file is certainly of another store than another one.
func (c contents) isForeign(other contents) bool {
	return c.head.id != "" && c.head.id != other.head.id
}

// bestOf chooses between the two files: the one that is certainly the last
// configuration. A crash leaves at most the last change in the first one alone,
// or in part. why says what is wrong if neither can be relied on.
func bestOf(m, c contents) (best copyName, why string) {
	switch {
	case m.layout1 && m.condition == whole:
		return mainFile, ""
	case m.condition == whole && c.condition == whole:
		if m.head.id == c.head.id && c.revision > m.revision {
			return secondFile, ""
		}
		return mainFile, ""
	case m.condition == whole && (c.isForeign(m) || c.beyond <= m.revision):
		return mainFile, ""
	case c.condition == whole && (m.isForeign(c) || m.beyond <= c.revision+1):
		return secondFile, ""
	}
	return 0, "neither file of the configuration can be relied on: the first " + m.describe() + ", the second " + c.describe()
}

// describe says what a file's condition is, as the rest of a sentence.
func (c contents) describe() string {
	switch {
	case c.condition == absent:
		return "is not there"
	case c.condition == whole:
		return fmt.Sprintf("is older (revision %d)", c.revision)
	case c.why == "":
		return "cannot be read"
	}
	return c.why
}

// sameAs reports whether two files hold the same.
func (c contents) sameAs(other contents) bool {
	return c.head.id == other.head.id && c.revision == other.revision && maps.EqualFunc(c.objects, other.objects, bytes.Equal)
}

// isInterrupted reports whether a crash explains that the file differs from the
// one that is used: it has one change more or less, or part of one.
func (c contents) isInterrupted(used contents) bool {
	if c.head.id != used.head.id || c.condition != whole && c.condition != torn {
		return false
	}
	return c.revision == used.revision || c.revision+1 == used.revision
}
