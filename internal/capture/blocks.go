package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Copied is what was copied of a file of packets.
type Copied struct {
	Packets uint64
	Lost    uint64 // that the file tells of
}

// The blocks of pcapng (draft-ietf-opsawg-pcapng) that begin each file.
const (
	sectionBlock   = 0x0a0d0d0a
	interfaceBlock = 1
	namesBlock     = 4
	packetBlock    = 6
	largestBlock   = 1 << 20
)

// Copy copies what File has written, block by block. Before a block that would make a
// file longer than most bytes, next is called for another one, which then begins with
// what each has to begin with. most 0: one file is enough.
func Copy(from io.Reader, to io.Writer, most int64, next func() (io.Writer, error)) (c Copied, err error) {
	in := bufio.NewReaderSize(from, 1<<16)
	var beginning []byte
	var length int64
	for {
		block, kind, err := readBlock(in)
		if err == io.EOF {
			return c, nil
		}
		if err != nil {
			return c, err
		}
		if most > 0 && kind == packetBlock && length > int64(len(beginning)) && length+int64(len(block)) > most {
			if to, err = next(); err == nil {
				_, err = to.Write(beginning)
			}
			if err != nil {
				return c, err
			}
			length = int64(len(beginning))
		}
		if _, err := to.Write(block); err != nil {
			return c, fmt.Errorf("writing captured packets: %w", err)
		}
		length += int64(len(block))
		switch kind {
		case sectionBlock, interfaceBlock, namesBlock:
			beginning = append(beginning, block...)
		default:
			c.Count(block)
		}
	}
}

// ErrBrokenOff: the packets end before the one who sends them has ended them.
var ErrBrokenOff = errors.New("the stream of captured packets has broken off")

func brokenOff(err error) error { return fmt.Errorf("%w: %w", ErrBrokenOff, err) }

// readBlock reads a block: its type, its length, the body, its length again.
func readBlock(in *bufio.Reader) (block []byte, kind uint32, err error) {
	head, err := in.Peek(8)
	if err != nil {
		if len(head) == 0 && err == io.EOF {
			return nil, 0, err
		}
		return nil, 0, brokenOff(err)
	}
	kind = binary.LittleEndian.Uint32(head)
	length := binary.LittleEndian.Uint32(head[4:])
	if length < 12 || length > largestBlock || length%4 != 0 {
		return nil, 0, fmt.Errorf("a block of %d bytes is none that the daemon writes", length)
	}
	block = make([]byte, length)
	if _, err = io.ReadFull(in, block); err != nil {
		return nil, 0, brokenOff(err)
	}
	return block, kind, nil
}

// Count counts a packet's first block, and what it tells of packets lost before it.
func (c *Copied) Count(block []byte) {
	const options = 28
	const endOption, flags, dropCount, outbound = 0, 2, 4, 2
	if len(block) < options+4 || binary.LittleEndian.Uint32(block) != packetBlock {
		return
	}
	kept := binary.LittleEndian.Uint32(block[20:])
	at := options + int(kept+3)&^3
	first := true
	for at+4 <= len(block)-4 {
		code, size := binary.LittleEndian.Uint16(block[at:]), int(binary.LittleEndian.Uint16(block[at+2:]))
		value := block[at+4:]
		if code == endOption || size > len(value) {
			break
		}
		switch {
		case code == flags && size == 4:
			first = binary.LittleEndian.Uint32(value)&3 != outbound
		case code == dropCount && size == 8:
			c.Lost += binary.LittleEndian.Uint64(value)
		}
		at += 4 + (size+3)&^3
	}
	if first {
		c.Packets++
	}
}
