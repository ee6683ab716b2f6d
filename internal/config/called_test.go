package config

import (
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// TestCalled: filters know endpoints by their aliases too, unless several have one.
func TestCalled(t *testing.T) {
	t.Parallel()
	c := Config{Endpoints: []model.Endpoint{
		{Name: "docker-1", Network: "web", Aliases: []string{"c1", "shared"}}, {Name: "docker-2", Network: "web", Aliases: []string{"c2", "shared"}},
		{Name: "vm", Network: "web"},
	}}
	for _, tt := range []struct {
		name, want string
		code       model.Code
	}{
		{"docker-1", "docker-1", ""}, {"c1", "docker-1", ""}, {"C2", "docker-2", ""}, {"vm", "vm", ""},
		{"shared", "", model.Invalid}, {"c3", "", model.NotFound},
	} {
		e, err := c.Called(tt.name)
		if e.Name != tt.want || (err != nil || tt.code != "") && model.CodeOf(err) != tt.code {
			t.Errorf("%s is %q, %v", tt.name, e.Name, err)
		}
	}
}
