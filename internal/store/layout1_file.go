package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
)

// Layout 1 was a file of bbolt. This reads its pages as bytes, and only what is
// needed of them: bbolt itself trusts its pages, and panics in goroutines of its
// own, or recurses without end, if they are damaged. Whether what is read is what
// was written is told by the checksum that the configuration had in there.

const (
	pageHeader = 16 // id 8, flags 2, count 2, overflow 4
	element    = 16 // leaf: flags, pos, ksize, vsize; branch: pos, ksize, pgid 8
	bucketSize = 16 // root 8, sequence 8
	metaSize   = 64

	branchFlag = 0x01
	leafFlag   = 0x02
	bucketFlag = 0x01 // of a leaf element

	boltMagic   = 0xED0CDAED
	maxPageSize = 1 << 24 // the largest that bbolt looks for
)

var order = binary.NativeEndian // bbolt writes its structs as they are in memory

// boltFile is a file of bbolt, format version 2.
type boltFile struct {
	data  []byte
	size  uint64 // of a page
	root  uint64 // page of the bucket of buckets
	metas int    // how many of the two headers are right
}

func openBolt(data []byte) (f boltFile, ok bool) {
	newest := uint64(0)
	f.data = data
	for at := uint64(0); at <= maxPageSize && at < uint64(len(data)); at = max(1024, at*2) {
		size, root, transaction, ok := parseMeta(data, at)
		if !ok || at > 0 && size != at || f.metas > 0 && size != f.size {
			continue
		}
		if f.metas == 0 || transaction > newest {
			f.size, f.root, newest = size, root, transaction
		}
		if f.metas++; f.metas == 2 {
			break
		}
	}
	return f, f.metas > 0
}

// parseMeta reads the header page that starts at an offset of the file.
func parseMeta(data []byte, at uint64) (size, root, transaction uint64, ok bool) {
	if at+pageHeader+metaSize > uint64(len(data)) {
		return 0, 0, 0, false
	}
	b := data[at+pageHeader:][:metaSize]
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if order.Uint32(b) != boltMagic || order.Uint32(b[4:]) != 2 || order.Uint64(b[56:]) != sum.Sum64() {
		return 0, 0, 0, false
	}
	size = uint64(order.Uint32(b[8:]))
	return size, order.Uint64(b[16:]), order.Uint64(b[48:]), size >= 1024 && size <= maxPageSize && size&(size-1) == 0
}

// bucket returns what a bucket of the file has, by key; nil if there is none.
func (f boltFile) bucket(name string) (map[string][]byte, error) {
	var found []byte
	err := f.walk(f.root, func(key, value []byte, isBucket bool) {
		if isBucket && string(key) == name {
			found = value
		}
	})
	if err != nil || found == nil {
		return nil, err
	}
	pairs := make(map[string][]byte)
	add := func(key, value []byte, isBucket bool) {
		if !isBucket {
			pairs[string(key)] = bytes.Clone(value)
		}
	}
	switch {
	case len(found) < bucketSize:
		return nil, fmt.Errorf("has a bucket that is too short")
	case order.Uint64(found) != 0:
		err = f.walk(order.Uint64(found), add)
	default: // a small one is a page of its own, inside
		_, err = leafOrBranch(found[bucketSize:], add)
	}
	return pairs, err
}

// walk calls do for each element that the pages below one lead to.
func (f boltFile) walk(root uint64, do func(key, value []byte, isBucket bool)) error {
	seen := map[uint64]bool{}
	for waiting := []uint64{root}; len(waiting) > 0; {
		id := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		pages := uint64(len(f.data)) / f.size
		if id < 2 || id >= pages || seen[id] {
			return fmt.Errorf("leads to page %d where there is none", id)
		}
		seen[id] = true
		p := f.data[id*f.size:]
		n := 1 + uint64(order.Uint32(p[12:]))
		if n > pages-id {
			return fmt.Errorf("has a page %d that is longer than the file", id)
		}
		below, err := leafOrBranch(p[:n*f.size], do)
		if err != nil {
			return fmt.Errorf("%w in page %d", err, id)
		}
		waiting = append(waiting, below...)
	}
	return nil
}

// leafOrBranch reads one page: the pages that it leads to, or its elements.
func leafOrBranch(p []byte, do func(key, value []byte, isBucket bool)) (below []uint64, err error) {
	if len(p) < pageHeader {
		return nil, fmt.Errorf("has no header")
	}
	flags, count := order.Uint16(p[8:]), int(order.Uint16(p[10:]))
	if flags != leafFlag && flags != branchFlag || pageHeader+count*element > len(p) {
		return nil, fmt.Errorf("has a bad header")
	}
	for i := range count {
		e := p[pageHeader+i*element:]
		if flags == branchFlag {
			below = append(below, order.Uint64(e[8:]))
			continue
		}
		pos, ksize, vsize := uint64(order.Uint32(e[4:])), uint64(order.Uint32(e[8:])), uint64(order.Uint32(e[12:]))
		if pos < element || pos+ksize+vsize > uint64(len(e)) {
			return nil, fmt.Errorf("has a bad element")
		}
		do(e[pos:pos+ksize], e[pos+ksize:pos+ksize+vsize], order.Uint32(e)&bucketFlag != 0)
	}
	return below, nil
}
