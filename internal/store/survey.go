package store

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/regular"
)

// paths are where the configuration is kept; empty: not there.
func (o Options) paths() [places]string {
	paths := [places]string{mainFile: filepath.Join(o.Dir, FileName), secondFile: filepath.Join(o.Dir, CopyName)}
	if o.RunDir != "" {
		paths[runFile] = filepath.Join(o.RunDir, RunningName)
	}
	return paths
}

func (o Options) running() bool { return o.Running != nil && o.Running() }

// survey reads all places, and changes nothing.
func survey(o Options) (f found) {
	for place, path := range o.paths() {
		if path != "" {
			f[place] = readFile(path, whatConfiguration, readLayout1)
		}
	}
	return f
}

// readFile reads a state file, whatever is there. old reads the layout before.
func readFile(path, what string, old func([]byte) (contents, bool)) contents {
	data, err := regular.Read(path, maxFile)
	var refused *regular.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return contents{condition: absent}
	case errors.As(err, &refused):
		return contents{condition: alien, why: refused.What}
	case err != nil:
		return contents{condition: damaged, why: "cannot be read (" + err.Error() + ")"}
	}
	if c, is := old(data); is {
		return c
	}
	return parse(what, data)
}

// refusal says why hostnat does not start with these files. A newer hostnat has
// written both: one alone that says so beside a whole one is damaged.
func (f found) refusal(o Options) error {
	for place, c := range f {
		path := o.paths()[place]
		switch {
		case c.condition == newer && copyName(place) != runFile && f[1-place].condition != whole:
			return model.Errorf(model.Unavailable, "%s %s", path, c.why).WithHint("use that version, or another --state-dir")
		case c.condition == alien && copyName(place) == mainFile && f[secondFile].condition == absent && f[runFile].condition == absent:
			// Nothing here was ever hostnat's: the directory is a mistake.
			return model.Errorf(model.Unavailable, "%s %s", path, c.why).WithHint("move it away, or use another --state-dir")
		}
	}
	return nil
}
