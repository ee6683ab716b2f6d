package datapath

// The object is committed, so that building hostnat needs Go alone; `make
// generate` makes it again with the pinned compiler, to the byte.
//go:generate go tool bpf2go -cc ${BPF_CLANG} -strip ${BPF_STRIP} -cflags "-O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -mcpu=v3" -target bpfel -type settings -type nat -type pool_key -type pool -type outside -type network -type inside -type endpoint_key -type endpoint -type binding_key -type binding -type binding_index_key -type session_key -type session -type host_port_key -type prefix_key -type allowed_key -type event -type mapping -type whole -type subnet_key -type target -type range_key -type inside_range_key -type way_out -type port_bits_key -type contact -type contact_key -type held -type usage -type overflow_key -type overflow bpf ../../bpf/hostnat.c
