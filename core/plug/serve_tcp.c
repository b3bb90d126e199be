/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/net/tcp.h"
#include "core/plug/grant.h"
#include "core/plug/serve.h"
#include "core/plug/unit.h"

/* TCP connections of a plugin: as_stream. */

#define TCPS_MAX 16 /* that a call holds open */

struct serve_tcp {
	struct serve_tcp *next;
	uint32_t number;
	struct tcp *tcp;
};

static enum as_status
tcp_allowed(const struct exchange *x, const struct tcp_target *target,
    int64_t port, struct error *err)
{
	const struct serve_tcp *s;
	enum as_status st;
	unsigned n = 0;

	if (target->host[0] == '\0' || port < 1 || port > 65535)
		return error_set(err, ERR_BAD_REQUEST,
		    "a stream needs a host and a port from 1 to 65535");
	if ((st = grant_check_host(x->unit, target->host, err)) != AS_OK)
		return st;
	for (s = x->tcps; s != NULL; s = s->next)
		n++;
	if (n >= TCPS_MAX)
		return error_set(err, ERR_TOO_LARGE,
		    "a call may hold %d streams open", TCPS_MAX);
	return AS_OK;
}

SUSPENDS static enum as_status
open_one(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	int64_t port = jget_int(m->value, "port", 0);
	char allow_name[80];
	struct tcp_target target = { .host = jget_str(m->value, "host", ""),
		.port = (uint16_t)port,
		.tls = jget_bool(m->value, "tls", false),
		.server_name = jget_str(m->value, "server_name", NULL),
		.allow = x->unit->allow,
		.idle_ms = span_ms(jget_int(m->value, "idle_ms", 0)) };
	struct serve_tcp *s;
	struct tcp *tcp = NULL;
	enum as_status st = tcp_allowed(x, &target, port, err);

	snprintf(allow_name, sizeof(allow_name), "plugins.%.60s.allow",
	    x->unit->name);
	if (x->unit->allow != NULL)
		target.allow_name = allow_name;
	if (st == AS_OK)
		st = tcp_open(x->plug->services.pool, &target, &tcp, err);
	if (st != AS_OK)
		return st;
	s = xcalloc(1, sizeof(*s));
	s->tcp = tcp;
	s->number = ++x->last_stream;
	s->next = x->tcps;
	x->tcps = s;
	out->n = s->number;
	return AS_OK;
}

enum as_status
serve_tcp(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	struct serve_tcp *s = x->tcps;

	if (fiber_self() == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "no streams before the loops run");
	if (m->kind == SERVE_TCP_OPEN)
		return open_one(x, m, out, err);
	while (s != NULL && s->number != m->n)
		s = s->next;
	if (s == NULL)
		return error_set(err, ERR_INTERNAL, "no stream %lld",
		    (long long)m->n);
	if (m->kind == SERVE_TCP_TLS)
		return tcp_start_tls(s->tcp, err);
	if (m->kind == SERVE_TCP_WRITE)
		return tcp_write(s->tcp, m->bytes, m->len, err);
	return tcp_read(s->tcp, &out->bytes, &out->len, err);
}

void
serve_tcps_close(struct exchange *x)
{
	struct serve_tcp *s;

	while ((s = x->tcps) != NULL) {
		x->tcps = s->next;
		tcp_close(s->tcp);
		free(s);
	}
}
