package wanted

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// Place is where in its file something stands.
type Place struct {
	File string
	Line int
	Keys map[string]int // the line of each key that is mentioned; of one within another "timeouts.udp"
}

// Refuse returns the refusal with the place in front. The line is that of the key,
// if it is mentioned.
func (p Place) Refuse(key string, err error) error {
	if err == nil || p.File == "" {
		return err
	}
	line := p.Line
	if of, mentioned := p.Keys[key]; mentioned {
		line = of
	}
	at := fmt.Sprintf("%s:%d: ", p.File, line)
	if e, ok := err.(*model.Error); ok {
		return &model.Error{Code: e.Code, Message: at + e.Message, Hint: e.Hint}
	}
	return fmt.Errorf("%s%w", at, err)
}

// Mentions reports whether the key is there.
func (p Place) Mentions(key string) bool {
	_, mentioned := p.Keys[key]
	return mentioned
}

// At puts the place of what is wrong in front: of the key that the refusal
// begins with, or of the whole object.
func (p Place) At(err error) error {
	if err == nil {
		return nil
	}
	word, _, _ := strings.Cut(strings.ToLower(err.Error()), " ")
	for _, key := range slices.Sorted(maps.Keys(p.Keys)) {
		if word != "" && strings.HasPrefix(strings.ToLower(key), word) {
			return p.Refuse(key, err)
		}
	}
	return p.Refuse("", err)
}

// MayChange refuses what a plugin makes and takes away by itself.
func (p Place) MayChange(what, owner string) error {
	if !model.IsPluginOwner(owner) {
		return nil
	}
	return p.Refuse("", model.Errorf(model.Conflict, "%s belongs to %s: hostnat makes and changes it by what %s says", what, owner, owner).
		WithHint("change it there, or leave it out"))
}

// Metadata are the labels and the owner that a thing is to have.
func (p Place) Metadata(has model.Metadata, labels map[string]string, owner string, whole bool) (model.Metadata, error) {
	if model.IsPluginOwner(owner) && owner != has.Owner {
		return has, p.Refuse("owner", model.Errorf(model.Invalid, "owner %s is for what hostnat makes by itself for %s", owner, owner).WithHint("choose another"))
	}
	if owner != "" {
		has.Owner = owner
	}
	if labels != nil || whole {
		has.Labels = labels
	}
	return has, p.Refuse("labels", has.Check())
}

// Only returns the value of a list that may hold one today.
func (p Place) Only(key string, list []string) (string, error) {
	switch len(list) {
	case 0:
		return "", nil
	case 1:
		return list[0], nil
	}
	return "", p.Refuse(key, model.Errorf(model.Invalid, "%s: %d are given", key, len(list)).WithHint("give one, of IPv4"))
}
