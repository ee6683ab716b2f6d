/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The part of the kernel's stable interface that the data path uses: types,
 * context structures, helper numbers. Written out here so that the object does
 * not depend on which kernel headers the building machine has.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef int __s32;
typedef long long __s64;
/* Network byte order is in the name of the type; nothing checks it but readers. */
typedef __u16 __be16;
typedef __u32 __be32;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
/* The verifier looks at a global function once, for any arguments, instead of at each call anew: so pointers may be NULL in it. */
#define GLOBAL __attribute__((noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define memcpy(to, from, size) __builtin_memcpy((to), (from), (size))
#define NULL ((void *)0)
typedef _Bool bool;
#define true 1
#define false 0

#define ntohs(x) __builtin_bswap16(x)
#define htons(x) ((__be16)(__builtin_constant_p(x) ? ((((x) & 0xff) << 8) | (((x) >> 8) & 0xff)) : __builtin_bswap16(x)))
#define ntohl(x) __builtin_bswap32(x)
#define htonl(x) ((__be32)__builtin_bswap32(x))

/* Map definitions in BTF form. */
#define MAP_UINT(name, value) int(*name)[value]
#define MAP_TYPE(name, value) typeof(value) *name

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
enum { BPF_F_NO_PREALLOC = 1 };
enum { BPF_F_INGRESS = 1 };
enum { BPF_F_PSEUDO_HDR = 1 << 4, BPF_F_MARK_MANGLED_0 = 1 << 5 };
enum { BPF_CSUM_LEVEL_INC = 1 }; /* found right once more */
enum { BPF_FIB_LOOKUP_DIRECT = 1 << 0, BPF_FIB_LOOKUP_SKIP_NEIGH = 1 << 2, BPF_FIB_LOOKUP_TBID = 1 << 3 };
enum { BPF_FIB_LOOKUP_SRC = 1 << 4 }; /* Linux 6.7 */
enum {
	BPF_FIB_LKUP_RET_SUCCESS = 0,
	BPF_FIB_LKUP_RET_BLACKHOLE = 1,
	BPF_FIB_LKUP_RET_UNREACHABLE = 2,
	BPF_FIB_LKUP_RET_PROHIBIT = 3,
	BPF_FIB_LKUP_RET_NOT_FWDED = 4,
	BPF_FIB_LKUP_RET_FWD_DISABLED = 5,
	BPF_FIB_LKUP_RET_FRAG_NEEDED = 8,
};
enum { BPF_ADJ_ROOM_NET = 0, BPF_ADJ_ROOM_MAC = 1 };
enum { BPF_F_CURRENT_NETNS = -1 };
enum { TCX_NEXT = -1, TCX_PASS = 0, TCX_DROP = 2, TCX_REDIRECT = 7 };
enum { PACKET_HOST = 0, PACKET_OTHERHOST = 3, PACKET_LOOPBACK = 5 };
enum { CLOCK_MONOTONIC = 1 };
enum { AF_INET = 2, AF_INET6 = 10 };
enum { ENOENT = 2, E2BIG = 7, EAGAIN = 11, ENOMEM = 12, EBUSY = 16, EEXIST = 17, EINVAL = 22, EDEADLK = 35, ETIMEDOUT = 110 };

struct bpf_sock;

struct __sk_buff {
	__u32 len, pkt_type, mark, queue_mapping, protocol;
	__u32 vlan_present, vlan_tci, vlan_proto, priority;
	__u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid;
	__u32 data, data_end, napi_id;
	__u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4];
	__u32 remote_port, local_port;
	__u32 data_meta;
	__u64 flow_keys;
	__u64 tstamp;
	__u32 wire_len, gso_segs;
	struct bpf_sock *sk __attribute__((aligned(8)));
	__u32 gso_size;
};

struct bpf_spin_lock {
	__u32 value;
};

struct bpf_timer {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_sock {
	__u32 bound_dev_if, family, type, protocol, mark, priority;
	__be32 src_ip4, src_ip6[4];
	__u32 src_port;
	__be16 dst_port; /* 0: not connected */
};
struct bpf_sock_tuple {
	union {
		struct {
			__be32 saddr, daddr;
			__be16 sport, dport;
		} ipv4;
		struct {
			__be32 saddr[4], daddr[4];
			__be16 sport, dport;
		} ipv6;
	};
};

struct bpf_fib_lookup {
	__u8 family, l4_protocol;
	__be16 sport, dport;
	__u16 tot_len; /* out: MTU */
	__u32 ifindex;
	union {
		__u32 tos;
		__u32 metric; /* out */
	};
	__be32 ipv4_src;
	__u32 src_rest[3];
	__be32 ipv4_dst;
	__u32 dst_rest[3];
	__u32 table;
	__u8 smac[6], dmac[6];
};

struct bpf_redir_neigh {
	__u32 nh_family;
	union {
		__be32 ipv4_nh;
		__be32 ipv6_nh[4];
	};
};

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static __u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static long (*const bpf_skb_store_bytes)(struct __sk_buff *, __u32 offset, const void *from, __u32 size, __u64 flags) = (void *)9;
static long (*const bpf_l4_csum_replace)(struct __sk_buff *, __u32 offset, __u64 from, __u64 to, __u64 flags) = (void *)11;
static long (*const bpf_clone_redirect)(struct __sk_buff *, __u32 ifindex, __u64 flags) = (void *)13;
static long (*const bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)23;
static long (*const bpf_skb_load_bytes)(const void *, __u32 offset, void *to, __u32 size) = (void *)26;
static __s64 (*const bpf_csum_diff)(const __be32 *from, __u32 from_size, const __be32 *to, __u32 to_size, __u32 seed) = (void *)28;
static long (*const bpf_csum_level)(struct __sk_buff *, __u64 level) = (void *)135;
static long (*const bpf_skb_change_proto)(struct __sk_buff *, __be16 protocol, __u64 flags) = (void *)31;
static struct bpf_sock *(*const bpf_sk_fullsock)(struct bpf_sock *) = (void *)95;
static long (*const bpf_skb_change_tail)(struct __sk_buff *, __u32 size, __u64 flags) = (void *)38;
static long (*const bpf_skb_pull_data)(struct __sk_buff *, __u32 size) = (void *)39;
static long (*const bpf_skb_change_head)(struct __sk_buff *, __u32 size, __u64 flags) = (void *)43;
static long (*const bpf_skb_vlan_pop)(struct __sk_buff *) = (void *)19;
static long (*const bpf_skb_adjust_room)(struct __sk_buff *, __s32 size, __u32 mode, __u64 flags) = (void *)50;
static long (*const bpf_fib_lookup)(void *ctx, struct bpf_fib_lookup *, int size, __u32 flags) = (void *)69;
static struct bpf_sock *(*const bpf_sk_lookup_udp)(void *ctx, struct bpf_sock_tuple *, __u32 size, __u64 netns, __u64 flags) = (void *)85;
static long (*const bpf_sk_release)(void *sock) = (void *)86;
static long (*const bpf_map_push_elem)(void *map, const void *value, __u64 flags) = (void *)87;
static long (*const bpf_map_pop_elem)(void *map, void *value) = (void *)88;
static long (*const bpf_map_peek_elem)(void *map, void *value) = (void *)89;
static long (*const bpf_spin_lock)(struct bpf_spin_lock *) = (void *)93;
static long (*const bpf_spin_unlock)(struct bpf_spin_lock *) = (void *)94;
static struct bpf_sock *(*const bpf_skc_lookup_tcp)(void *ctx, struct bpf_sock_tuple *, __u32 size, __u64 netns, __u64 flags) = (void *)99;
static void *(*const bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)131;
static long (*const bpf_ringbuf_output)(void *ring, void *data, __u64 size, __u64 flags) = (void *)130;
static void (*const bpf_ringbuf_submit)(void *data, __u64 flags) = (void *)132;
static void (*const bpf_ringbuf_discard)(void *data, __u64 flags) = (void *)133;
static long (*const bpf_redirect_neigh)(__u32 ifindex, struct bpf_redir_neigh *, int size, __u64 flags) = (void *)152;
static long (*const bpf_skb_change_type)(struct __sk_buff *skb, __u32 type) = (void *)32;
static void (*const bpf_set_hash_invalid)(struct __sk_buff *) = (void *)41;
static long (*const bpf_set_hash)(struct __sk_buff *, __u32 hash) = (void *)48;
static long (*const bpf_redirect_peer)(__u32 ifindex, __u64 flags) = (void *)155;
static __u64 (*const bpf_ktime_get_boot_ns)(void) = (void *)125;
static __u64 (*const bpf_ktime_get_coarse_ns)(void) = (void *)160;
static long (*const bpf_for_each_map_elem)(void *map, void *callback, void *context, __u64 flags) = (void *)164;
static long (*const bpf_timer_init)(struct bpf_timer *, void *map, __u64 flags) = (void *)169;
static long (*const bpf_timer_set_callback)(struct bpf_timer *, void *callback) = (void *)170;
static long (*const bpf_timer_start)(struct bpf_timer *, __u64 nanoseconds, __u64 flags) = (void *)171;
static long (*const bpf_loop)(__u32 rounds, void *callback, void *context, __u64 flags) = (void *)181;

/* Wire formats that both families have. */
enum { ETH_P_IP = 0x0800, ETH_P_ARP = 0x0806, ETH_P_IPV6 = 0x86dd };
enum { IPPROTO_ICMP = 1, IPPROTO_TCP = 6, IPPROTO_UDP = 17 };

struct ethhdr {
	__u8 destination[6], source[6];
	__be16 protocol;
} __attribute__((packed));

struct tcphdr {
	__be16 source, dest;
	__be32 seq, ack_seq;
	__u8 doff_res, flags;
	__be16 window;
	__u16 check;
	__be16 urgent;
};
enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };

struct udphdr {
	__be16 source, dest, len;
	__u16 check;
};
