package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path"
	"regexp"
	"strings"
	"testing"
)

// mostBytes is how much a browser gets that has nothing of the page yet.
const mostBytes = 60_000

func TestPageIsSmall(t *testing.T) {
	t.Parallel()
	sum := 0
	for name, f := range newFiles() {
		if name != "/" { // it is /index.html
			sum += len(f.gzip)
		}
	}
	t.Logf("%d bytes, compressed", sum)
	if sum > mostBytes {
		t.Errorf("the page has %d bytes, the bar is %d", sum, mostBytes)
	}
}

// The page names no other host: not even XML's names of languages are fetched.
func TestPageNamesNoOtherHost(t *testing.T) {
	t.Parallel()
	url := regexp.MustCompile("(?i)(?:https?:|wss?:)?//[a-z0-9][a-z0-9.-]*\\.[a-z]{2,}[^\\s\"'`)]*")
	for name, f := range newFiles() {
		for _, found := range url.FindAllString(string(f.plain), -1) {
			comment := name == "/vendor/uplot.js" && found == "https://github.com/leeoniya/uPlot"
			if !strings.HasPrefix(found, "http://www.w3.org/") && !comment {
				t.Errorf("%s names %s", name, found)
			}
		}
	}
}

// What the policy forbids is not there: it would be left out without a word.
func TestNothingInline(t *testing.T) {
	t.Parallel()
	html := string(newFiles()["/index.html"].plain)
	for what, pattern := range map[string]string{"script": `<script[^>]*>\s*[^<\s]`, "style": `<style|\sstyle=`, "handler": `\son[a-z]+=`, "script without a file": `<script(?:\s+type="module")?>`} {
		if found := regexp.MustCompile(pattern).FindString(html); found != "" {
			t.Errorf("index.html has a %s: %q", what, found)
		}
	}
	for name, f := range newFiles() {
		if strings.Contains(name, "/vendor/") {
			continue
		}
		if found := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|style=`).FindString(string(f.plain)); found != "" {
			t.Errorf("%s uses %s", name, found)
		}
	}
}

// What a file asks for is there, and nothing is there that none asks for.
func TestFilesAreThere(t *testing.T) {
	t.Parallel()
	all := newFiles()
	asked := map[string]bool{"/": true, "/index.html": true}
	for name, f := range all {
		pattern := regexp.MustCompile(`\bfrom\s*["'](\./[^"']+)["']`)
		if path.Ext(name) == ".html" {
			pattern = regexp.MustCompile(`(?:src|href)="([^"]+)"`)
		}
		for _, m := range pattern.FindAllStringSubmatch(string(f.plain), -1) {
			target := path.Join(path.Dir(name), m[1])
			asked[target] = true
			if _, ok := all[target]; !ok {
				t.Errorf("%s asks for %s", name, target)
			}
		}
	}
	for name := range all {
		if !asked[name] {
			t.Errorf("nothing asks for %s", name)
		}
	}
}

// The modules of others are those that scripts/web-vendor.sh has made, with their licences.
func TestVendoredFiles(t *testing.T) {
	t.Parallel()
	sums, err := page.ReadFile("page/vendor/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := page.ReadDir("page/vendor")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(sums)), "\n")
	if len(lines) != len(entries)-1 {
		t.Errorf("%d files, and %d sums", len(entries)-1, len(lines))
	}
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")
		text, err := page.ReadFile(path.Join("page/vendor", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is not what scripts/web-vendor.sh makes", name)
		}
	}
	for _, name := range []string{"preact", "htm", "uplot"} {
		if text, err := page.ReadFile("page/vendor/LICENSE-" + name); err != nil || len(text) == 0 {
			t.Errorf("the licence of %s: %v", name, err)
		}
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	const target = "http://localhost/app.js"
	plain := ask("GET", target, nil)
	if got := plain.Header().Get("Content-Type"); got != "text/javascript; charset=utf-8" {
		t.Errorf("it is %s", got)
	}
	packed := ask("GET", target, map[string]string{"Accept-Encoding": "gzip, br"})
	r, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(text, plain.Body.Bytes()) || packed.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("compressed it is another file: %v", err)
	}
	again := ask("GET", target, map[string]string{"If-None-Match": plain.Header().Get("ETag")})
	if again.Code != 304 || again.Body.Len() != 0 {
		t.Errorf("asked again: %d with %d bytes", again.Code, again.Body.Len())
	}
	if head := ask("HEAD", target, nil); head.Code != 200 || head.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes", head.Code, head.Body.Len())
	}
}
