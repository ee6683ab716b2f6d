package sniff

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/google/go-cmp/cmp"
)

// ask returns the first record that Go's own TLS client sends.
func ask(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	config.InsecureSkipVerify = true // so that there may be no name
	near, far := net.Pipe()
	defer far.Close()
	go func() { _ = tls.Client(near, config).Handshake() }() // fails when far is closed
	var header [recordHeader]byte
	if _, err := io.ReadFull(far, header[:]); err != nil {
		t.Fatal(err)
	}
	record := append(header[:], make([]byte, binary.BigEndian.Uint16(header[3:]))...)
	if _, err := io.ReadFull(far, record[recordHeader:]); err != nil {
		t.Fatal(err)
	}
	return record
}

// inRecords spreads a record's content over records of so many bytes.
func inRecords(record []byte, size int) (out []byte) {
	for content := record[recordHeader:]; len(content) > 0; {
		n := min(size, len(content))
		out = append(out, record[0], record[1], record[2])
		out = binary.BigEndian.AppendUint16(out, uint16(n))
		out = append(out, content[:n]...)
		content = content[n:]
	}
	return out
}

// extension is one of a ClientHello's.
type extension struct {
	kind uint16
	data []byte
}

// serverNames is a server_name extension with entries "TYPE NAME".
func serverNames(entries ...string) extension {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, e := range entries {
			b.AddUint8(e[0] - '0')
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(e[2:])) })
		}
	})
	return extension{extServerName, b.BytesOrPanic()}
}

// compose makes a ClientHello as clients do that Go's is not like.
func compose(extensions ...extension) []byte {
	var b cryptobyte.Builder
	b.AddBytes([]byte{recordHandshake, majorVersion, 1})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(clientHello)
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint16(0x0303)
			b.AddBytes(make([]byte, 32))
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, 32)) })
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(0x0a0a); b.AddUint16(0x1301) })
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) })
			if extensions == nil {
				return
			}
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, e := range extensions {
					b.AddUint16(e.kind)
					b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.data) })
				}
			})
		})
	})
	return b.BytesOrPanic()
}

func TestTLS(t *testing.T) {
	t.Parallel()
	grease := extension{0x0a0a, nil}
	plain := ask(t, &tls.Config{ServerName: "www.a.example"})
	long := strings.Repeat("a", 200) + ".example"
	tests := []struct {
		name string
		in   []byte
		want Hello
	}{
		{"Go's client", plain, Hello{TLS, "www.a.example"}},
		{"TLS 1.2", ask(t, &tls.Config{ServerName: "www.a.example", MaxVersion: tls.VersionTLS12}), Hello{TLS, "www.a.example"}},
		{"ALPN and more behind it", ask(t, &tls.Config{ServerName: "b.example", NextProtos: []string{"h2", "http/1.1"}}), Hello{TLS, "b.example"}},
		{"no name", ask(t, &tls.Config{}), Hello{TLS, ""}},
		{"several records", inRecords(plain, 100), Hello{TLS, "www.a.example"}},
		{"a byte a record", inRecords(plain, 1), Hello{TLS, "www.a.example"}},
		{"bytes behind it", append(append([]byte{}, plain...), "early data"...), Hello{TLS, "www.a.example"}},
		{"GREASE before it", compose(grease, serverNames("0 www.a.example"), extension{0x1a1a, []byte{0}}), Hello{TLS, "www.a.example"}},
		{"upper case stays", compose(serverNames("0 WWW.A.Example")), Hello{TLS, "WWW.A.Example"}},
		{"final dot stays", compose(serverNames("0 www.a.example.")), Hello{TLS, "www.a.example."}},
		{"an address", compose(serverNames("0 192.0.2.1")), Hello{TLS, "192.0.2.1"}},
		{"long name", compose(serverNames("0 " + long)), Hello{TLS, long}},
		{"name of another type first", compose(serverNames("1 other", "0 b.example")), Hello{TLS, "b.example"}},
		{"names of other types alone", compose(serverNames("1 other")), Hello{TLS, ""}},
		{"ECH: the outer name", compose(serverNames("0 public.example"), extension{0xfe0d, make([]byte, 200)}), Hello{TLS, "public.example"}},
		{"no extensions at all", compose(), Hello{TLS, ""}},
		{"extension that ends early", compose(extension{extServerName, []byte{0, 9, 0}}), Hello{}},
		{"another handshake message", []byte{22, 3, 3, 0, 4, 2, 0, 0, 0}, Hello{}},
		{"empty record", []byte{22, 3, 1, 0, 0}, Hello{}},
		{"record too long", []byte{22, 3, 1, 0x40, 1}, Hello{}},
		{"another kind of record", []byte{23, 3, 3, 0, 1}, Hello{}},
		{"a version that heeds nobody", append([]byte{22, 0}, plain[2:]...), Hello{TLS, "www.a.example"}},
		{"not a version", []byte{22, 'H'}, Hello{}},
		{"alert in between", append(inRecords(plain, 100)[:105], 21, 3, 3, 0, 2, 2, 80), Hello{}},
		{"empty ClientHello", []byte{22, 3, 1, 0, 4, 1, 0, 0, 0}, Hello{}},
		{"SSL 2.0's hello", []byte{0x80, 0x2e, 1, 3, 1}, Hello{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("hello (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTLSInPieces gives a ClientHello byte by byte, as segments may bring it.
func TestTLSInPieces(t *testing.T) {
	t.Parallel()
	whole := ask(t, &tls.Config{ServerName: "www.a.example"})
	for _, record := range [][]byte{whole, inRecords(whole, 7)} {
		for n := range record {
			if got, err := Parse(record[:n]); !errors.Is(err, ErrIncomplete) {
				t.Fatalf("%d of %d bytes: %+v, %v; want it incomplete", n, len(record), got, err)
			}
		}
	}
}

// TestAlerts shows that Go's client understands what it is told.
func TestAlerts(t *testing.T) {
	t.Parallel()
	hello := Hello{Protocol: TLS, Name: "www.a.example"}
	tests := []struct {
		name  string
		words []byte
		want  string
	}{
		{"unrouted", Unrouted(hello), "unrecognized name"},
		{"unreachable", Unreachable(hello), "internal error"},
		{"too long", TooLong(hello), "error decoding message"},
		{"too late", TooLate(hello), "EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			go func() {
				_, _ = io.ReadAtLeast(far, make([]byte, 4096), 100)
				_, _ = far.Write(test.words)
				far.Close()
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := tls.Client(near, &tls.Config{ServerName: hello.Name}).HandshakeContext(ctx)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the client says %v, want %q", err, test.want)
			}
		})
	}
}

// FuzzTLS holds Parse against Go's own reading: where that finds a name, so does
// Parse, and the same one.
func FuzzTLS(f *testing.F) {
	plain := compose(serverNames("0 b.example"))
	f.Add(plain)
	f.Add(inRecords(plain, 50))
	f.Add(compose(extension{0x0a0a, nil}, serverNames("1 x", "0 b.example")))
	f.Add([]byte{22, 3, 1, 0, 4, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Parse(in)
		want, found := reference(in)
		if found && (err != nil || got != Hello{TLS, want}) {
			t.Errorf("%+v, %v; crypto/tls reads the name %q", got, err, want)
		}
	})
}

// errStop ends a handshake of which no more is wanted.
var errStop = errors.New("stop")

// reference is the name that crypto/tls reads.
func reference(in []byte) (name string, found bool) {
	config := &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name, found = h.ServerName, true
		return nil, errStop
	}}
	_ = tls.Server(&replay{in: in}, config).Handshake()
	return name, found
}

// replay is a connection on which these bytes come and then nothing more.
type replay struct {
	net.Conn
	in []byte
}

func (r *replay) Read(b []byte) (int, error) {
	if len(r.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.in)
	r.in = r.in[n:]
	return n, nil
}

func (r *replay) Write(b []byte) (int, error)      { return len(b), nil }
func (r *replay) Close() error                     { return nil }
func (r *replay) SetWriteDeadline(time.Time) error { return nil }

func BenchmarkTLS(b *testing.B) {
	record := ask(b, &tls.Config{ServerName: "www.a.example"})
	for b.Loop() {
		if _, err := Parse(record); err != nil {
			b.Fatal(err)
		}
	}
}
