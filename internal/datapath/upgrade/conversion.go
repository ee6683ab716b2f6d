package upgrade

import (
	"fmt"
)

// conversion makes a key or value of one layout from one of another, field by
// field by name. What means something else has another name: then nothing is
// taken for what it is not, and no version number need be kept.
type conversion struct {
	size  int
	moves []move
}

type move struct{ from, to, size int }

func (c conversion) apply(old, into []byte) {
	clear(into)
	for _, m := range c.moves {
		copy(into[m.to:m.to+m.size], old[m.from:])
	}
}

// convertValue: a field that the old layout hasn't is zero, one that the new one
// hasn't is dropped.
func convertValue(from, to layout) (conversion, error) {
	c := conversion{size: to.size}
	for _, f := range to.fields {
		was, ok := from.findFormer(f.name)
		if !ok {
			continue
		}
		size, err := common(was, f)
		if err != nil {
			return conversion{}, err
		}
		c.moves = append(c.moves, move{was.offset, f.offset, size})
	}
	return c, nil
}

// convertKey: a key is the same thing only if it has the same fields.
func convertKey(from, to layout) (conversion, error) {
	for _, f := range to.fields {
		if _, ok := from.findFormer(f.name); !ok {
			return conversion{}, fmt.Errorf("its key has %s now", f.title())
		}
	}
	for _, f := range from.fields {
		if _, ok := to.find(f.name); !ok {
			return conversion{}, fmt.Errorf("its key had %s before", f.title())
		}
	}
	return convertValue(from, to)
}

// common is how many bytes two fields of one name share. A number may become
// wider (the object is little endian), a row longer or shorter.
func common(was, now field) (int, error) {
	switch {
	case was.element != now.element:
		return 0, fmt.Errorf("%s was something else before", now.title())
	case was.element == 0 && was.size > now.size:
		return 0, fmt.Errorf("%s is shorter now", now.title())
	}
	return min(was.size, now.size), nil
}

func (f field) title() string {
	if f.name == "" {
		return "the number"
	}
	return "the field " + f.name[1:]
}

// carrier converts the elements of one map into another's.
type carrier struct{ key, value conversion }

func newCarrier(from, to table) (c carrier, err error) {
	if from.key.size == 0 || to.key.size == 0 || from.value.size == 0 || to.value.size == 0 {
		return carrier{}, fmt.Errorf("its layout is not known")
	}
	if c.key, err = convertKey(from.key, to.key); err != nil {
		return carrier{}, err
	}
	c.value, err = convertValue(from.value, to.value)
	return c, err
}
