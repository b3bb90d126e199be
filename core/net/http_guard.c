/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "core/net/http_hop.h"

/*
 * Which addresses anybody may make this host talk to: unicast ones that are
 * routed in the public Internet (IANA special-purpose registries).  IPv4 lists
 * what is refused, IPv6 refuses all but 2000::/3 and then parts of it.
 */

struct range4 {
	uint32_t net;
	unsigned bits;
};

#define NET4(a, b, c, d) \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | \
	    (uint32_t)(d))

static const struct range4 refused4[] = {
	{ NET4(0, 0, 0, 0), 8 }, /* this network; 0.0.0.0 reaches loopback */
	{ NET4(10, 0, 0, 0), 8 },
	{ NET4(100, 64, 0, 0), 10 }, /* carrier-grade NAT, cloud metadata */
	{ NET4(127, 0, 0, 0), 8 },
	{ NET4(169, 254, 0, 0), 16 }, /* link-local, cloud metadata */
	{ NET4(172, 16, 0, 0), 12 }, { NET4(192, 0, 0, 0), 24 },
	{ NET4(192, 0, 2, 0), 24 }, /* documentation */
	{ NET4(192, 88, 99, 0), 24 }, /* 6to4 relays */
	{ NET4(192, 168, 0, 0), 16 },
	{ NET4(198, 18, 0, 0), 15 }, /* benchmarks */
	{ NET4(198, 51, 100, 0), 24 }, /* documentation */
	{ NET4(203, 0, 113, 0), 24 }, /* documentation */
	{ NET4(224, 0, 0, 0), 4 }, /* multicast */
	{ NET4(240, 0, 0, 0), 4 }, /* reserved, broadcast */
};

struct range6 {
	uint8_t net[8];
	unsigned bits;
};

/* Inside 2000::/3; the rest of IPv6 is refused as a whole. */
static const struct range6 refused6[] = {
	{ { 0x20, 0x01, 0x00, 0x00 }, 23 }, /* protocols, Teredo, ORCHID */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
	{ { 0x20, 0x02 }, 16 }, /* 6to4: an IPv4 address in disguise */
	{ { 0x3f, 0xff, 0x00 }, 20 }, /* documentation */
};

static bool
refuses4(uint32_t addr)
{
	for (size_t i = 0; i < N_ITEMS(refused4); i++) {
		if ((addr ^ refused4[i].net) >> (32 - refused4[i].bits) == 0)
			return true;
	}
	return false;
}

static bool
has_prefix(const uint8_t *addr, const uint8_t *net, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(addr, net, whole) != 0)
		return false;
	return rest == 0 || (addr[whole] ^ net[whole]) >> (8 - rest) == 0;
}

static bool
refuses6(const uint8_t *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t global[1] = { 0x20 };

	if (memcmp(a, mapped, sizeof(mapped)) == 0)
		return refuses4(NET4(a[12], a[13], a[14], a[15]));
	if (!has_prefix(a, global, 3))
		return true;
	for (size_t i = 0; i < N_ITEMS(refused6); i++) {
		if (has_prefix(a, refused6[i].net, refused6[i].bits))
			return true;
	}
	return false;
}

bool
http_guard_refuses(const struct sockaddr *sa)
{
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in4, sa, sizeof(in4));
		return refuses4(ntohl(in4.sin_addr.s_addr));
	case AF_INET6:
		memcpy(&in6, sa, sizeof(in6));
		return refuses6(in6.sin6_addr.s6_addr);
	}
	return true;
}

void
host_port(char out[HOST_PORT_LEN], const char *host, long port)
{
	if (strchr(host, ':') != NULL)
		snprintf(out, HOST_PORT_LEN, "[%.280s]:%ld", host, port);
	else
		snprintf(out, HOST_PORT_LEN, "%.280s:%ld", host, port);
}

bool
guard_allows(const char *const *allow, const char *host, const char *address,
    long port)
{
	char by_name[HOST_PORT_LEN], by_address[HOST_PORT_LEN];

	host_port(by_name, host, port);
	host_port(by_address, address, port);
	for (; allow != NULL && *allow != NULL; allow++) {
		if (strcasecmp(*allow, by_name) == 0 ||
		    strcasecmp(*allow, by_address) == 0)
			return true;
	}
	return false;
}
