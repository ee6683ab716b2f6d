package store

import (
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/hostnat/hostnat/internal/config"
)

// Peek reads the state file of dir without changing anything, for who is not
// the daemon. problems are what Open would report; a file that is not there is
// the error fs.ErrNotExist, a damaged one a problem and an error.
func Peek(dir string) (c config.Config, problems []string, err error) {
	path := filepath.Join(dir, FileName)
	problems = leftAside(path)
	if _, err := os.Stat(path); err != nil {
		return config.Config{}, problems, err
	}
	note, err := checkFile(path)
	if note != "" {
		problems = append(problems, note)
	}
	if err == nil {
		c, err = peek(path)
	}
	if damage, ok := asDamage(err); ok {
		problems = append(problems, fmt.Sprintf("the configuration %s is damaged (%v): the daemon will move it aside and start with an empty one", path, damage))
	}
	return c, problems, err
}

func peek(path string) (c config.Config, err error) {
	defer recoverAsDamage(&err)()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout, ReadOnly: true})
	if err != nil {
		return config.Config{}, fmt.Errorf("open %s: %w", path, err)
	}
	defer db.Close()
	c, _, err = read(db)
	return c, err
}
