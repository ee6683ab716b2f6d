package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTokenIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "web-token")
	first, err := Token(path)
	if err != nil || len(first) != 64 {
		t.Fatalf("%q, %v", first, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, err := Token(path); err != nil || again != first {
		t.Errorf("asked again it is %q, %v", again, err)
	}
	if other, err := Token(filepath.Join(t.TempDir(), "web-token")); err != nil || other == first {
		t.Errorf("another file has %q too, %v", other, err)
	}
	if _, err := Token(filepath.Join(t.TempDir(), "nowhere", "web-token")); err == nil {
		t.Error("it is kept in a directory that is not there")
	}
}

// What others could have read or written is no token any more.
func TestTokenIsMadeAnew(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("ab", 32)
	for name, prepare := range map[string]func(path string) error{
		"others may read it": func(path string) error {
			if err := os.WriteFile(path, []byte(token), 0o644); err != nil {
				return err
			}
			return os.Chmod(path, 0o644) // whatever the umask
		},
		"empty":    func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"short":    func(path string) error { return os.WriteFile(path, []byte(token[:10]), 0o600) },
		"long":     func(path string) error { return os.WriteFile(path, []byte(token+"ab"), 0o600) },
		"no token": func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("xy", 32)), 0o600) },
		"leads elsewhere": func(path string) error {
			if err := os.WriteFile(path+"-other", []byte(token), 0o600); err != nil {
				return err
			}
			return os.Symlink(path+"-other", path)
		},
	} {
		path := filepath.Join(t.TempDir(), "web-token")
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		got, err := Token(path)
		if err != nil || len(got) != 64 || got == token {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
