/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* IPv4 addresses that are special: RFC 6890. */
#pragma once
#include "maps.h"

INLINE bool is_loopback(__be32 address)
{
	return (address & 0xff) == 127;
}

/* RFC 3927 */
INLINE bool is_link_local(__be32 address)
{
	return (address & htonl(0xffff0000)) == htonl(0xa9fe0000);
}

/* Whether an address is no destination for unicast beyond the link. RFC 1812 section 5.3.7, RFC 6890 */
INLINE bool stays_on_link(__be32 address)
{
	__u8 first = address & 0xff;

	return first >= 224 || first == 127 || first == 0;
}

/* Whether nobody has such a destination on a wire: RFC 1122 section 3.2.1.3. */
INLINE bool is_nobodys(__be32 address)
{
	__u8 first = address & 0xff;

	return first == 0 || first == 127 || (first >= 240 && address != ~0U);
}

/* Whether nobody outside has such a source: RFC 1812 section 5.3.7. */
INLINE bool is_martian(__be32 source)
{
	return is_host_address(source) || is_inside_address(source) || stays_on_link(source) ||
	       bpf_map_lookup_elem(&broadcasts, &source);
}
