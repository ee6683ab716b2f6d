package server

import (
	"context"
	"math"
	"net"
	"net/http"
	"net/netip"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/model"
)

// unknownUser is whose connections of other machines count as: together they are one user.
const unknownUser = math.MaxUint32

// forPage are the operations that the web page may ask for. None sends a list that grows
// with the sessions, and none changes anything but that a session ends.
var forPage = map[string]bool{
	"GET /v1/version": true, "GET /v1/status": true, "GET /v1/traffic": true, "GET /v1/history": true, "GET /v1/events": true,
	"GET /v1/nats": true, "GET /v1/addresses": true, "GET /v1/networks": true, "GET /v1/endpoints": true,
	"GET /v1/mappings": true, "GET /v1/proxies": true, "GET /v1/ports": true,
	"POST /v1/explain": true, "DELETE /v1/sessions": true,
}

// Page is how a web page is served.
type Page struct {
	URL     string                                                       // with its token; root and the group are told it
	Handler func(api http.Handler) http.Handler                          // checks who asks, and hands to the API what may be asked
	UserOf  func(client, server netip.AddrPort) (uid uint32, known bool) // whose socket a connection comes from
}

// ServePage answers to browsers on l until ctx ends. Their connections count as those of the
// users who have them, and never as root's: they take nothing from who uses the socket.
func (s *Server) ServePage(ctx context.Context, l net.Listener, p Page) error {
	s.page.Store(&p.URL)
	defer s.page.Store(nil)
	of := func(c net.Conn) (peer, error) {
		client, server := addressOfEnd(c.RemoteAddr()), addressOfEnd(c.LocalAddr())
		if uid, known := p.UserOf(client, server); known {
			return peer{uid: uid, web: true}, nil
		}
		return peer{uid: unknownUser, web: true}, nil
	}
	handler := p.Handler(http.HandlerFunc(s.answerPage))
	return s.serve(ctx, limited{l, s.connections, of}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setDeadlines(w, r)
		handler.ServeHTTP(w, r)
	}))
}

func addressOfEnd(a net.Addr) netip.AddrPort {
	if tcp, is := a.(*net.TCPAddr); is {
		at := tcp.AddrPort()
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	return netip.AddrPort{}
}

// answerPage answers what the page asks with the token.
func (s *Server) answerPage(w http.ResponseWriter, r *http.Request) {
	if !forPage[r.Method+" "+r.URL.Path] {
		writeError(w, model.Errorf(model.Denied, "the web page may not %s %s", r.Method, r.URL.Path))
		return
	}
	if q := r.URL.Query(); r.Method == http.MethodDelete && (q.Get("protocol") == "" || q.Get("internal") == "" || q.Get("remote") == "") {
		writeError(w, model.Errorf(model.Denied, "the web page may end one session at a time").WithHint("name its protocol, internal and remote address"))
		return
	}
	p, _ := r.Context().Value(peerKey{}).(peer)
	p.token = true
	s.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, p)))
}

func webRoutes() []route {
	return []route{{method: http.MethodGet, path: "/v1/web", out: api.Web{}, handle: serveWebURL}}
}

// serveWebURL tells where the page is, with the token: who has it may what the group may.
func serveWebURL(s *Server, w http.ResponseWriter, r *http.Request) error {
	if !trusted(r) {
		return model.Errorf(model.Denied, "only root and members of the group %q may see the web page's token", Group)
	}
	url := s.page.Load()
	if url == nil {
		return model.Errorf(model.NotFound, "the daemon serves no web page").WithHint("start it with: hostnat daemon --web 127.0.0.1:8642")
	}
	return writeJSON(w, http.StatusOK, api.Web{URL: *url})
}
