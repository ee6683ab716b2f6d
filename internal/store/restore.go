package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// Undecided says why no configuration is used, and which ones could be.
type Undecided struct {
	Why     string
	Choices []Choice
}

// Choice is a configuration that Restore can start with.
type Choice struct {
	Command string // "hostnat restore --copy"
	What    string // what it is, and what that means
}

func (u *Undecided) refusal() error {
	return model.Errorf(model.Unavailable, "%s", u.Why).WithHint("'hostnat doctor' shows the choices, 'hostnat restore' carries one out; what runs goes on meanwhile")
}

// Undecided returns nil if it is known which configuration is in force.
func (s *Store) Undecided() *Undecided {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.undecided
}

// Source is which configuration to restore.
type Source struct {
	Copy  bool   // what can be read of the damaged files
	Empty bool   // a new one
	File  []byte // the content of a state file; nil: one of the others
}

// Restore uses another configuration from now on, and keeps the files that there
// are beside it.
func (s *Store) Restore(from Source) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := survey(s.options)
	c, err := from.contents(f)
	if err != nil {
		return err
	}
	config, err := configOf(c.objects)
	if err != nil {
		return model.Errorf(model.Invalid, "that configuration cannot be used: %v", err)
	}
	if s.dir.presence() != inPlace {
		return model.Errorf(model.Conflict, "%s", s.replacedText())
	}
	for _, place := range []copyName{mainFile, secondFile} {
		if f[place].condition != absent {
			if err := s.keepBeside(place); err != nil {
				return err
			}
		}
	}
	s.id, s.objects, s.config = newID(), c.objects, config
	s.revision = max(f.last(), c.revision) + 1
	for _, place := range []copyName{mainFile, secondFile} {
		if err := s.rewrite(place); err != nil {
			return fmt.Errorf("restore the configuration: %w", err)
		}
	}
	if s.files[runFile] != nil {
		_ = s.rewrite(runFile) // as with each change
	}
	s.undecided, s.stuck = nil, ""
	return nil
}

func (s *Store) keepBeside(place copyName) error {
	aside, err := moveAside(s.files[place].path)
	if err == nil {
		s.note("%s was moved to %s, since another configuration was restored", s.files[place].path, aside)
	}
	return err
}

func (from Source) contents(f found) (contents, error) {
	switch {
	case from.Empty:
		all, err := allObjects(config.NewConfig())
		return contents{objects: all}, err
	case from.Copy:
		c, ok := f.mostReadable()
		if !ok {
			return contents{}, model.Errorf(model.NotFound, "nothing can be read of any copy of the configuration").WithHint("give a backup with --from FILE, or start anew with --empty")
		}
		return f[c], nil
	}
	c, is := readLayout1(from.File)
	if !is {
		c = parse(whatConfiguration, from.File)
	}
	if c.condition != whole {
		return contents{}, model.Errorf(model.Invalid, "the file %s", c.why).WithHint("give a state file of hostnat (%s) that is not damaged", FileName)
	}
	return c, nil
}

// mostReadable is the place with the latest configuration that can be read.
func (f found) mostReadable() (best copyName, ok bool) {
	for place, c := range f {
		if _, err := configOf(c.objects); err != nil {
			continue
		}
		if !ok || c.revision > f[best].revision {
			best, ok = copyName(place), true
		}
	}
	return best, ok
}

// last is the last revision that any file is known to have had.
func (f found) last() (last Revision) {
	for _, c := range f {
		if c.condition == torn { // it had part of one more
			c.beyond++
		}
		last = max(last, c.beyond)
	}
	return last
}

// choices are what Restore can do, the least loss first.
func choices(o Options, f found) []Choice {
	var list []Choice
	if place, ok := f.mostReadable(); ok {
		c, _ := configOf(f[place].objects)
		lost := "nothing is known to be lost"
		if last := f.last(); last > f[place].revision {
			lost = fmt.Sprintf("later changes are lost (%d)", last-f[place].revision)
		}
		list = append(list, Choice{"hostnat restore --copy", fmt.Sprintf("what can be read of %s: %s; %s", o.paths()[place], summary(c), lost)})
	}
	return append(list,
		Choice{"hostnat restore --from FILE", "a backup of a state file"},
		Choice{"hostnat restore --empty", "a new configuration: everything of hostnat that runs is taken down"})
}

func summary(c config.Config) string {
	return fmt.Sprintf("networks %d, endpoints %d, mappings %d, port proxies %d", len(c.Networks), len(c.Endpoints), len(c.Mappings), len(c.Proxies))
}

// Sight is what somebody sees who is not the daemon.
type Sight struct {
	Config    config.Config // if it is known
	Known     bool
	Problems  []string
	Undecided *Undecided
}

// Look reads the state and changes nothing. The error is a *model.Error if the
// daemon would not start with it.
func Look(o Options) (Sight, error) {
	f := survey(o)
	var sight Sight
	sight.Problems = leftAside(o, nil)
	if err := f.refusal(o); err != nil {
		return sight, err
	}
	d := decide(f, o.running())
	switch {
	case d.fresh:
		return sight, nil
	case d.undecided != "":
		sight.Undecided = &Undecided{d.undecided, choices(o, f)}
		return sight, nil
	}
	sight.Problems = append(d.notes, sight.Problems...)
	for place, c := range f[:runFile] {
		if c.condition != absent && c.condition != whole && !c.isInterrupted(f[d.use]) {
			sight.Problems = append(sight.Problems, fmt.Sprintf("%s %s: the daemon goes on with the other copy", o.paths()[place], c.why))
		}
	}
	var err error
	sight.Config, err = configOf(f[d.use].objects)
	sight.Known = err == nil
	return sight, err
}

// isAside reports whether a file in the state directory was moved there.
func isAside(name string) bool { return strings.Contains(name, asideMark) }

func mentioned(said []string, path string) bool {
	return slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, path) })
}
