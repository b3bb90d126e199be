/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/text.h"
#include "core/net/http_impl.h"

/*
 * Who is at the other end, also behind proxies.  Only what a trusted proxy
 * has written counts: X-Forwarded-For is read from its end, up to the first
 * address that is no proxy of ours.  Addresses are kept as IPv6.
 */

static bool
address_parse(const char *s, struct in6_addr *out)
{
	struct in_addr v4;

	if (inet_pton(AF_INET6, s, out) == 1)
		return true;
	if (inet_pton(AF_INET, s, &v4) != 1)
		return false;
	memset(out, 0, sizeof(*out));
	out->s6_addr[10] = out->s6_addr[11] = 0xff;
	memcpy(&out->s6_addr[12], &v4, 4);
	return true;
}

static void
address_text(const struct in6_addr *a, char out[INET6_ADDRSTRLEN])
{
	if (IN6_IS_ADDR_V4MAPPED(a))
		inet_ntop(AF_INET, &a->s6_addr[12], out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, a, out, INET6_ADDRSTRLEN);
}

void
peer_from_sockaddr(const struct sockaddr *sa, struct in6_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET6) {
		*out = ((const struct sockaddr_in6 *)(const void *)sa)
			   ->sin6_addr;
	} else if (sa->sa_family == AF_INET) {
		out->s6_addr[10] = out->s6_addr[11] = 0xff;
		memcpy(&out->s6_addr[12],
		    &((const struct sockaddr_in *)(const void *)sa)->sin_addr,
		    4);
	}
}

bool
cidr_parse(const char *s, struct cidr *out)
{
	char host[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(s, '/');
	size_t n = slash != NULL ? (size_t)(slash - s) : strlen(s);
	struct in6_addr a;
	int64_t bits;
	bool v4;

	if (n >= sizeof(host))
		return false;
	memcpy(host, s, n);
	host[n] = '\0';
	v4 = strchr(host, ':') == NULL;
	bits = v4 ? 32 : 128;
	if (!address_parse(host, &a) ||
	    (slash != NULL && !text_to_int(slash + 1, 0, bits, &bits)))
		return false;
	memcpy(out->addr, &a, 16);
	out->bits = (unsigned)bits + (v4 ? 96 : 0);
	return true;
}

static bool
cidr_has(const struct cidr *c, const struct in6_addr *a)
{
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (memcmp(c->addr, a->s6_addr, whole) != 0)
		return false;
	return rest == 0 ||
	       ((c->addr[whole] ^ a->s6_addr[whole]) >> (8 - rest)) == 0;
}

bool
peer_is_proxy(const struct http_server *s, const struct in6_addr *a)
{
	size_t i;

	for (i = 0; i < s->n_proxies; i++) {
		if (cidr_has(&s->proxies[i], a))
			return true;
	}
	return false;
}

/* The last element of list[0..len), cut off; false when it is no address. */
static bool
list_pop(const char *list, size_t *len, struct in6_addr *out)
{
	char one[INET6_ADDRSTRLEN + 1];
	size_t end = *len, start;

	while (end > 0 && (list[end - 1] == ' ' || list[end - 1] == ','))
		end--;
	for (start = end; start > 0 && list[start - 1] != ','; start--)
		continue;
	*len = start;
	while (start < end && list[start] == ' ')
		start++;
	if (end - start >= sizeof(one) || start == end)
		return false;
	memcpy(one, list + start, end - start);
	one[end - start] = '\0';
	return address_parse(one, out);
}

/* The header of that name before index i, from the end; or NULL. */
static const char *
header_before(const struct http_parse *p, const char *name, unsigned *i)
{
	while (*i > 0) {
		(*i)--;
		if (strcmp(p->head.data + p->headers[*i].name, name) == 0)
			return p->head.data + p->headers[*i].value;
	}
	return NULL;
}

const char *
http_peer(struct http_req *req)
{
	struct http_server *s = req->server;
	unsigned i = req->parse.n_headers;
	struct in6_addr a, next;
	const char *list = NULL;
	size_t len = 0;

	if (req->peer[0] != '\0' || req->conn == NULL)
		return req->peer;
	a = req->conn->addr;
	while (peer_is_proxy(s, &a)) {
		if (len == 0) {
			list = header_before(&req->parse, "x-forwarded-for",
			    &i);
			len = list != NULL ? strlen(list) : 0;
		}
		if (len == 0 || !list_pop(list, &len, &next))
			break;
		a = next;
	}
	address_text(&a, req->peer);
	return req->peer;
}

bool
http_is_secure(struct http_req *req)
{
	unsigned i = req->parse.n_headers;
	const char *proto;

	if (req->conn == NULL || !peer_is_proxy(req->server, &req->conn->addr))
		return false;
	proto = header_before(&req->parse, "x-forwarded-proto", &i);
	return proto != NULL && strcasecmp(proto, "https") == 0;
}
