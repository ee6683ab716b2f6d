package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// page has the files of the page, as browsers get them.
//
//go:embed page
var page embed.FS

// types are the media types of the page's files.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is one of the page's.
type file struct {
	kind, tag   string
	plain, gzip []byte
}

// files are the page's, by path.
type files map[string]file

func newFiles() files {
	all := make(files)
	err := fs.WalkDir(page, "page", func(name string, entry fs.DirEntry, err error) error {
		kind := types[path.Ext(name)]
		if err != nil || entry.IsDir() || kind == "" { // a licence
			return err
		}
		text, err := page.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(text)
		all[strings.TrimPrefix(name, "page")] = file{kind: kind, tag: `"` + hex.EncodeToString(sum[:8]) + `"`, plain: text, gzip: packed(text)}
		return nil
	})
	if err != nil {
		panic(err) // what is embedded can be read
	}
	all["/"] = all["/index.html"]
	return all
}

func packed(text []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a level that there is
	_, _ = w.Write(text)
	_ = w.Close() // a buffer takes everything
	return b.Bytes()
}

// ServeHTTP answers with a file. Browsers ask again each time, and get it if it has changed:
// another version of hostnat has other files under the same names.
func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, http.StatusMethodNotAllowed, "the page's files can be read alone", "")
		return
	}
	found, ok := f[r.URL.Path]
	if !ok {
		refuse(w, http.StatusNotFound, "the page has no such file", "")
		return
	}
	header := w.Header()
	header.Set("Content-Type", found.kind)
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", found.tag)
	header.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == found.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := found.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = found.gzip
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
}
