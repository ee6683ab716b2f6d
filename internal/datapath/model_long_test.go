package datapath

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

const (
	longSequences   = 2000 // of one seed
	longDifferences = 10   // then it gives up
)

// TestModelForLong is TestModel until HOSTNAT_PACKETS packets have gone through
// both sides: seed after seed, from HOSTNAT_SEED (1) on, a subtest each. A seed
// that finds a difference fails, and the next one goes on.
func TestModelForLong(t *testing.T) {
	want, err := strconv.Atoi(os.Getenv("HOSTNAT_PACKETS"))
	if err != nil {
		t.Skip("takes long: make model, or HOSTNAT_PACKETS=10000000")
	}
	seed, err := strconv.Atoi(os.Getenv("HOSTNAT_SEED"))
	if err != nil {
		seed = 1
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // what a sequence needs is little, and soon garbage
	w, count, differences := newTwin(t), newTally(), 0
	for ; count.packets < want && differences < longDifferences; seed++ {
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { w.fromSeed(t, seed, count) }) {
			differences++
		}
		fmt.Printf("seed %d: %d differences; %v\n", seed, differences, count)
	}
}

// fromSeed draws the same sequences each time: go test -run 'TestModel$'
// -rapid.checks=2000 -rapid.seed=SEED repeats them.
func (w *twin) fromSeed(t *testing.T, seed int, count *tally) {
	fixed(t, longSequences, seed)
	rapid.Check(t, func(t *rapid.T) { w.check(t, count) })
}
