package dns

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// BenchmarkLocal answers for a name of the network, over real links. What one
// core could answer is computed from the time on a CPU that server and client
// took together, so that other programs on the machine do not count.
func BenchmarkLocal(b *testing.B) {
	r := startRig(b)
	conn, err := r.Endpoints[0].Dial(b.Context(), "udp", gateway+":53")
	must(b, err)
	defer conn.Close()
	raw := wire(b, "c3.web.internal.", dns.TypeA)
	const window = 32
	waiting := make(chan struct{}, window)
	failed := make(chan error, 1)
	go func() {
		buffer := make([]byte, plainSize)
		for range b.N {
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := conn.Read(buffer); err != nil {
				failed <- err
				return
			}
			<-waiting
		}
		close(failed)
	}()
	b.ResetTimer()
	before := cpuTime(b)
	for range b.N {
		waiting <- struct{}{}
		_, err := conn.Write(raw)
		must(b, err)
	}
	must(b, <-failed)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
	b.ReportMetric(float64(b.N)/(cpuTime(b)-before).Seconds(), "answers/core-s")
}

// cpuTime is what this process has used of the CPUs, in the kernel too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkAnswer is the part of it that is no system call.
func BenchmarkAnswer(b *testing.B) {
	l := &listener{}
	l.zone.Store(zoneOf(b, "web"))
	raw := wire(b, "c2.web.internal.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1232, false) })
	b.ReportAllocs()
	for b.Loop() {
		if _, m := l.answer(raw, address("172.16.1.2")); len(pack(m, largeSize)) == 0 {
			b.Fatal("no answer")
		}
	}
}

// BenchmarkForwarded asks the host's resolver by way of the gateway and, turn
// about, directly: from the host, as the gateway does.
func BenchmarkForwarded(b *testing.B) {
	r := startRig(b)
	r.stub(says("192.0.2.1", 1))
	inside, err := r.Endpoints[0].Dial(b.Context(), "udp", gateway+":53")
	must(b, err)
	defer inside.Close()
	direct, err := r.Host.Dial(b.Context(), "udp", r.resolverAddress())
	must(b, err)
	defer direct.Close()
	var times [2][]time.Duration
	for b.Loop() {
		for i, conn := range []net.Conn{inside, direct} {
			start := time.Now()
			_, err := exchange(conn, new(dns.Msg).SetQuestion("example.com.", dns.TypeA), 5*time.Second)
			must(b, err)
			times[i] = append(times[i], time.Since(start))
		}
	}
	for i, name := range []string{"forwarded", "direct"} {
		slices.Sort(times[i])
		b.ReportMetric(float64(times[i][len(times[i])/2].Nanoseconds())/1000, name+"-p50-µs")
		b.ReportMetric(float64(times[i][len(times[i])*99/100].Nanoseconds())/1000, name+"-p99-µs")
	}
}

func (r *rig) resolverAddress() string { return (*r.server.forward.resolvers.Load())[0].String() }
