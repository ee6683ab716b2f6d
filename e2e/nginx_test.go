//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// bigSize is how much the bulk transfers move, in bytes.
const bigSize = 100 << 20

// web is an nginx: it serves /page and takes uploads.
type web struct {
	t    *testing.T
	root string // what it serves
	log  string // its access log: a line "ADDRESS METHOD PATH STATUS" a request
}

const nginxConfig = `daemon off;
master_process off;
error_log stderr;
pid %[1]s/nginx.pid;
events { worker_connections 256; }
http {
	log_format brief '$remote_addr $request_method $uri $status';
	access_log %[1]s/access.log brief;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/unused;
	fastcgi_temp_path %[1]s/unused;
	uwsgi_temp_path %[1]s/unused;
	scgi_temp_path %[1]s/unused;
	client_max_body_size 200m;
	sendfile on;
	server {
		listen 80;
		root %[1]s/root;
		dav_methods PUT;
	}
}
`

// startNginx runs an nginx on port 80 of a namespace; /page says who it is.
func startNginx(t *testing.T, n *lab.Namespace, page string) *web {
	t.Helper()
	program := need(t, "nginx")
	dir := t.TempDir()
	w := &web{t: t, root: filepath.Join(dir, "root"), log: filepath.Join(dir, "access.log")}
	if err := os.Mkdir(w.root, 0o755); err != nil {
		t.Fatal(err)
	}
	w.write("page", []byte(page))
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, n, "nginx", program, "-c", config, "-p", dir)
	waitFor(t, 10*time.Second, "nginx to listen", func() bool {
		if p.hasEnded() {
			t.Fatal("nginx has ended")
		}
		conn, err := n.Dial(t.Context(), "tcp", "127.0.0.1:80")
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return w
}

func (w *web) write(name string, content []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, name), content, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// writeBig makes a file of bigSize random bytes and returns its SHA-256.
func (w *web) writeBig(name string) (path, sum string) {
	w.t.Helper()
	path = filepath.Join(w.root, name)
	f, err := os.Create(path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, hash), rand.Reader, bigSize); err != nil {
		w.t.Fatal(err)
	}
	return path, hex.EncodeToString(hash.Sum(nil))
}

// sum returns the SHA-256 of a file that it serves.
func (w *web) sum(name string) string {
	w.t.Helper()
	return fileSum(w.t, filepath.Join(w.root, name))
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// expectRequest waits for a line of the access log: nginx writes it after the
// answer.
func (w *web) expectRequest(line string) {
	w.t.Helper()
	var log []byte
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	if lab.WaitFor(ctx, func() bool {
		log, _ = os.ReadFile(w.log)
		return strings.Contains(string(log), line+"\n")
	}) != nil {
		w.t.Errorf("the access log has no line %q:\n%s", line, log)
	}
}
