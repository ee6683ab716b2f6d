package reconcile

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// manyLinks is how many links are looked at one by one; of more, all are listed.
const manyLinks = 200

// linkCache is the host's links, looked at again only where the kernel has announced
// something. It also tells what others do from what hostnat does: what was done
// to a link is expected once it was told to the data path.
type linkCache struct {
	watcher *host.Watcher

	mu    sync.Mutex
	known bool              // links are all that there are
	links map[int]host.Link // by index
	index map[string]int    // by name
	facts *model.HostFacts  // nil: something that they follow from has changed

	told   map[int]host.Link // as they were when the data path was told
	differ map[int]bool      // links that are not as told
	stale  bool              // something beside links is not as it was then

	routes map[host.RouteKey]bool // that hostnat keeps

	ours  map[string]bool // links that gateways are on, by name; those that hostnat did not make too
	named map[string]bool // others that the configuration names
}

func newLinkCache(w *host.Watcher) *linkCache {
	return &linkCache{watcher: w, links: make(map[int]host.Link), index: make(map[string]int), told: make(map[int]host.Link), differ: make(map[int]bool)}
}

// isOurs reports whether a link is hostnat's to use: its own ones, and bridges that
// networks have adopted, on which the host may have addresses and routes of its own.
func (m *linkCache) isOurs(l host.Link) bool { return l.Hostnats() || m.ours[l.Name] }

// matters reports whether anything follows from a link. Engines make both ends of a
// container's link on the host, and take one away: nothing follows from that one.
func (m *linkCache) matters(l host.Link) bool {
	return !l.WaitsToMove() || l.MasterIndex != 0 || m.isOurs(l) || m.named[l.Name]
}

// use says which links the gateways are on, and which others the configuration names.
func (m *linkCache) use(bridges, named map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.named = named
	for _, l := range m.links {
		if !l.Owned() && bridges[l.Name] != m.ours[l.Name] {
			m.facts = nil
		}
	}
	m.ours = bridges
}

// reload lists all links.
func (m *linkCache) reload(ctx context.Context) ([]host.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = false
	if err := m.refresh(ctx); err != nil {
		return nil, err
	}
	return m.list(), nil
}

// look returns all links as they are now.
func (m *linkCache) look(ctx context.Context) ([]host.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refresh(ctx); err != nil {
		return nil, err
	}
	return m.list(), nil
}

// find returns the links of these names that are there now.
func (m *linkCache) find(ctx context.Context, names []string) ([]host.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refresh(ctx); err != nil {
		return nil, err
	}
	var links []host.Link
	for _, name := range names {
		if index, ok := m.index[name]; ok {
			links = append(links, m.links[index])
		}
	}
	return links, nil
}

// mtuOf returns the MTU of a link as it is now; 0 if it is not there.
func (m *linkCache) mtuOf(index int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refresh(context.Background()); err != nil {
		return 0
	}
	return m.links[index].MTU
}

// drifted reports whether anything is not as it was when the data path was told.
func (m *linkCache) drifted(ctx context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refresh(ctx); err != nil {
		return false, err
	}
	return m.stale || len(m.differ) > 0, nil
}

// begin is called before everything is looked at: what is announced from now on
// may come too late for that.
func (m *linkCache) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stale = false
}

// tell notes that the data path is being told of links as they are here.
func (m *linkCache) tell(links []host.Link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = make(map[int]host.Link, len(links))
	for _, l := range links {
		m.told[l.Index] = l
	}
	m.compare()
	m.tick()
}

// tellOf is tell for some links, and some that are gone.
func (m *linkCache) tellOf(links []host.Link, gone []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range links {
		m.told[l.Index] = l
		m.compareOne(l.Index)
	}
	for _, index := range gone {
		delete(m.told, index)
		m.compareOne(index)
	}
	m.tick()
}

// list returns all links by index. The caller holds mu.
func (m *linkCache) list() []host.Link { return byIndex(m.links) }

func byIndex(links map[int]host.Link) []host.Link {
	return slices.SortedFunc(maps.Values(links), func(a, b host.Link) int { return cmp.Compare(a.Index, b.Index) })
}

// refresh looks where something was announced. The caller holds mu.
func (m *linkCache) refresh(ctx context.Context) error {
	changes, err := m.watcher.Take()
	if err != nil {
		return err
	}
	if !m.known || changes.All || len(changes.Links) > manyLinks {
		m.known = false // until it is
		links, err := host.Links(ctx)
		if err != nil {
			return err
		}
		m.replace(links)
		m.stale = m.stale || changes.All
	}
	for index := range changes.Links {
		l, found, err := host.LinkAt(ctx, index)
		if err != nil {
			m.known = false
			return err
		}
		m.put(index, l, found)
	}
	for index := range changes.Settings {
		if was, known := m.links[index]; known && m.ours[was.Name] && !was.Hostnats() { // whether it forwards
			l, found, err := host.LinkAt(ctx, index)
			if err != nil {
				m.known = false
				return err
			}
			m.put(index, l, found)
		}
	}
	m.heed(changes)
	m.tick()
	return nil
}

// tick has the daemon look at what is not as told: its announcement was taken.
func (m *linkCache) tick() {
	if m.stale || len(m.differ) > 0 {
		m.watcher.Tick()
	}
}

// replace takes links as all that there are.
func (m *linkCache) replace(links []host.Link) {
	m.known, m.facts = true, nil
	clear(m.links)
	clear(m.index)
	for _, l := range links {
		m.links[l.Index], m.index[l.Name] = l, l.Index
	}
	m.compare()
}

func (m *linkCache) put(index int, l host.Link, found bool) {
	was, had := m.links[index]
	if had == found && was.Equal(l) {
		if found {
			m.links[index] = l // whether a program has a TAP open is no difference
		}
		return
	}
	if had && m.index[was.Name] == index {
		delete(m.index, was.Name)
	}
	delete(m.links, index)
	if found {
		m.links[index], m.index[l.Name] = l, index
	}
	if had && !was.Hostnats() && m.matters(was) || found && !l.Hostnats() && m.matters(l) {
		m.facts = nil
	}
	m.compareOne(index)
}

// expectRoutes says which routes are to be there from now on.
func (m *linkCache) expectRoutes(routes []host.OwnRoute) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.routes = make(map[host.RouteKey]bool, len(routes))
	for _, r := range routes {
		m.routes[r.Key()] = true
	}
}

// heed takes note of what was announced about routes, rules and settings.
func (m *linkCache) heed(c host.Changes) {
	m.stale = m.stale || c.IPsec || c.Rules
	if c.Rules {
		m.facts = nil
	}
	for key := range c.Lost {
		m.stale = m.stale || m.routes[key]
	}
	for index := range c.Routes {
		l, known := m.linkOnce(index)
		if !known || !m.isOurs(l) {
			m.stale = true
		}
		if !known || !l.Hostnats() {
			m.facts = nil
		}
	}
	for index := range c.Settings {
		if l, known := m.links[index]; known && m.isOurs(l) && !host.SettingsFit(l) {
			m.stale = true
		}
	}
}

// linkOnce is a link that is there, or was when the data path was told.
func (m *linkCache) linkOnce(index int) (host.Link, bool) {
	if l, ok := m.links[index]; ok {
		return l, true
	}
	l, ok := m.told[index]
	return l, ok
}

func (m *linkCache) compare() {
	clear(m.differ)
	for index := range m.links {
		m.compareOne(index)
	}
	for index := range m.told {
		m.compareOne(index)
	}
}

func (m *linkCache) compareOne(index int) {
	is, there := m.links[index]
	was, told := m.told[index]
	there, told = there && m.matters(is), told && m.matters(was)
	if there && told && !is.Owned() && !was.Owned() {
		is.PeerIndex, is.PeerNSID = was.PeerIndex, was.PeerNSID // where others' links lead says nothing
	}
	if there == told && (!there || is.Equal(was)) {
		delete(m.differ, index)
	} else {
		m.differ[index] = true
	}
}

// hostFacts gathers what the host itself uses, unless nothing of it has changed
// since that was done last.
func (m *linkCache) hostFacts(ctx context.Context) (model.HostFacts, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refresh(ctx); err != nil {
		return model.HostFacts{}, err
	}
	if m.facts == nil {
		names := make(map[string]bool)
		for _, l := range m.links {
			names[l.Name] = m.isOurs(l)
		}
		facts, err := host.FactsOf(ctx, m.list(), func(link string) bool { return names[link] })
		if err != nil {
			return model.HostFacts{}, err
		}
		m.facts = &facts
	}
	return *m.facts, nil
}
