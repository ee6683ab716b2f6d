package docker

import (
	"context"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// mostHappenings is how many may wait. What does not fit may be left out, since those that
// wait have everything looked at.
const mostHappenings = 256

// happening is one of Docker's events.
type happening struct {
	kind, action string
	container    string // its id
	network      string // likewise, for a connection
}

func happeningOf(m events.Message) happening {
	h := happening{kind: string(m.Type), action: string(m.Action), container: m.Actor.ID}
	if m.Type == events.NetworkEventType {
		h.network, h.container = m.Actor.ID, m.Actor.Attributes["container"]
	}
	return h
}

// events has an element for each thing that happens to containers or networks; it
// is closed when Docker ends or ctx does.
func (e *Engine) events(ctx context.Context) <-chan happening {
	filters := make(client.Filters).Add("type", "container", "network").
		Add("event", "start", "die", "rename", "connect", "disconnect", "create", "destroy")
	stream := e.c.Events(ctx, client.EventsListOptions{Filters: filters})
	happened := make(chan happening, mostHappenings)
	go func() {
		defer close(happened)
		for {
			select {
			case m := <-stream.Messages:
				select {
				case happened <- happeningOf(m):
				default:
				}
			case <-stream.Err:
				return
			}
		}
	}()
	return happened
}
