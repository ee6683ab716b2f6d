//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/documents"
	"github.com/hostnat/hostnat/dev/lab"
)

// firstPort is the first line of README's way from a package to a published port.
const firstPort = "apt install ./bin/hostnat_*_$(dpkg --print-architecture).deb"

// TestFirstPort types README's commands from a package to a container's port that another
// machine reaches, as they stand there, on a fresh Debian with Docker and systemd. There
// are five at most.
func TestFirstPort(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	blocks, err := documents.Read("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(blocks, func(b documents.Block) bool { return b.First() == firstPort })
	if i < 0 {
		t.Fatalf("README has no block that begins with %q", firstPort)
	}
	commands := blocks[i].Commands
	if len(commands) > 5 {
		t.Errorf("README needs %d commands", len(commands))
	}
	const page = "container"
	top := lab.StartTopology(t, 0)
	m := startMachine(t, top.Host, trixie(t))
	for _, arch := range []string{"amd64", "arm64"} { // as `make deb` leaves them
		m.upload(buildPackageFor(t, arch), "/root/bin/hostnat_1.0_"+arch+".deb")
	}
	// Docker, as its package has it, with an image: there is no registry here. No
	// overlay over an overlay.
	m.sh("for d in /var/lib/docker /var/lib/containerd; do mkdir -p $d; mount -t tmpfs tmpfs $d; done; systemctl start docker")
	m.sh("mkdir -p /tmp/image/bin /tmp/image/www; cp /bin/busybox /tmp/image/bin/; echo " + page + " >/tmp/image/www/index.html")
	m.sh(`tar -C /tmp/image -c . | docker import --change 'CMD ["/bin/busybox", "httpd", "-f", "-h", "/www", "-p", "80"]' - nginx`)
	for _, c := range commands {
		cmd := m.command("bash", "-ec", "cd /root; "+c.Text)
		if c.Prompt == "other" {
			// hostnat hears of a container when it runs, and whoever types takes longer.
			waitFor(t, 10*time.Second, "the mapping", func() bool { return strings.Contains(m.sh("hostnat mapping list"), ":8080") })
			cmd = top.Remote.Command(t.Context(), "sh", "-c", c.Text+" --silent --show-error --max-time 10")
		}
		got := output(t, cmd)
		if c.Prompt == "other" && got != page+"\n" {
			t.Errorf("another machine gets %q", got)
		}
	}
}
