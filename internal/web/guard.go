package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/api"
)

// policy lets the page load its own files and ask its own server, and nothing else: no
// script or style in the text of the page, no other host, no frame, no form.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// headers are those of every answer.
var headers = map[string]string{
	"Content-Security-Policy":      policy,
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
}

// Handler answers the page's files to who asks by an address of the host, and passes
// on to the API what comes with the token.
func Handler(token string) func(api http.Handler) http.Handler {
	files := newFiles()
	want := sha256.Sum256([]byte("Bearer " + token))
	return func(api http.Handler) http.Handler { return guarded(files, want, api) }
}

func guarded(page files, want [sha256.Size]byte, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		switch {
		case !isAddress(r.Host):
			refuse(w, http.StatusMisdirectedRequest, "the page answers to addresses and to localhost, not to other names",
				"use the URL that `hostnat web` prints")
		case !isOwn(r):
			refuse(w, http.StatusForbidden, "another site's page has asked", "")
		case !strings.HasPrefix(r.URL.Path, "/v1/"):
			page.ServeHTTP(w, r)
		case !isToken(r, want):
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "this needs the token of the page", "use the URL that `hostnat web` prints")
		default:
			w.Header().Set("Cache-Control", "no-store")
			api.ServeHTTP(w, r)
		}
	})
}

// isAddress reports whether a Host header names the host by an address, or as localhost. Who
// has a name can make it lead here, and a page of that name would then count as ours.
func isAddress(host string) bool {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	} else {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

// isOwn reports whether a request is of the page itself or of no page at all, as far as the
// browser tells.
func isOwn(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin":
	case "none": // typed, or a bookmark
	default:
		// A link somewhere else may lead to the page, but nothing there may use it.
		return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && !strings.HasPrefix(r.URL.Path, "/v1/")
	}
	origin := r.Header.Values("Origin")
	return len(origin) == 0 || len(origin) == 1 && origin[0] == "http://"+r.Host
}

// isToken compares hashes, so that time tells nothing, not even of the length.
func isToken(r *http.Request, want [sha256.Size]byte) bool {
	got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// refuse answers as the API refuses.
func refuse(w http.ResponseWriter, status int, message, hint string) {
	body, _ := json.Marshal(api.ErrorBody{Error: api.Error{Code: api.Denied, Message: message, Hint: hint}})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
