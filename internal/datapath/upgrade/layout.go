package upgrade

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// field is one number, or row of numbers, of a map's key or value. Members of
// members have their path as their name.
type field struct {
	name         string
	offset, size int // bytes
	element      int // bytes of each number of a row, 0 if it is none
}

// layout is what a key or a value consists of. Padding and what belongs to the
// kernel (locks, timers) is left out.
type layout struct {
	size   int
	fields []field
}

func layoutOf(t btf.Type) (layout, error) {
	size, err := btf.Sizeof(t)
	if err != nil {
		return layout{}, err
	}
	l := layout{size: size}
	return l, l.add(t, "", 0)
}

func (l *layout) add(t btf.Type, path string, offset int) error {
	size, err := btf.Sizeof(t)
	if err != nil {
		return fmt.Errorf("field %s: %w", path, err)
	}
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return l.addMembers(t, path, offset)
	case *btf.Array:
		return l.addArray(t, path, offset, size)
	}
	l.fields = append(l.fields, field{name: path, offset: offset, size: size})
	return nil
}

func (l *layout) addMembers(t *btf.Struct, path string, offset int) error {
	if t.Name == "bpf_spin_lock" || t.Name == "bpf_timer" {
		return nil
	}
	for _, m := range t.Members {
		if strings.HasPrefix(m.Name, "pad") {
			continue
		}
		if err := l.add(m.Type, path+"."+m.Name, offset+int(m.Offset.Bytes())); err != nil {
			return err
		}
	}
	return nil
}

func (l *layout) addArray(t *btf.Array, path string, offset, size int) error {
	if t.Nelems == 0 {
		return nil
	}
	element := size / int(t.Nelems)
	if _, ok := btf.UnderlyingType(t.Type).(*btf.Struct); !ok {
		l.fields = append(l.fields, field{name: path, offset: offset, size: size, element: element})
		return nil
	}
	for i := range int(t.Nelems) {
		if err := l.add(t.Type, fmt.Sprintf("%s[%d]", path, i), offset+i*element); err != nil {
			return err
		}
	}
	return nil
}

func (l layout) find(name string) (field, bool) {
	i := slices.IndexFunc(l.fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return field{}, false
	}
	return l.fields[i], true
}

func (l layout) equal(other layout) bool {
	return l.size == other.size && slices.Equal(l.fields, other.fields)
}

// table is the layout of a map.
type table struct{ key, value layout }

func tableOfSpec(m *ebpf.MapSpec) (t table, err error) {
	if m.Key != nil {
		if t.key, err = layoutOf(m.Key); err != nil {
			return table{}, err
		}
	}
	if m.Value != nil {
		t.value, err = layoutOf(m.Value)
	}
	return t, err
}

// tableOf asks the kernel for the layout of a map, which it has from whoever
// made the map: no file tells what an earlier version's tables were like.
func tableOf(m *ebpf.Map) (t table, err error) {
	key, value, err := typesOf(m)
	if err != nil || key == 0 && value == 0 {
		return table{}, err
	}
	handle, err := m.Handle()
	if err != nil {
		return table{}, err
	}
	defer handle.Close()
	spec, err := handle.Spec(nil)
	if err != nil {
		return table{}, err
	}
	if t.key, err = layoutByID(spec, key); err != nil {
		return table{}, err
	}
	t.value, err = layoutByID(spec, value)
	return t, err
}

func layoutByID(spec *btf.Spec, id btf.TypeID) (layout, error) {
	if id == 0 {
		return layout{}, nil
	}
	t, err := spec.TypeByID(id)
	if err != nil {
		return layout{}, err
	}
	return layoutOf(t)
}

// mapInfo is the beginning of the kernel's struct bpf_map_info: cilium/ebpf
// does not show the last two.
type mapInfo struct {
	_                 [64]byte
	_, btfKey, btfVal uint32
	_                 uint32
}

// typesOf returns the ids of a map's key and value in its BTF, 0 for none.
func typesOf(m *ebpf.Map) (key, value btf.TypeID, err error) {
	const objGetInfoByFD = 15
	var info mapInfo
	attr := struct {
		fd, length uint32
		info       uint64
	}{uint32(m.FD()), uint32(unsafe.Sizeof(info)), uint64(uintptr(unsafe.Pointer(&info)))}
	_, _, errno := unix.Syscall(unix.SYS_BPF, objGetInfoByFD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return 0, 0, fmt.Errorf("asking for the layout of a map: %w", errno)
	}
	return btf.TypeID(info.btfKey), btf.TypeID(info.btfVal), nil
}

// LayoutSum is a short text that differs where keys or values of a table have other
// fields, or have them elsewhere.
func LayoutSum(m *ebpf.MapSpec) (string, error) {
	t, err := tableOfSpec(m)
	if err != nil {
		return "", fmt.Errorf("reading the layout of the table %s: %w", m.Name, err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", t))
	return hex.EncodeToString(sum[:8]), nil
}
