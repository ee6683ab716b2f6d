package host

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hostnat/hostnat/internal/host/sysctl"
)

// unroutedSettings are those of a link that has addresses which the host may have on
// another link too, or which are other machines' there. The order is that of
// readUnrouted's digits.
var unroutedSettings = []struct{ key, value string }{
	// The way back to who asks the gateway is no route: a socket's own link is (see EnsureBridge).
	{"rp_filter", "0"}, // or 2, if it is strict for all
	// Who has here what is the host's own address elsewhere is no forger: he reaches the gateway.
	{"accept_local", "1"},
	// And the host does not answer for that address here, only for the gateway.
	{"arp_ignore", "1"},
}

// setUnrouted makes these settings.
func setUnrouted(link string) error {
	filter := unroutedSettings[0].value
	if sysctl.Has(sysctl.OfLink("ipv4", "all", "rp_filter"), "1") {
		filter = "2"
	}
	errs := []error{sysctl.Set(sysctl.OfLink("ipv4", link, "rp_filter"), filter)}
	for _, s := range unroutedSettings[1:] {
		errs = append(errs, sysctl.Set(sysctl.OfLink("ipv4", link, s.key), s.value))
	}
	return errors.Join(errs...)
}

func isUnrouted(link string) bool {
	for _, s := range unroutedSettings[1:] {
		if !sysctl.Has(sysctl.OfLink("ipv4", link, s.key), s.value) {
			return false
		}
	}
	return !isStrict(link)
}

// loosenFilter has a link of ours drop no source for the reason that the host's
// way there is another one (RFC 3704 section 2.4), as it is to a LAN with the same
// prefix. The data path has checked the sources.
func loosenFilter(link string) error {
	if !isStrict(link) {
		return nil
	}
	return sysctl.Set(sysctl.OfLink("ipv4", link, "rp_filter"), "2")
}

// isStrict reports whether reverse path filtering is strict: the greater of the
// link's setting and that of all counts (ip-sysctl.rst), 2 is loose.
func isStrict(link string) bool {
	own, _ := sysctl.Read(sysctl.OfLink("ipv4", link, "rp_filter")) // "": there is none
	all, _ := sysctl.Read(sysctl.OfLink("ipv4", "all", "rp_filter"))
	return max(own, all) == "1"
}

// readUnrouted returns what these settings are now, a digit each.
func readUnrouted(link string) (string, error) {
	var digits strings.Builder
	for _, s := range unroutedSettings {
		now, err := sysctl.Read(sysctl.OfLink("ipv4", link, s.key))
		if err != nil {
			return "", fmt.Errorf("read %s of %s: %w", s.key, link, err)
		}
		digits.WriteString(now)
	}
	return digits.String(), nil
}

// areUnrouted reports whether a text is one of readUnrouted's, or of a version before,
// which knew of the first setting alone.
func areUnrouted(digits string) bool {
	return (len(digits) == 1 || len(digits) == len(unroutedSettings)) && strings.Trim(digits, "012345678") == ""
}

// restoreUnrouted gives a link the settings that readUnrouted has read.
func restoreUnrouted(link, digits string) error {
	var errs []error
	for i, digit := range digits {
		errs = append(errs, sysctl.Set(sysctl.OfLink("ipv4", link, unroutedSettings[i].key), string(digit)))
	}
	return errors.Join(errs...)
}
