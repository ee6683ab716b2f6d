package podman

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/hostnat/hostnat/internal/plugin/container"
)

// Driver is what Podman calls the plugin: the name of its file.
const Driver = "hostnat"

// maxInput is far more than netavark ever says, in bytes.
const maxInput = 16 << 20

// IsPlugin reports whether a program that was called by that name is to be the
// plugin: it lies in a directory of netavark's plugins, or is called hostnat-netavark.
func IsPlugin(calledAs string) bool {
	return filepath.Base(calledAs) == "hostnat-netavark" || filepath.Base(filepath.Dir(calledAs)) == "netavark"
}

// Surroundings are those of one run.
type Surroundings struct {
	Args    []string // verb and namespace
	In      io.Reader
	Out     io.Writer
	Version string
	UIDMap  string // of the process: /proc/self/uid_map
	Euid    int
}

// Exec does what the arguments say, and returns the exit code. Errors go to the
// output, as netavark wants them: {"error": "..."}.
func (p *Plugin) Exec(ctx context.Context, s Surroundings) int {
	out, err := p.exec(ctx, s)
	code := 0
	if err != nil {
		code = 1
		out = map[string]string{"error": "hostnat: " + strings.Join(strings.Fields(err.Error()), " ")}
	}
	if out == nil {
		return code
	}
	text, err := json.Marshal(out)
	if err == nil {
		_, err = s.Out.Write(append(text, '\n'))
	}
	if err != nil {
		return 1
	}
	return code
}

func (p *Plugin) exec(ctx context.Context, s Surroundings) (any, error) {
	verb := ""
	if len(s.Args) > 0 {
		verb = s.Args[0]
	}
	if verb == "info" {
		return map[string]string{"version": s.Version, "api_version": APIVersion}, nil
	}
	if want := map[string]int{"create": 1, "setup": 2, "teardown": 2}[verb]; want == 0 || want != len(s.Args) {
		return nil, fmt.Errorf("this is a plugin of netavark: it takes info, create, setup NETNS or teardown NETNS, and was given %q", strings.Join(s.Args, " "))
	}
	if err := s.rootful(); err != nil {
		return nil, err
	}
	if verb == "create" {
		var n Network
		if err := s.read(&n); err != nil {
			return nil, err
		}
		return p.Create(ctx, n)
	}
	var c Container
	if err := s.read(&c); err != nil {
		return nil, err
	}
	if c.ID == "" || c.Network.Name == "" {
		return nil, errors.New("netavark names no container, or no network")
	}
	if verb == "teardown" {
		return nil, p.Teardown(ctx, c)
	}
	return p.Setup(ctx, s.Args[1], c)
}

// rootful refuses Podman that is run by another user than root: its containers are
// in a namespace behind pasta, where nothing of hostnat is.
func (s Surroundings) rootful() error {
	if container.Rootful(s.Euid, s.UIDMap) {
		return nil
	}
	return errors.New("rootless Podman cannot use the driver hostnat: its containers are not on the host's own network; run podman as root")
}

func (s Surroundings) read(v any) error {
	if err := json.NewDecoder(io.LimitReader(s.In, maxInput)).Decode(v); err != nil {
		return fmt.Errorf("read what netavark says: %w", err)
	}
	return nil
}
