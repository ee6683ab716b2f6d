package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hostnat/hostnat/internal/host/sockets"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/server"
	"github.com/hostnat/hostnat/internal/web"
)

// tokenName is the file with the web page's token in the run directory.
const tokenName = "web-token"

// webPage serves the page, if there is to be one.
type webPage struct {
	at      netip.AddrPort // not valid: nowhere
	token   string
	first   net.Listener // from open; nil: another program has the port
	problem atomic.Pointer[string]
	log     *slog.Logger
}

// newWebPage refuses what cannot be meant. The run directory is there.
func newWebPage(o Options) (*webPage, error) {
	p := &webPage{log: o.Log}
	if o.Web == "" {
		return p, nil
	}
	var err error
	if p.at, err = netip.ParseAddrPort(o.Web); err != nil {
		return nil, model.Errorf(model.Invalid, "--web %q is no address with a port", model.Clip(o.Web)).WithHint("use 127.0.0.1:8642, say")
	}
	if !p.at.Addr().IsLoopback() && !o.WebRemote {
		return nil, model.Errorf(model.Invalid, "--web %s is not a loopback address: the page and its token would travel unencrypted", p.at).
			WithHint("use 127.0.0.1:%d and ssh -L, or add --web-remote", p.at.Port())
	}
	p.token, err = web.Token(filepath.Join(o.RunDir, tokenName))
	return p, err
}

// Problems says why there is no page though there is to be one.
func (p *webPage) Problems() []string {
	if problem := p.problem.Load(); problem != nil {
		return []string{*problem}
	}
	return nil
}

// open listens before the daemon says that it is ready, if the port is free, and returns the
// page's URL then.
func (p *webPage) open(ctx context.Context) (url string) {
	if !p.at.IsValid() {
		return ""
	}
	if p.first = p.tryListen(ctx); p.first == nil {
		return ""
	}
	return p.url(p.first)
}

// run serves the page until ctx ends. Where another program has its port, all else goes on,
// and it is tried again.
func (p *webPage) run(ctx context.Context, srv *server.Server) error {
	if !p.at.IsValid() {
		<-ctx.Done()
		return ctx.Err()
	}
	l := p.first
	for l == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookAgain):
		}
		l = p.tryListen(ctx)
	}
	return srv.ServePage(ctx, l, server.Page{URL: p.url(l), Handler: web.Handler(p.token), UserOf: userOf})
}

func (p *webPage) url(l net.Listener) string {
	return fmt.Sprintf("http://%s/#token=%s", l.Addr(), p.token)
}

// tryListen returns nil and keeps the reason if it cannot.
func (p *webPage) tryListen(ctx context.Context) net.Listener {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(ctx, "tcp", p.at.String())
	if err != nil {
		problem := fmt.Sprintf("the web page is not served: %v; it is tried again", err)
		if p.problem.Swap(&problem) == nil {
			p.log.Error(problem)
		}
		return nil
	}
	p.problem.Store(nil)
	p.log.Info("the web page is served; hostnat web prints its URL", "address", l.Addr().String())
	return l
}

// userOf is whose the socket of a client on this host is.
func userOf(client, server netip.AddrPort) (uint32, bool) {
	uid, err := sockets.UserOf(client, server)
	return uid, err == nil
}
