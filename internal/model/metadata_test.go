package model

import (
	"fmt"
	"strings"
	"testing"
)

func TestMetadata(t *testing.T) {
	t.Parallel()
	many := func(count, size int) map[string]string {
		labels := make(map[string]string)
		for i := range count {
			labels[fmt.Sprint("k", i)] = strings.Repeat("v", size)
		}
		return labels
	}
	for _, tt := range []struct {
		name string
		m    Metadata
		want string // in the refusal; "": it is taken
	}{
		{"nothing", Metadata{}, ""},
		{"Docker's", Metadata{Owner: "docker", Labels: map[string]string{"com.docker.compose.project": "web", "empty": "", "path": "/srv/ä b"}}, ""},
		{"Kubernetes's", Metadata{Owner: "cni:k8s-pod-network", Labels: map[string]string{"k8s.io/pod": "default/web-1"}}, ""},
		{"as many as allowed", Metadata{Labels: many(MaxLabels, 0)}, ""},
		{"too many", Metadata{Labels: many(MaxLabels+1, 0)}, "65 labels"},
		{"too much", Metadata{Labels: many(MaxLabels, 300)}, "bytes"},
		{"a long value", Metadata{Labels: map[string]string{"k": strings.Repeat("v", MaxLabelValue+1)}}, "4097 bytes"},
		{"no key", Metadata{Labels: map[string]string{"": "v"}}, "not a key"},
		{"a long key", Metadata{Labels: map[string]string{strings.Repeat("k", MaxLabelKey+1): "v"}}, "not a key"},
		{"a key that is two", Metadata{Labels: map[string]string{"a=b": "v"}}, "not a key"},
		{"a value of two lines", Metadata{Labels: map[string]string{"k": "a\nb"}}, "not printable"},
		{"a value that is no text", Metadata{Labels: map[string]string{"k": "\xff"}}, "not printable"},
		{"an owner with a space", Metadata{Owner: "a b"}, "owner"},
		{"a long owner", Metadata{Owner: strings.Repeat("o", MaxOwner+1)}, "owner"},
	} {
		err := tt.m.Check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && CodeOf(err) != Invalid {
			t.Errorf("%s: code %s", tt.name, CodeOf(err))
		}
	}
}
