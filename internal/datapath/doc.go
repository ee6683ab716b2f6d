// Package datapath loads hostnat's BPF programs, pins them, attaches them to
// links, and reads and writes their maps. It is the only user of cilium/ebpf.
//
// Everything lives in one directory of a BPF filesystem: DIR/maps has the
// tables, DIR/links one pinned link for each program on each interface. As long
// as these pins stand the data path works, with or without a daemon.
//
// Values that people use (netip addresses, host-order ports) and values that
// the kernel uses (bpfX, network byte order) are separate types, with a
// converter each way in encode.go.
package datapath
