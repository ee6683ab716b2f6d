package main

import (
	"strings"
	"testing"

	"github.com/hostnat/hostnat/api"
)

func TestPublished(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, protocols, external, internal string }{
		{"8080:c1:80", "tcp", "8080", "c1:80"},
		{"c1:80", "tcp", "", "c1:80"},
		{"192.0.2.1:8000-8009:c1:80-89/udp", "udp", "192.0.2.1:8000-8009", "c1:80-89"},
		{"53:c1:53/TCP,udp", "tcp,udp", "53", "c1:53"},
		{"80", "", "", ""},
		{"a:b:c:d:e", "", "", ""},
	}
	for _, tt := range tests {
		var spec api.MappingSpec
		protocols, ok := parsePublished(&spec, tt.text)
		if ok != (tt.protocols != "") || strings.Join(protocols, ",") != tt.protocols || spec.External != tt.external || spec.Internal != tt.internal {
			t.Errorf("%q: %v, %v, %+v", tt.text, protocols, ok, spec)
		}
	}
}
