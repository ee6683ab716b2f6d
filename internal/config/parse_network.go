package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// parseRanges reads ranges with commas between, all of them stations of the
// subnet and none twice. Any of the words stands for no range.
func parseRanges(what, s string, subnet netip.Prefix, words ...string) ([]model.AddressRange, error) {
	if s == "" || slices.Contains(words, s) {
		return nil, nil
	}
	var list []model.AddressRange
	for text := range strings.SplitSeq(s, ",") {
		r, err := model.ParseAddressRange(what, text)
		if err != nil {
			return nil, err
		}
		for _, end := range []netip.Addr{r.Low, r.High} {
			if err := checkHostAddress(what, end, subnet); err != nil {
				return nil, err
			}
		}
		if i := slices.IndexFunc(list, r.Overlaps); i >= 0 {
			return nil, model.Errorf(model.Invalid, "%s %s overlaps %s", what, r, list[i]).WithHint("name each address once")
		}
		list = append(list, r)
	}
	return list, nil
}

// maxDomain leaves room for an endpoint's name before the domain: 253 bytes are
// the most a name's text can have (RFC 1035 section 2.3.4).
const maxDomain = 253 - 1 - model.MaxLabel

const domainHint = "use labels of letters, digits, '_' and '-' with dots between, such as lab.internal"

// parseDomain reads a network's domain; "" is OwnDomain.
func parseDomain(text string) (string, error) {
	d := strings.ToLower(strings.TrimSuffix(text, "."))
	switch {
	case d == "":
		return "", nil
	case len(d) > maxDomain:
		return "", model.Errorf(model.Invalid, "domain %q is longer than %d bytes", model.Clip(text), maxDomain).WithHint(domainHint)
	case model.LooksLikeAddress(d):
		return "", model.Errorf(model.Invalid, "domain %q looks like an address", model.Clip(text)).WithHint(domainHint)
	case reservedDomain(d):
		return "", model.Errorf(model.Invalid, "domain %q has a meaning of its own", model.Clip(text)).WithHint("use another, such as lab.%s", model.PrivateDomain)
	}
	for label := range strings.SplitSeq(d, ".") {
		if !model.IsHostLabel(label) {
			return "", model.Errorf(model.Invalid, "domain %q has the label %q", model.Clip(text), model.Clip(label)).WithHint(domainHint)
		}
	}
	return d, nil
}

// reservedDomain reports whether the domain is not for names of machines in the
// DNS: RFC 6761, RFC 6762 section 3, RFC 7686; in arpa are addresses, and
// home.arpa (RFC 8375), which may be used.
func reservedDomain(d string) bool {
	if d == "home.arpa" || strings.HasSuffix(d, ".home.arpa") {
		return false
	}
	switch d[strings.LastIndexByte(d, '.')+1:] {
	case "localhost", "local", "invalid", "onion", "arpa":
		return true
	}
	return false
}

// parseRoutes reads routes with commas between; "none" is no route.
func parseRoutes(s string, subnet netip.Prefix) ([]model.Route, error) {
	const most = 32
	if s == "" || s == "none" {
		return nil, nil
	}
	var list []model.Route
	for text := range strings.SplitSeq(s, ",") {
		var r model.Route
		if err := r.UnmarshalText([]byte(text)); err != nil {
			return nil, err
		}
		if err := checkHostAddress("gateway of the route", r.Via, subnet); err != nil {
			return nil, err
		}
		if err := checkRoute(r, list); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	if len(list) > most {
		return nil, model.Errorf(model.Invalid, "%d routes are given", len(list)).WithHint("give up to %d", most)
	}
	return list, nil
}

// checkRoute refuses a route that no client could use, beside those before it.
func checkRoute(r model.Route, before []model.Route) error {
	if err := model.CheckReachable("route", r.Prefix); err != nil {
		return err
	}
	for _, has := range before {
		if has.Prefix == r.Prefix {
			return model.Errorf(model.Invalid, "routes %s and %s are for the same prefix", has, r).WithHint("name each prefix once")
		}
	}
	return nil
}
