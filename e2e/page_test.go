//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hostnat/hostnat/dev/lab"
)

// pageViews are the page's views, and a text that each has when it shows what there is.
var pageViews = []struct{ name, text string }{
	{"overview", "packets/s"}, {"sessions", lab.RemoteAddress + ":7"}, {"events", "dropped, isolated-network"},
	{"drops", "isolated-network"}, {"ports", "c1"}, {"pools", "icmp"},
}

// startPage is a host whose daemon serves the page, with something of everything, and a
// browser that shows it.
func startPage(t *testing.T) (*host, *browser, string) {
	t.Helper()
	lab.RequireRoot(t)
	h := startHost(t, 2, "--web", "127.0.0.1:0")
	h.hostnat("network", "create", "other", "--subnet", "172.16.2.0/24")
	h.attach("c1", "--netns", h.Endpoints[0].Name)
	h.hostnat("endpoint", "attach", "other", "c2", "--netns", h.Endpoints[1].Name)
	h.publish("8080", "c1:80")
	h.hostnat("proxy", "add", "v4tov4", "9000", "c2:5000")
	h.listenAs("busybox<b>")
	h.talk()
	if c, err := h.Endpoints[0].Dial(t.Context(), "udp", "172.16.2.2:53"); err == nil { // dropped: networks are isolated
		_, _ = c.Write([]byte("x"))
		c.Close()
	}
	b := startBrowser(t, h.Host)
	page := strings.TrimSpace(h.hostnat("web"))
	b.do(chromedp.Navigate(page))
	b.waitText("Live")
	return h, b, page
}

// listenAs runs a program of that name that listens on a port of the host.
func (h *host) listenAs(name string) {
	h.t.Helper()
	program := filepath.Join(h.t.TempDir(), name)
	busybox, err := os.ReadFile(need(h.t, "busybox"))
	if err == nil {
		err = os.WriteFile(program, busybox, 0o755)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	start(h.t, h.Host, "listener", program, "nc", "-l", "-p", "9999")
}

// talk keeps a connection to the outside.
func (h *host) talk() {
	h.t.Helper()
	echo, err := lab.EchoServer(h.Remote, "tcp", ":7")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = echo.Close() })
	c, err := h.Endpoints[0].Dial(h.t.Context(), "tcp", lab.RemoteAddress+":7")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	if _, err := c.Write([]byte("hello\n")); err != nil {
		h.t.Fatal(err)
	}
}

func (b *browser) show(view, text string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("location.hash = %q; scrollTo(0, 0)", view)))
	b.waitText(text)
}

// TestPageForEverybody: each view, in light and dark, on a desk and on a phone, has nothing
// that axe-core has against it, and fits the width of the screen.
func TestPageForEverybody(t *testing.T) {
	t.Parallel()
	_, b, page := startPage(t)
	b.loadAxe()
	for _, l := range looks {
		b.look(l)
		for _, view := range pageViews {
			b.show(view.name, view.text)
			b.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true; })`))
			b.wait("tables behind charts", `[...document.querySelectorAll("details")].every((d) => d.children.length > 1)`)
			for _, v := range b.violations() {
				t.Errorf("%s, %s: %s (%s): %d times, such as %s: %s", view.name, l, v.ID, v.Help, len(v.Nodes), v.Nodes[0].HTML, v.Nodes[0].Summary)
			}
			if wide := value[int64](b, "document.documentElement.scrollWidth"); wide > l.width {
				t.Errorf("%s, %s: the page is %d wide", view.name, l, wide)
			}
			if overlaps := value[[]string](b, overlapping); len(overlaps) > 0 {
				t.Errorf("%s, %s: of the picture: %q", view.name, l, overlaps)
			}
			b.picture(view.name + "-" + l.String())
		}
	}
	if moves := value[string](b, `getComputedStyle(document.querySelector("button")).transitionDuration`); moves != "0s" {
		t.Errorf("things move for %s where no motion is wished", moves)
	}
	b.checkQuiet(page)
}

// overlapping are the pairs of the picture's boxes that lie on each other, and boxes that its
// frame cuts.
const overlapping = `(() => {
	const boxes = [...document.querySelectorAll(".box")].map((e) => [e.querySelector("title").textContent, e.querySelector(".face").getBoundingClientRect()]);
	const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
	const frame = document.querySelector(".topology svg")?.getBoundingClientRect();
	return [...boxes.flatMap(([name, a], i) => boxes.slice(i + 1).filter(([, b]) => meet(a, b)).map(([other]) => name + " and " + other)),
		...boxes.filter(([, a]) => a.left < frame.left - 1 || a.right > frame.right + 1 || a.bottom > frame.bottom + 1).map(([name]) => name)];
})()`

// TestPageShowsTextsAsTexts: a program's name that is HTML is shown as it is.
func TestPageShowsTextsAsTexts(t *testing.T) {
	t.Parallel()
	_, b, page := startPage(t)
	b.show("ports", "Port map")
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("details").open = true`))
	b.waitText("busybox<b> (pid ")
	if n := value[int](b, `document.querySelectorAll("main b").length`); n != 0 {
		t.Errorf("%d elements were made of texts", n)
	}
	b.show(`sessions?endpoint=<img src=x>&match=<script>alert(1)</script>`, "No session that matches")
	if n := value[int](b, `document.querySelectorAll("main img, main script").length`); n != 0 {
		t.Errorf("%d elements were made of the address", n)
	}
	b.checkQuiet(page)
}

// TestPageByKeyboard goes through the page by its keys alone, and ends a session so.
func TestPageByKeyboard(t *testing.T) {
	t.Parallel()
	h, b, page := startPage(t)
	b.waitText("Busiest endpoints")
	seen := b.tabs(24)
	for _, want := range []string{"To the content", "Overview", "Sessions", "Events", "Drops", "Ports", "Pools", "Pause"} {
		if !slices.Contains(seen, want) {
			t.Errorf("the keys do not lead to %q, but to %q", want, seen)
		}
	}
	if len(seen) == 0 || seen[0] != "To the content" {
		t.Errorf("the first is not the way past the head: %q", seen)
	}
	if !slices.ContainsFunc(seen, func(s string) bool { return strings.HasPrefix(s, "As a table") }) {
		t.Errorf("the keys do not lead to the tables: %q", seen)
	}
	if !slices.ContainsFunc(seen, func(s string) bool { return strings.HasPrefix(s, "endpoint c1") }) {
		t.Errorf("the keys do not lead to the picture's endpoints: %q", seen)
	}
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("nav a").focus()`), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	b.waitText(lab.RemoteAddress + ":7")
	b.wait("how long TCP's handshake took", `/\d ms \| \d.* ms/.test(document.querySelector("tbody").innerText)`)
	end := `document.querySelector("td.act button")`
	b.do(chromedp.Evaluate[chromedp.Void](end+".focus()"), chromedp.KeyEvent(kb.Enter))
	b.wait("the question", `document.querySelector("dialog[open]")`)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.wait("no question", `!document.querySelector("dialog")`)
	if n := len(h.sessions("--protocol", "tcp")); n != 1 {
		t.Errorf("%d sessions after the answer that it is to be kept", n)
	}
	b.do(chromedp.Evaluate[chromedp.Void](end+".focus()"), chromedp.KeyEvent(kb.Enter))
	b.wait("the question", `document.querySelector("dialog[open]")`)
	b.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	waitFor(t, browserLimit, "the session to end", func() bool { return len(h.sessions("--protocol", "tcp")) == 0 })
	b.checkQuiet(page)
}

// tabs are what the tab key leads to, by what they say.
func (b *browser) tabs(most int) (seen []string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	for range most {
		b.do(chromedp.KeyEvent(kb.Tab))
		text := value[string](b, `(() => {
			const e = document.activeElement;
			return e === document.body ? "" : (e.querySelector("title") ?? e).textContent.trim() || e.getAttribute("aria-label") || e.tagName;
		})()`)
		if text == "" { // once around
			return seen
		}
		if ring := value[bool](b, `document.activeElement.matches(":focus-visible")`); !ring {
			b.t.Errorf("nothing shows that %q has the focus", text)
		}
		seen = append(seen, text)
	}
	return seen
}

// TestPageGoesOn: an open page says that the daemon is gone, and goes on with the next one.
func TestPageGoesOn(t *testing.T) {
	t.Parallel()
	h, b, page := startPage(t)
	// The next one has the same place.
	address := strings.TrimPrefix(page[:strings.Index(page, "/#")], "http://")
	h.flags = []string{"--web", address}
	h.daemon.stop(t)
	b.waitText("The daemon does not answer")
	h.startDaemon()
	b.wait("the next daemon", `document.querySelector(".link").innerText.startsWith("Live")`)
	if again := strings.TrimSpace(h.hostnat("web")); again != page {
		t.Errorf("the page is at %s, it was at %s", again, page)
	}
	// Without the token, and with another one, it asks for it.
	b.forgetSaid() // that nobody answered
	b.do(chromedp.Evaluate[chromedp.Void](`sessionStorage.clear()`), chromedp.Navigate("http://"+address+"/"))
	b.waitText("This page needs a token")
	b.checkQuiet(page)
	b.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#token=` + strings.Repeat("0", 64) + `"`))
	b.waitText("does not take this token")
	b.do(chromedp.Evaluate[chromedp.Void](`location.hash = ` + fmt.Sprintf("%q", page[strings.Index(page, "#"):])))
	b.waitText("Live")
	if hash := value[string](b, "location.href"); strings.Contains(hash, "token") {
		t.Errorf("the token stays in the address: %s", hash)
	}
}
