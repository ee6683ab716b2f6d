package diff

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/model"
)

// kinds are the kinds of objects, in the order in which files have them. A new one is
// a field of Difference and an element here.
var kinds = []kind{
	kindOf[model.Pool, wanted.Pool]{
		name: "pool", in: func(d *Difference) *List[model.Pool] { return &d.Pools }, from: func(c *config.Config) []model.Pool { return c.Pools },
		compare: byKey(func(a, b *model.Pool) bool { return *a == *b }, func(p *model.Pool) netip.Prefix { return p.Prefix }),
		file:    wanted.OfPool, title: func(p model.Pool) string { return p.Prefix.String() }, keys: []string{"prefix"},
	},
	kindOf[model.NAT, wanted.NAT]{
		name: "nat", in: func(d *Difference) *List[model.NAT] { return &d.NATs }, from: func(c *config.Config) []model.NAT { return c.NATs },
		compare: byID((*model.NAT).Equal, func(n *model.NAT) uint32 { return n.ID }),
		file:    wanted.OfNAT, usual: wanted.DefaultNAT, title: func(n model.NAT) string { return n.Name }, keys: []string{"name"},
	},
	kindOf[model.Network, wanted.Network]{
		name: "network", in: func(d *Difference) *List[model.Network] { return &d.Networks }, from: func(c *config.Config) []model.Network { return c.Networks },
		compare: byID((*model.Network).Equal, func(n *model.Network) uint32 { return n.ID }),
		file:    wanted.OfNetwork, usual: wanted.UsualNetwork, title: func(n model.Network) string { return n.Name }, keys: []string{"name"},
	},
	kindOf[model.Endpoint, wanted.Endpoint]{
		name: "endpoint", in: func(d *Difference) *List[model.Endpoint] { return &d.Endpoints }, from: func(c *config.Config) []model.Endpoint { return c.Endpoints },
		compare: byID((*model.Endpoint).Equal, func(e *model.Endpoint) uint32 { return e.ID }),
		file:    wanted.OfEndpoint, title: func(e model.Endpoint) string { return e.Name }, keys: []string{"name"},
	},
	kindOf[model.Reservation, wanted.Reservation]{
		name: "reservation", in: func(d *Difference) *List[model.Reservation] { return &d.Reservations }, from: func(c *config.Config) []model.Reservation { return c.Reservations },
		compare: byKey((*model.Reservation).Equal, func(r *model.Reservation) addressKey { return addressKey{r.Network, r.Address} }),
		file:    wanted.OfReservation, title: func(r model.Reservation) string { return r.Network + "/" + r.Address.String() }, keys: []string{"network", "address"},
	},
	kindOf[model.Mapping, wanted.Mapping]{
		name: "mapping", in: func(d *Difference) *List[model.Mapping] { return &d.Mappings }, from: func(c *config.Config) []model.Mapping { return c.Mappings },
		compare: byID((*model.Mapping).Equal, func(m *model.Mapping) uint32 { return m.ID }),
		file:    wanted.OfMapping, title: func(m model.Mapping) string { return m.Protocol.String() + " " + m.ExternalText() }, keys: []string{"protocol", "external", "network"},
	},
	kindOf[model.Proxy, wanted.Proxy]{
		name: "proxy", in: func(d *Difference) *List[model.Proxy] { return &d.Proxies }, from: func(c *config.Config) []model.Proxy { return c.Proxies },
		compare: byID((*model.Proxy).Equal, func(p *model.Proxy) uint32 { return p.ID }),
		file:    wanted.OfProxy, usual: func(model.Proxy) model.Proxy { return model.Proxy{} },
		title: func(p model.Proxy) string { return p.Protocol.String() + " " + p.Listen.String() }, keys: []string{"protocol", "listen"},
	},
}

// kind is what kindOf does for its objects.
type kind interface {
	setDifference(d *Difference, before, after *config.Config)
	isEmpty(d *Difference) bool
	objects(d *Difference) []Object
}

// kindOf is all that there is to know of objects T that files have as W.
type kindOf[T, W any] struct {
	name    string
	in      func(*Difference) *List[T]
	from    func(*config.Config) []T
	compare func(before, after []T) List[T]

	file  func(T) W
	usual func(T) T // what files need not say of it; nil: nothing
	title func(T) string
	keys  []string // of W, that the title has
}

func (k kindOf[T, W]) setDifference(d *Difference, before, after *config.Config) {
	*k.in(d) = k.compare(k.from(before), k.from(after))
}

func (k kindOf[T, W]) isEmpty(d *Difference) bool { return k.in(d).Empty() }

// addressKey is an address of a network.
type addressKey struct {
	network string
	address netip.Addr
}

// byID compares two lists that are ordered by id. Where they share their memory, as a
// copy shares its mappings with the original until one is edited, nothing is compared.
func byID[T any](equal func(a, b *T) bool, id func(*T) uint32) func(before, after []T) List[T] {
	return func(before, after []T) (c List[T]) {
		if shared(before, after) {
			return c
		}
		for len(before) > 0 || len(after) > 0 {
			switch {
			case len(after) == 0 || len(before) > 0 && id(&before[0]) < id(&after[0]):
				c.Removed = append(c.Removed, before[0])
				before = before[1:]
			case len(before) == 0 || id(&after[0]) < id(&before[0]):
				c.Added = append(c.Added, after[0])
				after = after[1:]
			default:
				if !equal(&before[0], &after[0]) {
					c.Changed = append(c.Changed, Change[T]{before[0], after[0]})
				}
				before, after = before[1:], after[1:]
			}
		}
		return c
	}
}

// byKey compares two lists that are in no order.
func byKey[T any, K comparable](equal func(a, b *T) bool, key func(*T) K) func(before, after []T) List[T] {
	return func(before, after []T) (c List[T]) {
		old := make(map[K]*T, len(before))
		for i := range before {
			old[key(&before[i])] = &before[i]
		}
		for i := range after {
			k := key(&after[i])
			switch was := old[k]; {
			case was == nil:
				c.Added = append(c.Added, after[i])
			case !equal(was, &after[i]):
				c.Changed = append(c.Changed, Change[T]{*was, after[i]})
			}
			delete(old, k)
		}
		for i := range before {
			if old[key(&before[i])] != nil {
				c.Removed = append(c.Removed, before[i])
			}
		}
		return c
	}
}

// shared reports whether two lists are one piece of memory.
func shared[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }
