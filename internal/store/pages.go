package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
)

// bbolt trusts its pages: on a damaged file it panics in goroutines of its own
// or recurses without end, which nobody can recover from. So the file is
// walked here first, as bytes, and bbolt sees only files whose pages refer to
// each other properly. The layout is bbolt's internal/common, version 2.

const (
	pageHeader = 16 // id 8, flags 2, count 2, overflow 4
	element    = 16 // leaf: flags, pos, ksize, vsize; branch: pos, ksize, pgid 8
	bucketSize = 16 // root 8, sequence 8
	metaSize   = 64

	branchFlag   = 0x01
	leafFlag     = 0x02
	freelistFlag = 0x10
	bucketFlag   = 0x01 // of a leaf element

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	noFreelist  = ^uint64(0)

	maxFile     = 1 << 28 // far above any configuration
	maxPageSize = 1 << 24 // the largest that bbolt looks for
)

var order = binary.NativeEndian // bbolt writes its structs as they are in memory

// checkFile returns a damage if bbolt could not work with the file. The note
// is about harmless damage that a person should know of.
func checkFile(path string) (note string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxFile {
		return "", damagef("it is %d bytes long", info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	metas, err := checkPages(data)
	if metas == 1 {
		note = fmt.Sprintf("one of the two headers of %s is damaged: the configuration may be older than the last change", path)
	}
	return note, err
}

// checkPages walks all pages that the newest valid header leads to. It returns
// how many of the two headers are valid.
func checkPages(data []byte) (metas int, err error) {
	best, metas := newestMeta(data)
	if metas == 0 {
		return 0, damagef("it has no valid header")
	}
	w := walk{data: data, size: best.pageSize, end: best.end, seen: map[uint64]bool{}}
	if best.freelist != noFreelist {
		if err := w.freelist(best.freelist); err != nil {
			return metas, err
		}
	}
	return metas, w.tree(best.root, bounds{})
}

type meta struct{ pageSize, root, freelist, end, txid uint64 }

func newestMeta(data []byte) (best meta, valid int) {
	first, ok := parseMeta(data, 0)
	if ok {
		best, valid = first, 1
	}
	for at := uint64(1024); at <= maxPageSize && at < uint64(len(data)); at *= 2 {
		m, ok := parseMeta(data, at)
		if !ok || m.pageSize != at || valid == 1 && m.pageSize != best.pageSize {
			continue
		}
		if valid == 0 || m.txid > best.txid {
			best = m
		}
		return best, valid + 1
	}
	return best, valid
}

// parseMeta reads the header page that starts at an offset of the file.
func parseMeta(data []byte, at uint64) (meta, bool) {
	if at+pageHeader+metaSize > uint64(len(data)) {
		return meta{}, false
	}
	b := data[at+pageHeader:][:metaSize]
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if order.Uint32(b) != boltMagic || order.Uint32(b[4:]) != boltVersion || order.Uint64(b[56:]) != sum.Sum64() {
		return meta{}, false
	}
	m := meta{
		pageSize: uint64(order.Uint32(b[8:])), root: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]),
		end: order.Uint64(b[40:]), txid: order.Uint64(b[48:]),
	}
	return m, m.pageSize >= 1024 && m.pageSize <= maxPageSize && m.pageSize&(m.pageSize-1) == 0
}

// walk visits each page of a file once.
type walk struct {
	data []byte
	size uint64 // of a page
	end  uint64 // first page id that is not in use
	seen map[uint64]bool
}

// page returns a page with its overflow.
func (w *walk) page(id uint64) ([]byte, error) {
	pages := uint64(len(w.data)) / w.size
	if id < 2 || id >= w.end || id >= pages {
		return nil, damagef("page %d is outside the file", id)
	}
	p := w.data[id*w.size:]
	n := 1 + uint64(order.Uint32(p[12:]))
	if order.Uint64(p) != id || n > pages-id || n > w.end-id {
		return nil, damagef("page %d has a bad header", id)
	}
	for i := range n {
		if w.seen[id+i] {
			return nil, damagef("page %d is used twice", id+i)
		}
		w.seen[id+i] = true
	}
	return p[:n*w.size], nil
}

// bounds are what a page's place in the tree says about its keys. bbolt looks at
// this too, in a goroutine that outlives what it finds.
type bounds struct{ from, below []byte } // nil: any

func (b bounds) hold(key []byte) bool {
	return bytes.Compare(key, b.from) >= 0 && (b.below == nil || bytes.Compare(key, b.below) < 0)
}

func (w *walk) tree(id uint64, keys bounds) error {
	p, err := w.page(id)
	if err != nil {
		return err
	}
	return w.elements(p, id, keys, w.bucket)
}

// elements checks a branch or leaf page and what it leads to: other pages, and
// buckets, for which it calls bucket.
func (w *walk) elements(p []byte, id uint64, keys bounds, bucket func(value []byte, id uint64) error) error {
	flags, count := order.Uint16(p[8:]), int(order.Uint16(p[10:]))
	isLeaf := flags == leafFlag
	if !isLeaf && (flags != branchFlag || count == 0) || pageHeader+count*element > len(p) {
		return damagef("page %d has a bad header", id)
	}
	var before []byte
	for i := range count {
		e := p[pageHeader+i*element:]
		key, value, ok := split(e, isLeaf)
		if !ok || i > 0 && bytes.Compare(before, key) >= 0 || !keys.hold(key) {
			return damagef("element %d of page %d is bad", i, id)
		}
		before = key
		var err error
		switch {
		case !isLeaf:
			below := keys.below
			if i+1 < count {
				if below, _, ok = split(e[element:], false); !ok {
					return damagef("element %d of page %d is bad", i+1, id)
				}
			}
			err = w.tree(order.Uint64(e[8:]), bounds{key, below})
		case order.Uint32(e)&bucketFlag != 0:
			err = bucket(value, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// split finds an element's key, and a leaf's value. Positions count from the
// element's own start.
func split(e []byte, isLeaf bool) (key, value []byte, ok bool) {
	pos, ksize, vsize := uint64(order.Uint32(e)), uint64(order.Uint32(e[4:])), uint64(0)
	if isLeaf {
		pos, ksize, vsize = uint64(order.Uint32(e[4:])), uint64(order.Uint32(e[8:])), uint64(order.Uint32(e[12:]))
	}
	if pos < element || pos+ksize+vsize > uint64(len(e)) {
		return nil, nil, false
	}
	return e[pos : pos+ksize], e[pos+ksize : pos+ksize+vsize], true
}

// bucket checks a bucket's value: the id of its root page, or, for a small
// one, the page itself.
func (w *walk) bucket(value []byte, id uint64) error {
	if len(value) < bucketSize {
		return damagef("a bucket of page %d is too short", id)
	}
	if root := order.Uint64(value); root != 0 {
		return w.tree(root, bounds{})
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader || order.Uint16(inline[8:]) != leafFlag {
		return damagef("a bucket of page %d is bad", id)
	}
	return w.elements(inline, id, bounds{}, noBucket)
}

// noBucket refuses a bucket inside an inline one: bbolt writes none, and a
// deep nest of them would be another endless recursion.
func noBucket(_ []byte, id uint64) error {
	return damagef("a small bucket of page %d has another in it", id)
}

func (w *walk) freelist(id uint64) error {
	p, err := w.page(id)
	if err != nil {
		return err
	}
	count, ids := uint64(order.Uint16(p[10:])), p[pageHeader:]
	if count == 0xffff { // the number is too large for the header
		count, ids = order.Uint64(ids), ids[8:]
	}
	if order.Uint16(p[8:]) != freelistFlag || count > uint64(len(ids))/8 {
		return damagef("the free list is bad")
	}
	for i := range count {
		free := order.Uint64(ids[i*8:])
		if free < 2 || free >= w.end || w.seen[free] {
			return damagef("the free list has a bad page")
		}
		w.seen[free] = true
	}
	return nil
}
