package web

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hostnat/hostnat/internal/regular"
)

// tokenBytes is how many random bytes a token has.
const tokenBytes = 32

// Token returns the token that is kept in a file which root alone can read, and makes
// it if there is none that can be trusted. It stays the same over restarts of the
// daemon, so that an open page goes on.
func Token(path string) (string, error) {
	kept, err := readToken(path)
	if err == nil && kept != "" {
		return kept, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the web page's token: %w", err)
	}
	random := make([]byte, tokenBytes)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("make the web page's token: %w", err)
	}
	token := hex.EncodeToString(random)
	if err := writeToken(path, token); err != nil {
		return "", fmt.Errorf("keep the web page's token: %w", err)
	}
	return token, nil
}

// readToken returns what the file has; empty: somebody else could have written or read it,
// or it is no token.
func readToken(path string) (string, error) {
	f, err := regular.Open(path, os.O_RDONLY)
	if err != nil {
		return "", unlessOdd(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", nil
	}
	text, err := regular.ReadAll(f, 2*tokenBytes)
	if err != nil {
		return "", unlessOdd(err)
	}
	if b, err := hex.DecodeString(string(text)); err != nil || len(b) != tokenBytes {
		return "", nil
	}
	return string(text), nil
}

// unlessOdd is nil for what is at the path and cannot be ours.
func unlessOdd(err error) error {
	var odd *regular.Error
	if errors.As(err, &odd) {
		return nil
	}
	return err
}

// writeToken replaces whatever is at the path.
func writeToken(path, token string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)) // mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(token)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
