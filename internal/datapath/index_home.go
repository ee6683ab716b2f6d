package datapath

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// A binding at its home (port_home() of bpf/port_home.h) is in no index. Where that is
// follows from a secret, which never changes, and from the ranges of its address.

// keepSecret draws the secret if there is none yet: before any packet needs it.
func (d *Datapath) keepSecret() error {
	return d.changeSettings(func(s *kernel.Settings) {
		defer func() { d.secret = s.PortSecret }()
		if s.PortSecret != [2]uint64{} {
			return
		}
		var secret [16]byte
		_, _ = rand.Read(secret[:]) // never fails
		s.PortSecret = [2]uint64{binary.NativeEndian.Uint64(secret[:8]), binary.NativeEndian.Uint64(secret[8:])}
	})
}

// poolRows are the external addresses. All bindings are entered in the index when one
// changes or goes: homes may be elsewhere then.
type poolRows struct {
	rows[kernel.PoolKey, kernel.Pool]
	indexAll func() error
}

func (p poolRows) write(was *Config, is Config) error {
	have, err := p.have(was)
	if err != nil {
		return err
	}
	want, same := p.of(is), true
	for key, value := range have {
		same = same && want[key] == value
	}
	if same {
		return p.replace(have, want)
	}
	if err := p.indexAll(); err != nil {
		return err
	}
	return errors.Join(p.replace(have, want), p.indexAll()) // again, for what is opened meanwhile
}

// indexAll enters the dynamic bindings in the index that are not there.
func (d *Datapath) indexAll() error {
	added := make(map[kernel.BindingIndexKey]kernel.BindingKey)
	err := kernel.Each(d.objects.Bindings, func(key *kernel.BindingKey, value *kernel.Binding) error {
		if value.Flags&kernel.BindingConfigured != 0 {
			return nil
		}
		index := kernel.IndexOf(*key, *value)
		err := kernel.AddWay(&d.objects, index, wayOut(*key))
		if err == nil {
			added[index] = *key
		}
		if errors.Is(err, ebpf.ErrKeyExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("entering bindings in the index: %w", err)
	}
	for index, key := range added { // what has ended meanwhile leaves none behind
		var value kernel.Binding
		if err := d.objects.Bindings.Lookup(&key, &value); err == nil && kernel.IndexOf(key, value) == index {
			continue
		}
		if err := kernel.RemoveWay(&d.objects, index); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("removing from the index: %w", err)
		}
	}
	return nil
}
