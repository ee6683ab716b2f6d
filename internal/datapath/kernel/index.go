package kernel

import (
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The index says which external port an internal one leaves by. The data path counts
// its elements, so they are changed by its own program change_index and by nothing else.

// AddWay adds an element. If there is one, the error is ebpf.ErrKeyExist.
func AddWay(o *Objects, index BindingIndexKey, way WayOut) error {
	return changeIndex(o, IndexRequest{Key: index, Way: way, Change: uint32(bpfIndexChangeINDEX_ADD)})
}

// PutWay adds an element, or puts it in place of what there is.
func PutWay(o *Objects, index BindingIndexKey, way WayOut) error {
	return changeIndex(o, IndexRequest{Key: index, Way: way, Change: uint32(bpfIndexChangeINDEX_PUT)})
}

// RemoveWay removes an element. If there is none, the error is ebpf.ErrKeyNotExist.
func RemoveWay(o *Objects, index BindingIndexKey) error {
	return changeIndex(o, IndexRequest{Key: index, Change: uint32(bpfIndexChangeINDEX_REMOVE)})
}

func changeIndex(o *Objects, request IndexRequest) error {
	options := &ebpf.RunOptions{Data: FrameOf(&request)}
	return again(func() error {
		number, err := o.ChangeIndex.Run(options)
		if err != nil {
			return err
		}
		switch failed := unix.Errno(number); failed {
		case 0:
			return nil
		case unix.EEXIST:
			return ebpf.ErrKeyExist
		case unix.ENOENT:
			return ebpf.ErrKeyNotExist
		default:
			return failed
		}
	}, writePause)
}
