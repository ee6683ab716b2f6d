package configfile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Fragments are the paths of the configuration files in a directory, by name. Hidden
// files are left out, as editors leave them.
func Fragments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, fmt.Errorf("list the configuration files in %s: %w", dir, err)
	}
	var paths []string
	for _, e := range entries {
		if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) && !strings.HasPrefix(e.Name(), ".") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}
