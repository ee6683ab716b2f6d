//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/hostnat/hostnat/dev/lab"
)

// browserLimit is how long a page may take to get somewhere.
const browserLimit = 60 * time.Second

// browser is a Chromium in a namespace, and the one page that it shows.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string // URLs that the page has asked for
	said     []string // errors in its console, exceptions, what the policy has refused
}

// startBrowser runs a Chromium. It is told what to do by a pipe, so that it may be in a namespace.
func startBrowser(t *testing.T, n *lab.Namespace) *browser {
	t.Helper()
	inside := n.Command(context.Background(), need(t, "chromium"))
	nsenter, err := exec.LookPath(inside.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath(inside.Args[len(inside.Args)-1]),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.Path, cmd.Args = nsenter, append(slices.Clone(inside.Args), cmd.Args[1:]...)
		}))
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	b := &browser{t: t}
	ctx, end = chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	t.Cleanup(end)
	b.ctx = ctx
	b.do(call(log.Enable, cdp.Empty{}), call(network.Enable, network.EnableParams{}))
	return b
}

// call makes an action of a command whose answer does not matter.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}

// hear notes what the page does and says.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		b.said = append(b.said, text)
	case *runtime.EventConsoleAPICalled:
		for _, argument := range e.Args {
			b.said = append(b.said, string(e.Type)+": "+string(argument.Value)+argument.Description)
		}
	case *log.EventEntryAdded:
		b.said = append(b.said, string(e.Entry.Level)+": "+e.Entry.Text+" "+e.Entry.URL)
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("in the browser: %v", err)
	}
}

// value evaluates an expression in the page, and waits for what it promises.
func value[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("in the browser, %.200s: %v", expression, err)
	}
	return v
}

// wait waits until an expression is true.
func (b *browser) wait(what, expression string) {
	b.t.Helper()
	waitFor(b.t, browserLimit, what, func() bool { return value[bool](b, "Boolean("+expression+")") })
}

// waitText waits until the page has a text.
func (b *browser) waitText(text string) {
	b.t.Helper()
	b.wait("the page to say "+text, fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// look is how a page is looked at.
type look struct {
	scheme        string // light or dark
	width, height int64
}

var looks = []look{{"light", 1280, 800}, {"dark", 1280, 800}, {"light", 320, 640}, {"dark", 320, 640}}

func (l look) String() string { return fmt.Sprintf("%s-%d", l.scheme, l.width) }

func (b *browser) look(l look) {
	b.t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}
	b.do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}), chromedp.EmulateViewport(l.width, l.height))
}

// picture keeps a picture of the page where HOSTNAT_PICTURES says, for people to look at.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("HOSTNAT_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// axe is what axe-core has against a page.
type axe struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// loadAxe puts axe-core into the page.
func (b *browser) loadAxe() {
	b.t.Helper()
	source, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.Evaluate[chromedp.Void](string(source)))
}

func (b *browser) violations() []axe {
	b.t.Helper()
	return value[[]axe](b, `axe.run(document, {resultTypes: ["violations"]}).then((result) => result.violations)`)
}

// checkQuiet checks that the page has asked its own server alone, and has had no trouble.
func (b *browser) checkQuiet(own string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	u, err := url.Parse(own)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range b.requests {
		if !strings.HasPrefix(r, "http://"+u.Host+"/") {
			b.t.Errorf("the page asks for %s", r)
		}
	}
	if len(b.requests) < 10 {
		b.t.Errorf("the page has asked for %d things", len(b.requests))
	}
	for _, s := range b.said {
		b.t.Errorf("the page's console: %s", s)
	}
}

// forgetSaid is for what a test has provoked.
func (b *browser) forgetSaid() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = nil
}
