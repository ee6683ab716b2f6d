package test

import (
	"testing"
	"time"
	"fmt"
)

func TestTmp(t *testing.T) {
	h := startHost(t)
	h.echo(h.Remote, "tcp", outside)
	h.echo(h.inside, "tcp", ":80")
	k := newTalkers(t)
	for i := range 500 {
		s := time.Now()
		if err := k.open(t.Context(), h.inside, outside, 1); err != nil { t.Fatal(err) }
		if d := time.Since(s); d > 100*time.Millisecond {
			fmt.Println("open out", i, d, k.conns[i].LocalAddr(), k.seen[i], h.status().Drops)
		}
	}
	for i := range 500 {
		s := time.Now()
		if err := k.open(t.Context(), h.Remote, published, 1); err != nil { t.Fatal(err) }
		if d := time.Since(s); d > 100*time.Millisecond {
			fmt.Println("open in", i, d, h.status().Drops)
		}
	}
	for i := range 500 {
		s := time.Now()
		if err := h.askOnce(h.inside, "tcp", outside); err != nil {
			t.Error(err)
		}
		if d := time.Since(s); d > 100*time.Millisecond {
			fmt.Println("out", i, d, h.status().Drops)
		}
	}
	for i := range 500 {
		s := time.Now()
		if err := h.askOnce(h.Remote, "tcp", published); err != nil {
			t.Error(err)
		}
		if d := time.Since(s); d > 100*time.Millisecond {
			fmt.Println("in", i, d, h.status().Drops)
		}
	}
	fmt.Println(h.status().Drops)
	l, _ := h.Addresses(t.Context())
	fmt.Printf("%+v\n", l)
}
