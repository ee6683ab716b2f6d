//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
)

const composeFile = `version: "3"
services:
  web: {image: e2e, command: [/bin/busybox, httpd, -f, -h, /www], ports: ["8080:80"]}
  db: {image: e2e, command: [/bin/busybox, httpd, -f, -h, /www]}
`

// TestCompose: a project's containers are endpoints on a network of their own, which find
// each other by their services' names, and all goes with the project.
func TestCompose(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	program := need(t, "docker-compose")
	h := startHost(t, 0)
	outside := startNginx(t, h.Remote, "outside")
	d := followedDocker(t, h)
	file := filepath.Join(t.TempDir(), "docker-compose.yml")
	if err := os.WriteFile(file, []byte(composeFile), 0o600); err != nil {
		t.Fatal(err)
	}
	compose := func(args ...string) {
		t.Helper()
		cmd := exec.Command(program, append([]string{"-f", file, "-p", "shop"}, args...)...)
		cmd.Env = []string{"DOCKER_HOST=" + d.socket, "HOME=" + t.TempDir(), "PATH=/usr/bin:/bin"}
		output(t, cmd)
	}
	compose("up", "-d")
	h.waitForDocker([]string{"shop_db_1", "shop_web_1"}, []string{"tcp 0.0.0.0:8080"})
	h.wantContainersPage()
	if got := d.fetch("shop_web_1", "http://db/page"); got != "container" {
		t.Errorf("by the name of its service the page is %q", got)
	}
	if got := d.fetch("shop_db_1", outsideURL+"/page"); got != "outside" {
		t.Errorf("the page outside is %q", got)
	}
	outside.expectRequest(lab.HostAddress + " GET /page 200")
	h.hostnat("network", "show", "shop_default")
	compose("down", "--timeout", "0")
	h.waitForDocker(nil, nil)
	h.waitForNetworks("docker", "web")
}
