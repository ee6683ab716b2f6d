package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/event"
)

type authorKey struct{}

// WithAuthor says who asks for what is done with ctx: "root (pid 4711)".
func WithAuthor(ctx context.Context, author string) context.Context {
	return context.WithValue(ctx, authorKey{}, author)
}

// announced is how many objects an event names.
const announced = 3

// announceChange sends an event of what has changed, and by whom.
func (c *Control) announceChange(ctx context.Context, what string, difference diff.Difference) {
	e := event.New(event.ConfigurationChange, time.Now())
	e.Author, _ = ctx.Value(authorKey{}).(string)
	if e.Author == "" {
		e.Author = "the daemon"
	}
	e.Description = changeText(what, difference.Objects())
	c.events.Announce(e)
}

func changeText(what string, objects []diff.Object) string {
	var list []string
	for _, o := range objects[:min(announced, len(objects))] {
		list = append(list, o.Text())
	}
	if more := len(objects) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	if len(list) == 0 {
		return what
	}
	return what + ": " + strings.Join(list, "; ")
}
