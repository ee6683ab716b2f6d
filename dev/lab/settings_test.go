package lab

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A namespace has the same settings whatever the machine's are.
func TestNamespacesHaveTheSameSettingsEverywhere(t *testing.T) {
	RequireRoot(t)
	t.Setenv(Outer, "docker")
	afterDocker := settingsOf(t, newNamespace(t))
	t.Setenv(Outer, "")
	if diff := cmp.Diff(settingsOf(t, newNamespace(t)), afterDocker); diff != "" {
		t.Errorf("settings (-here +where Docker runs):\n%s", diff)
	}
	for _, s := range inherited {
		for _, link := range []string{"all", "default", "lo"} {
			if got := afterDocker[link+"/"+s.key]; got != "" && got != s.value {
				t.Errorf("%s of %s is %s, want %s", s.key, link, got, s.value)
			}
		}
	}
}

// What stands for the machine where Docker runs differs, or it would show nothing.
func TestDockersSettingsDiffer(t *testing.T) {
	t.Parallel()
	compiled := make(map[string]string)
	for _, s := range inherited {
		compiled[s.key] = s.value
	}
	for _, s := range docker {
		if value, known := compiled[s.key]; !known || value == s.value {
			t.Errorf("%s=%s: NewNamespace sets it to %q", s.key, s.value, value)
		}
	}
}

// settingsOf reads all settings of IPv4 on all links, on those to come and on loopback.
func settingsOf(t *testing.T, n *Namespace) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := n.Do(func() error {
		for _, link := range []string{"all", "default", "lo"} {
			dir := "/proc/sys/net/ipv4/conf/" + link + "/"
			entries, err := os.ReadDir(dir)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if value, err := os.ReadFile(dir + e.Name()); err == nil {
					all[link+"/"+e.Name()] = strings.TrimSpace(string(value))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
