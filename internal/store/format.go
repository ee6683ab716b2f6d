package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A state file is text: a line that says what it is, and transactions, each of
// which ends with its revision and a checksum of all that is before in the file.
//
//	hostnat configuration, version 2, id 5f1c04a9d2e87b36
//	nat 1 {"name":"default",...}
//	counters {"nextId":7,...}
//	revision 1 sha256 0c5d...
//	endpoint 6 {"name":"c1",...}
//	delete endpoint 4
//	revision 2 sha256 77ab...
//
// The first transaction has everything that there was when the file was made.

// version is the layout's. A layout that this hostnat could not read gets a
// higher one.
const version = 2

// Revision counts the changes of what is stored, from 1.
type Revision uint64

// head is a file's first line.
type head struct {
	what    string // "configuration" or "leases"
	version int
	id      string // of the store: a file of another one is no copy of this
}

func (h head) String() string {
	return fmt.Sprintf("hostnat %s, version %d, id %s\n", h.what, h.version, h.id)
}

// parseHead reads what String writes, and that alone.
func parseHead(line string) (h head, ok bool) {
	text, _ := strings.CutPrefix(line, "hostnat ")
	var number string
	h.what, number, _ = strings.Cut(text, ", version ")
	number, h.id, _ = strings.Cut(strings.TrimSuffix(number, "\n"), ", id ")
	h.version, _ = strconv.Atoi(number)
	return h, h.version > 0 && h.String() == line
}

// checksum is of everything in a file up to some place.
type checksum [sha256.Size]byte

func (c checksum) with(text []byte) checksum {
	h := sha256.New()
	h.Write(c[:])
	h.Write(text)
	return checksum(h.Sum(nil))
}

// objects are what is stored, as JSON by key: "network 3". nil: one that is to go.
type objects map[string][]byte

// transaction is the text that brings a file from the state with checksum before
// to a revision.
func transaction(before checksum, at Revision, changed objects) (text []byte, after checksum) {
	var b bytes.Buffer
	for _, key := range slices.SortedFunc(maps.Keys(changed), compareKeys) {
		if object := changed[key]; object != nil {
			fmt.Fprintf(&b, "%s %s\n", key, object)
		} else {
			fmt.Fprintf(&b, "delete %s\n", key)
		}
	}
	fmt.Fprintf(&b, "revision %d", at)
	after = before.with(b.Bytes())
	fmt.Fprintf(&b, " sha256 %x\n", after)
	return b.Bytes(), after
}

// compareKeys orders keys by kind, and those of a kind by number.
func compareKeys(a, b string) int {
	kindA, idA, _ := strings.Cut(a, " ")
	kindB, idB, _ := strings.Cut(b, " ")
	numberA, _ := strconv.ParseUint(idA, 10, 64)
	numberB, _ := strconv.ParseUint(idB, 10, 64)
	return cmp.Or(cmp.Compare(kindA, kindB), cmp.Compare(numberA, numberB), cmp.Compare(idA, idB))
}

// snapshot is a whole file with one transaction.
func snapshot(h head, at Revision, all objects) (text []byte, sum checksum) {
	first := []byte(h.String())
	text, sum = transaction(checksum{}.with(first), at, all)
	return append(first, text...), sum
}

// condition is what is known of a file's content.
type condition int

const (
	absent  condition = iota // there is no file
	whole                    // every transaction is there and right
	torn                     // it ends in the middle of a transaction, as after a crash
	damaged                  // it is not as hostnat wrote it
	alien                    // what is there is no regular file, or belongs to somebody else
	newer                    // a newer hostnat wrote it
)

// contents is what a file holds, as far as it can be trusted.
type contents struct {
	condition condition
	why       string // of torn, damaged, alien and newer: what was seen, as the rest of a sentence
	head      head
	objects   objects
	revision  Revision // 0: no whole transaction was found
	beyond    Revision // it may have had transactions up to this one; at least revision
	sum       checksum
	size      int64 // of what can be trusted, in bytes
	layout1   bool  // it is a file of layout 1, which is not written any more
}

// parse reads a file as far as its checksums are right.
func parse(what string, data []byte) contents {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	h, ok := parseHead(string(line) + "\n")
	switch {
	case len(data) == 0:
		return contents{condition: damaged, why: "is empty"}
	case !ok || h.what != what || len(line) == len(data):
		return contents{condition: damaged, why: "does not begin as a file of hostnat's " + what}
	case h.version > version:
		return contents{condition: newer, head: h, why: fmt.Sprintf("was written by a newer hostnat (layout %d; this one knows %d)", h.version, version)}
	}
	c := contents{condition: whole, head: h, objects: make(objects), size: int64(len(line) + 1)}
	c.sum = checksum{}.with(data[:c.size])
	for len(rest) > 0 {
		t, n, err := nextTransaction(rest, c.sum, c.revision)
		if err != nil {
			c.condition, c.why = damaged, err.Error()
			c.beyond = max(c.revision, lastRevision(rest))
			if !bytes.Contains(data[:c.size], rest) { // more than what is doubled
				c.beyond = max(c.beyond, c.revision+1)
			}
			return c.checkHead()
		}
		if n == 0 {
			c.condition, c.why = torn, "ends in the middle of a change"
			break
		}
		for key, object := range t.changed {
			if object == nil {
				delete(c.objects, key)
			} else {
				c.objects[key] = object
			}
		}
		c.revision, c.sum = t.revision, t.sum
		c.size += int64(n)
		rest = rest[n:]
	}
	c.beyond = c.revision
	if c.revision == 0 {
		c.condition, c.why = damaged, "ends before its first change is complete"
	}
	return c.checkHead()
}

// checkHead leaves the head out that no checksum has shown to be right.
func (c contents) checkHead() contents {
	if c.revision == 0 {
		c.head = head{}
	}
	return c
}

// parsed is a transaction that was read.
type parsed struct {
	revision Revision
	sum      checksum
	changed  objects
}

// nextTransaction reads the transaction that text begins with, which is n bytes
// long; 0: text ends before it does.
func nextTransaction(text []byte, before checksum, last Revision) (t parsed, n int, err error) {
	t.changed = make(objects)
	for {
		line, _, complete := bytes.Cut(text[n:], []byte("\n"))
		if !complete {
			return parsed{}, 0, nil
		}
		if number, isEnd := bytes.CutPrefix(line, []byte("revision ")); isEnd {
			t.revision, t.sum, err = parseEnd(string(number))
			if err != nil {
				return parsed{}, 0, err
			}
			upTo := n + len(line) - len(" sha256 ") - 2*sha256.Size
			if before.with(text[:upTo]) != t.sum || last > 0 && t.revision != last+1 {
				return parsed{}, 0, fmt.Errorf("does not match its checksum at revision %d", t.revision)
			}
			return t, n + len(line) + 1, nil
		}
		key, object, err := parseLine(line)
		if err != nil {
			return parsed{}, 0, err
		}
		t.changed[key] = object
		n += len(line) + 1
		if n == len(text) {
			return parsed{}, 0, nil
		}
	}
}

func parseEnd(s string) (Revision, checksum, error) {
	bad := fmt.Errorf("has a line that is not hostnat's: %.40q", "revision "+s)
	number, digits, _ := strings.Cut(s, " sha256 ")
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n == 0 {
		return 0, checksum{}, bad
	}
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha256.Size {
		return 0, checksum{}, bad
	}
	return Revision(n), checksum(sum), nil
}

// parseLine reads an object's line, or that of one that is to go.
func parseLine(line []byte) (key string, object []byte, err error) {
	if gone, is := bytes.CutPrefix(line, []byte("delete ")); is && len(gone) > 0 {
		return string(gone), nil, nil
	}
	at := bytes.Index(line, []byte(" {"))
	if at <= 0 || !json.Valid(line[at+1:]) {
		return "", nil, fmt.Errorf("has a line that is not hostnat's: %.40q", line)
	}
	return string(line[:at]), line[at+1:], nil
}

// lastRevision is the highest revision that is spoken of in damaged text.
func lastRevision(text []byte) (last Revision) {
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		number, isEnd := bytes.CutPrefix(line, []byte("revision "))
		if !isEnd {
			continue
		}
		if n, _, err := parseEnd(string(number)); err == nil {
			last = max(last, n)
		}
	}
	return last
}
