package regular

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyRegularFilesAreRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("file"), []byte("text"), 0o600),
		os.WriteFile(at("open"), []byte("text"), 0o600),
		os.Chmod(at("open"), 0o666),
		unix.Mkfifo(at("fifo"), 0o600),
		os.Mkdir(at("dir"), 0o700),
		os.Symlink("file", at("link")),
		os.Symlink("/dev/zero", at("zero")),
		os.Symlink("loop", at("loop")),
		os.WriteFile(at("long"), make([]byte, 11), 0o600),
		os.Truncate(at("file"), 4),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]string{ // part of the refusal; empty: it is read
		"file": "", "open": "written by everybody", "fifo": "is a FIFO", "dir": "is a directory",
		"link": "is a symbolic link", "zero": "is a symbolic link", "loop": "is a symbolic link", "long": "longer than 10 bytes",
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.WriteFile(at("theirs"), nil, 0o600), os.Chown(at("theirs"), 4711, -1), unix.Mknod(at("null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))); err != nil {
			t.Fatal(err)
		}
		tests["theirs"], tests["null"] = "belongs to user 4711", "is a device"
	}
	for name, want := range tests {
		data, err := Read(at(name), 10)
		var refusal *Error
		switch {
		case want == "" && (err != nil || string(data) != "text"):
			t.Errorf("%s: %q, %v", name, data, err)
		case want != "" && (!errors.As(err, &refusal) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), at(name)+" ")):
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if _, err := Read(at("nothing"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := Open(at("file/below"), os.O_RDONLY); err == nil {
		t.Error("something is below a file")
	}
}

func TestOpenForWritingTouchesNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flags := range []int{os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_CREATE} {
		if f, err := Open(fifo, flags); err == nil {
			f.Close()
			t.Errorf("flags %#x: a FIFO was opened", flags)
		}
	}
	path := filepath.Join(dir, "new")
	f, err := Open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// Of a file of somebody else's what it holds is read, within bounds, and nothing that is no file.
func TestReadAnyones(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("file"), []byte("text"), 0o666),
		os.Symlink("file", at("link")),
		unix.Mkfifo(at("fifo"), 0o600),
		os.Symlink("/dev/zero", at("zero")),
		os.WriteFile(at("sparse"), nil, 0o600),
		os.Truncate(at("sparse"), 1<<40), // a container may do that to its resolv.conf
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"file": "", "link": "", "fifo": "is a FIFO", "zero": "is a device", "sparse": "longer than 10 bytes", ".": "is a directory"} {
		text, err := ReadAnyones(at(name), 10)
		switch {
		case want == "" && (err != nil || string(text) != "text"):
			t.Errorf("%s: %q, %v", name, text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %q, %v, want %q", name, text, err, want)
		}
	}
}
