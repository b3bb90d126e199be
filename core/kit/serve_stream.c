/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"

/*
 * Peers of TCP streams.  check.json has their part of the talk: what they say
 * next, and what they want to have heard before.
 */

#define PIECE 512 /* bytes of what a read gives */
#define STREAMS_MAX 16 /* that a call holds open, as for the host */

struct kit_tcp {
	struct kit_tcp *next;
	int64_t number;
	struct json_object *talk; /* [{"hears", "says"}], the script's */
	size_t step;
	const char *text; /* of the step that is being said */
	size_t left;
	struct buf
	    heard; /* since the last step that wanted to hear something */
	bool early; /* it leaves half way */
};

static size_t
steps_of(const struct kit_tcp *t)
{
	return json_object_is_type(t->talk, json_type_array)
		   ? json_object_array_length(t->talk)
		   : 0;
}

/* Goes on to what it says next, if it has heard enough for that. */
static void
talk_on(struct kit_tcp *t)
{
	struct json_object *step;
	const char *hears, *at;

	while (t->left == 0 && t->step < steps_of(t)) {
		step = json_object_array_get_idx(t->talk, t->step);
		hears = jget_str(step, "hears", NULL);
		if (hears != NULL) {
			at = t->heard.len > 0 ? strstr(t->heard.data, hears)
					      : NULL;
			if (at == NULL)
				return;
			buf_drain(&t->heard,
			    (size_t)(at - t->heard.data) + strlen(hears));
		}
		t->step++;
		t->text = jget_str(step, "says", "");
		t->left = strlen(t->text);
		if (t->early && t->step > steps_of(t) / 2) {
			t->left /= 2;
			t->talk = NULL;
		}
	}
}

static void
tcp_new(struct world *w, const char *address, struct answer *out)
{
	struct json_object *entry = scripted(w, "streams", "address", address);
	struct kit_tcp *t = xcalloc(1, sizeof(*t));

	if (entry == NULL && w->unscripted++ == 0)
		note(w->kit, "check.json has no stream to %s", address);
	t->talk = jget(entry, "talk");
	t->early = ++w->tcps_open == w->fault_at && w->fault == FAULT_EARLY;
	t->number = out->n = ++w->last_stream;
	t->next = w->tcps;
	w->tcps = t;
}

static void
tcp_open_one(struct world *w, const struct msg *m, struct answer *out)
{
	const char *host = jget_str(m->value, "host", "");
	int64_t port = jget_int(m->value, "port", 0);
	const struct kit_tcp *t = w->tcps;
	char address[300];
	int n = 0;

	for (; t != NULL; t = t->next)
		n++;
	snprintf(address, sizeof(address), "%.250s:%lld", host,
	    (long long)port);
	if (*host == '\0' || port < 1 || port > 65535)
		answer_fail(out, AS_INVALID,
		    "a stream needs a host and a port from 1 to 65535");
	else if (n >= STREAMS_MAX)
		answer_fail(out, AS_LIMIT, "a call may hold %d streams open",
		    STREAMS_MAX);
	else if (world_reaches(w, host, out))
		tcp_new(w, address, out);
}

/* Who waits for a peer that waits, too, waits until the time is up. */
static void
tcp_read_one(struct world *w, struct kit_tcp *t, struct answer *out)
{
	size_t n;

	talk_on(t);
	if (t->left == 0 && t->step < steps_of(t)) {
		note(w->kit, "a peer of check.json waits to hear '%s'",
		    jget_str(json_object_array_get_idx(t->talk, t->step),
			"hears", ""));
		if (w->deadline > clock_mono_ms())
			clock_advance((w->deadline - clock_mono_ms()) * 1000);
		answer_fail(out, AS_TIMEOUT, "the peer said nothing for long");
		return;
	}
	n = t->left < PIECE ? t->left : PIECE;
	out->bytes = n > 0 ? xstrndup(t->text, n) : xstrdup("");
	out->len = n;
	t->text += n > 0 ? n : 0;
	t->left -= n;
}

void
world_serve_stream(struct world *w, const struct msg *m, struct answer *out)
{
	struct kit_tcp *t = w->tcps;

	if (m->kind == SERVE_TCP_OPEN) {
		tcp_open_one(w, m, out);
		return;
	}
	while (t != NULL && t->number != m->n)
		t = t->next;
	if (t == NULL)
		answer_fail(out, AS_INTERNAL, "no stream %lld",
		    (long long)m->n);
	else if (m->kind == SERVE_TCP_READ)
		tcp_read_one(w, t, out);
	else if (m->kind == SERVE_TCP_WRITE && m->len > 0)
		buf_add(&t->heard, m->bytes, m->len);
}

void
world_tcps_free(struct world *w)
{
	struct kit_tcp *t;

	while ((t = w->tcps) != NULL) {
		w->tcps = t->next;
		buf_free(&t->heard);
		free(t);
	}
}
