package traffic_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/traffic"
)

// rates has three endpoints: b has the most sessions, c the most packets, and a the most new ones.
func rates() traffic.Rates {
	before := traffic.Reading{At: start, Active: []model.Session{
		session("b", "172.16.1.3:1", 443, lastYear, 100), session("c", "172.16.1.4:1", 53, lastYear, 100),
	}}
	small := session("c", "172.16.1.4:1", 53, lastYear, 100)
	small.PacketsOut += 500 // of no bytes
	return traffic.Between(before, traffic.Reading{
		At: start.Add(time.Second), Active: []model.Session{
			session("b", "172.16.1.3:1", 443, lastYear, 150), small,
			session("a", "172.16.1.2:1", 80, start.Add(time.Millisecond), 10), session("a", "172.16.1.2:2", 81, start.Add(2*time.Millisecond), 9),
		},
		Holders: []traffic.Holder{holder("a", "172.16.1.2", 2), holder("b", "172.16.1.3", 9), holder("c", "172.16.1.4", 1)},
	})
}

func TestTop(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		query               traffic.Query
		endpoints, sessions []string
		matching            [2]int
	}{
		"bytes":          {traffic.Query{Count: 9}, []string{"b", "a", "c"}, []string{"443", "80", "81", "53"}, [2]int{3, 4}},
		"packets":        {traffic.Query{Count: 9, Order: traffic.ByPackets}, []string{"c", "b", "a"}, []string{"53", "443", "80", "81"}, [2]int{3, 4}},
		"sessions":       {traffic.Query{Count: 9, Order: traffic.BySessions}, []string{"b", "a", "c"}, []string{"443", "80", "81", "53"}, [2]int{3, 4}},
		"opened":         {traffic.Query{Count: 9, Order: traffic.ByOpened}, []string{"a", "b", "c"}, []string{"81", "80", "443", "53"}, [2]int{3, 4}},
		"name":           {traffic.Query{Count: 9, Order: traffic.ByName}, []string{"a", "b", "c"}, []string{"80", "81", "443", "53"}, [2]int{3, 4}},
		"cut":            {traffic.Query{Count: 1}, []string{"b"}, []string{"443"}, [2]int{3, 4}},
		"endpoint":       {traffic.Query{Count: 9, Endpoint: "a"}, []string{"a"}, []string{"80", "81"}, [2]int{1, 2}},
		"no endpoint":    {traffic.Query{Count: 9, Endpoint: "A"}, nil, nil, [2]int{}},
		"match a port":   {traffic.Query{Count: 9, Match: ":443"}, nil, []string{"443"}, [2]int{0, 1}},
		"match a state":  {traffic.Query{Count: 1, Match: "ESTAB"}, nil, []string{"443"}, [2]int{0, 4}},
		"match, address": {traffic.Query{Count: 9, Match: "16.1.4"}, []string{"c"}, []string{"53"}, [2]int{1, 1}},
	} {
		top := rates().Top(tt.query)
		var endpoints, sessions []string
		for _, e := range top.Endpoints {
			endpoints = append(endpoints, e.Name)
		}
		for _, s := range top.Active {
			sessions = append(sessions, s.Remote.String()[len("198.51.100.7:"):])
		}
		if !slices.Equal(endpoints, tt.endpoints) || !slices.Equal(sessions, tt.sessions) {
			t.Errorf("%s: got %v, %v; want %v, %v", name, endpoints, sessions, tt.endpoints, tt.sessions)
		}
		if got := [2]int{top.MatchingEndpoints, top.MatchingSessions}; got != tt.matching {
			t.Errorf("%s: %v match, want %v", name, got, tt.matching)
		}
	}
}

// Who asks for the top of rates leaves them as they are: others ask too.
func TestTopChangesNothing(t *testing.T) {
	t.Parallel()
	r := rates()
	r.Top(traffic.Query{Count: 1, Order: traffic.ByName}).Endpoints[0].Name = "mine"
	if diff := cmp.Diff(rates(), r, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCheckQuery(t *testing.T) {
	t.Parallel()
	for _, o := range append(traffic.Orders, "") {
		if err := (traffic.Query{Order: o}).Check(); err != nil {
			t.Errorf("%q: %v", o, err)
		}
	}
	for _, q := range []traffic.Query{{Order: "size"}, {Count: -1}} {
		if err := q.Check(); err == nil {
			t.Errorf("%+v was taken", q)
		}
	}
}
