package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

const (
	recordPatience = 60 * time.Second
	manyPackets    = 5000
)

// said is what a command writes while it runs.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(part []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(part)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// recordingDaemon is an API that has packets to record. It goes on until stop.
func recordingDaemon(t *testing.T) (socket string, stop func()) {
	t.Helper()
	lab.RequireRoot(t) // others may not record
	service := servertest.Example()
	for range manyPackets {
		p := model.CapturedPacket{Time: time.Now().Add(time.Hour), Program: "inside_ingress", Link: "hv-c1", Ethernet: true, Verdict: model.VerdictSent, Came: make([]byte, 60), CameLength: 60, Went: make([]byte, 60), Length: 60}
		service.Captured.Packets = append(service.Captured.Packets, p)
	}
	dir, err := os.MkdirTemp("", "hostnat")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	end, err := serve(service, socket)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(end)
	t.Cleanup(stop)
	return socket, stop
}

// runs runs a command beside the test.
func runs(t *testing.T, socket string, args ...string) (errs *said, interrupt context.CancelFunc, code func() int) {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	t.Cleanup(interrupt)
	errs = &said{}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, env{Args: append(args, "--socket", socket), Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: errs, Getenv: func(string) string { return "" }})
	}()
	return errs, interrupt, func() int {
		t.Helper()
		select {
		case code := <-ended:
			return code
		case <-time.After(recordPatience):
			t.Fatalf("%v does not end; it says %q", args, errs)
			return 0
		}
	}
}

// waitFor waits for what a command says.
func (s *said) waitFor(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), recordPatience)
	defer cancel()
	if err := lab.WaitFor(ctx, func() bool { return strings.Contains(s.String(), text) }); err != nil {
		t.Fatalf("it says %q, not %q: %v", s, text, err)
	}
}

// oneLineAbout: it failed, and the last line says why.
func oneLineAbout(t *testing.T, code int, errs *said, want string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(errs.String(), "\n"), "\n")
	if last := lines[len(lines)-1]; code != exitRefused || !strings.HasPrefix(last, "hostnat: ") || !strings.Contains(last, want) || len(lines) > 2 {
		t.Errorf("exit code %d, %q; want %q", code, lines, want)
	}
}

func readBack(t *testing.T, path string) *recording.Recording {
	t.Helper()
	r, err := readRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRecordToAFullDisk: it says which file has not all.
func TestRecordToAFullDisk(t *testing.T) {
	t.Parallel()
	socket, _ := recordingDaemon(t)
	for what, args := range map[string][]string{"record": {"record", "/dev/full", "--packets", "100"}, "capture": {"capture", "-w", "/dev/full", "--count", "100"}} {
		errs, _, code := runs(t, socket, args...)
		oneLineAbout(t, code(), errs, "write /dev/full: no space left on device; /dev/full is not whole")
		if strings.Contains(errs.String(), " packets in ") || strings.Contains(errs.String(), " lost") {
			t.Errorf("%s says %q", what, errs)
		}
	}
}

// smallDisk is a folder with room for little.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestRecordIntoALittleRoom: what got into the file is no whole recording for who reads it.
func TestRecordIntoALittleRoom(t *testing.T) {
	t.Parallel()
	socket, _ := recordingDaemon(t)
	dir := smallDisk(t)
	for _, args := range [][]string{{"record", filepath.Join(dir, "a.hnr"), "--packets", "4000"}, {"capture", "-w", filepath.Join(dir, "a.pcapng"), "--count", "4000"}} {
		errs, _, code := runs(t, socket, args...)
		path := args[len(args)-3]
		oneLineAbout(t, code(), errs, "write "+path+": no space left on device; "+path+" is not whole")
		if args[0] == "record" {
			if r, err := readRecording(path); err == nil && r.End != nil {
				t.Errorf("it has an end: %+v", r.End)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecordInterrupted: the file has an end, which says so.
func TestRecordInterrupted(t *testing.T) {
	t.Parallel()
	socket, _ := recordingDaemon(t)
	path := filepath.Join(t.TempDir(), "a.hnr")
	errs, interrupt, code := runs(t, socket, "record", path)
	errs.waitFor(t, "recording; Ctrl-C ends it\n")
	interrupt()
	if got := code(); got != exitDone {
		t.Errorf("exit code %d, %q", got, errs)
	}
	if r := readBack(t, path); r.End == nil || !r.End.Interrupted || r.End.Packets != len(r.Packets) || len(r.Packets) == 0 {
		t.Errorf("%d packets, end %+v", len(r.Packets), r.End)
	}
}

// TestRecordWithoutItsDaemon: it ends, and what there is has no end.
func TestRecordWithoutItsDaemon(t *testing.T) {
	t.Parallel()
	socket, stop := recordingDaemon(t)
	dir := t.TempDir()
	path, packets := filepath.Join(dir, "a.hnr"), filepath.Join(dir, "a.pcapng")
	recorded, _, recordCode := runs(t, socket, "record", path)
	captured, _, captureCode := runs(t, socket, "capture", "-w", packets)
	printed, _, printCode := runs(t, socket, "capture")
	recorded.waitFor(t, "recording; Ctrl-C ends it\n")
	captured.waitFor(t, "capturing; Ctrl-C ends it\n")
	printed.waitFor(t, "capturing; Ctrl-C ends it\n")
	stop()
	oneLineAbout(t, recordCode(), recorded, "the daemon has broken off the recording: "+path+" has ")
	oneLineAbout(t, captureCode(), captured, "the daemon ended the capture: "+packets+" has ")
	oneLineAbout(t, printCode(), printed, "the daemon ended the capture")
	if r := readBack(t, path); r.End != nil {
		t.Errorf("the file's end is %+v", r.End)
	}
}

// TestRecordTwice: at once into two files both are whole; into one, the second is refused
// and changes nothing.
func TestRecordTwice(t *testing.T) {
	t.Parallel()
	socket, _ := recordingDaemon(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "1.hnr"), filepath.Join(dir, "2.hnr")
	first, interrupt, firstCode := runs(t, socket, "record", one)
	first.waitFor(t, "recording; Ctrl-C ends it\n")
	for _, args := range [][]string{{"record", one, "--packets", "5"}, {"capture", "-w", one, "--count", "5"}} {
		errs, _, code := runs(t, socket, args...)
		oneLineAbout(t, code(), errs, "another hostnat writes "+one+"; name another file")
	}
	second, _, secondCode := runs(t, socket, "record", two, "--packets", "5")
	if code := secondCode(); code != exitDone {
		t.Errorf("the second: exit code %d, %q", code, second)
	}
	interrupt()
	if code := firstCode(); code != exitDone {
		t.Errorf("the first: exit code %d, %q", code, first)
	}
	if a, b := readBack(t, one), readBack(t, two); a.End == nil || b.End == nil || b.End.Interrupted || len(b.Packets) != 5 {
		t.Errorf("ends %+v, %+v", a.End, b.End)
	}
	errs, _, code := runs(t, socket, "record", one, "--packets", "5") // the one before has let go of it
	if got := code(); got != exitDone || len(readBack(t, one).Packets) != 5 {
		t.Errorf("afterwards: exit code %d, %q", got, errs)
	}
}

// TestKilledRecorder: what was written when the tables were there can be read.
func TestKilledRecorder(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	r := &recording.Recording{Begin: recording.Begin{Format: recording.Format, Version: recording.Version}, Ready: recording.Ready{Told: []byte("{}")}}
	var whole bytes.Buffer
	if err := r.Write(&whole); err != nil {
		t.Fatal(err)
	}
	lines, err := gzip.NewReader(&whole)
	if err != nil {
		t.Fatal(err)
	}
	c := copiedRecording{app: &app{env: env{Stderr: io.Discard}}, to: gzip.NewWriter(&file)} // never closed
	if err := c.copy(lines); err != errBrokenOff || !c.begun {
		t.Fatal(err)
	}
	if got, err := recording.Read(&file); err != nil || got.End != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
