package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const testToken = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// ask sends a request to a handler whose API answers "asked".
func ask(method, target string, header map[string]string) *httptest.ResponseRecorder {
	h := Handler(testToken)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("asked")) }))
	r := httptest.NewRequest(method, target, nil)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const bearer = "Bearer " + testToken

func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	const local = "http://127.0.0.1:8642"
	type headers = map[string]string
	for name, tt := range map[string]struct {
		method, target string
		header         headers
		status         int
	}{
		"page":                            {"GET", local + "/", nil, 200},
		"page, by localhost":              {"GET", "http://localhost:8642/", nil, 200},
		"page, through a forwarded port":  {"GET", "http://localhost:9000/", nil, 200},
		"page, by IPv6":                   {"GET", "http://[::1]:8642/", nil, 200},
		"page, no port":                   {"GET", "http://[::1]/", nil, 200},
		"page, by a name":                 {"GET", "http://evil.example:8642/", nil, 421},
		"page, by a name like an address": {"GET", "http://127.0.0.1.evil.example/", nil, 421},
		"page, by a name like localhost":  {"GET", "http://localhost.evil.example/", nil, 421},
		"file that is not there":          {"GET", local + "/nothing", nil, 404},
		"licence":                         {"GET", local + "/vendor/LICENSE-preact", nil, 404},
		"file, written":                   {"POST", local + "/", nil, 405},
		"link on another page":            {"GET", local + "/", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200},
		"script of another page":          {"GET", local + "/app.js", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403},

		"API":                              {"GET", local + "/v1/status", headers{"Authorization": bearer}, 200},
		"API, of the page":                 {"GET", local + "/v1/status", headers{"Authorization": bearer, "Origin": local, "Sec-Fetch-Site": "same-origin"}, 200},
		"API, by a name":                   {"GET", "http://evil.example:8642/v1/status", headers{"Authorization": bearer}, 421},
		"API without a token":              {"GET", local + "/v1/status", nil, 401},
		"API, another token":               {"GET", local + "/v1/status", headers{"Authorization": "Bearer " + strings.Repeat("0", 64)}, 401},
		"API, part of the token":           {"GET", local + "/v1/status", headers{"Authorization": bearer[:40]}, 401},
		"API, token and more":              {"GET", local + "/v1/status", headers{"Authorization": bearer + "0"}, 401},
		"API, token without its kind":      {"GET", local + "/v1/status", headers{"Authorization": testToken}, 401},
		"API, token in the URL":            {"GET", local + "/v1/status?token=" + testToken, nil, 401},
		"API, token in a cookie":           {"GET", local + "/v1/status", headers{"Cookie": "token=" + testToken}, 401},
		"API, another origin":              {"GET", local + "/v1/status", headers{"Authorization": bearer, "Origin": "http://evil.example"}, 403},
		"API, another port's origin":       {"GET", local + "/v1/status", headers{"Authorization": bearer, "Origin": "http://127.0.0.1:1"}, 403},
		"API, an origin without a name":    {"GET", local + "/v1/status", headers{"Authorization": bearer, "Origin": "null"}, 403},
		"API, another site":                {"GET", local + "/v1/status", headers{"Authorization": bearer, "Sec-Fetch-Site": "cross-site"}, 403},
		"API, another port's page":         {"GET", local + "/v1/status", headers{"Authorization": bearer, "Sec-Fetch-Site": "same-site"}, 403},
		"API, a link":                      {"GET", local + "/v1/status", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403},
		"session ended, of the page":       {"DELETE", local + "/v1/sessions", headers{"Authorization": bearer, "Origin": local}, 200},
		"session ended, by a form's means": {"POST", local + "/v1/sessions", headers{"Origin": "http://evil.example"}, 403},
		"asked whether one may":            {"OPTIONS", local + "/v1/sessions", headers{"Origin": "http://evil.example", "Access-Control-Request-Headers": "authorization"}, 403},
	} {
		w := ask(tt.method, tt.target, tt.header)
		if w.Code != tt.status {
			t.Errorf("%s: status %d, want %d: %s", name, w.Code, tt.status, w.Body)
		}
		if isAsked := strings.Contains(tt.target, "/v1/") && tt.status == 200; (w.Body.String() == "asked") != isAsked {
			t.Errorf("%s: the answer is %.60q", name, w.Body)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: other sites are let in", name)
		}
	}
}

// Every answer says what the page may do, refusals too.
func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"http://localhost/", "http://localhost/nothing", "http://evil.example/", "http://localhost/v1/status"} {
		header := ask("GET", target, nil).Header()
		policy := header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q has no %q", target, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
			t.Errorf("%s: the policy is %q", target, policy)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
	}
	if got := ask("GET", "http://localhost/v1/status", map[string]string{"Authorization": bearer}).Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("answers of the API are kept: %q", got)
	}
}
