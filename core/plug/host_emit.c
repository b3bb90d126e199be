/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <sodium.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/plug/call.h"
#include "core/plug/host.h"
#include "core/plug/unit.h"

/*
 * What a plugin says: each function checks its arguments, makes a message of
 * them and hands it to the link.  None of them waits.
 */

#define OUTPUT_MAX ((size_t)1 << 20) /* bytes in one piece */

static enum as_status
emit(struct as_call *call, const struct msg *m)
{
	enum as_status st = call->link->emit(call, m);

	if (st == AS_LIMIT)
		return call_fail(call, AS_LIMIT,
		    "the plugin says more than can be taken in");
	return st;
}

/* Takes value. */
static enum as_status
emit_value(struct as_call *call, enum msg_kind kind, struct json_object *value)
{
	struct msg m = { .kind = kind, .value = value };
	enum as_status st = emit(call, &m);

	json_object_put(value);
	return st;
}

/* ---- Toolkits ------------------------------------------------------ */

/* Takes value. */
static enum as_status
reply(struct as_call *call, struct json_object *value)
{
	enum as_status st = emit_value(call, EMIT_REPLY, value);

	if (st == AS_OK)
		value_lent(call, NULL);
	return st;
}

static enum as_status
host_reply(struct as_call *call, const struct as_json *v)
{
	struct json_object *copy, *tree = value_lend(call, v);
	struct msg m = { .kind = EMIT_REPLY, .value = tree };
	enum as_status st;

	if (tree == NULL) {
		st = value_copy(call, v, &copy);
		return st == AS_OK ? reply(call, copy) : st;
	}
	if ((st = emit(call, &m)) == AS_OK)
		value_lent(call, tree);
	return st;
}

/* Often what some program or server said: it is mended, not refused. */
static enum as_status
host_reply_text(struct as_call *call, const char *text, size_t len)
{
	struct buf clean = { 0 };
	struct json_object *v;

	if (len > MSG_MAX)
		return call_fail(call, AS_LIMIT,
		    "an answer of %zu MiB; at most %zu MiB can be taken in",
		    len >> 20, MSG_MAX >> 20);
	text_add_clean(&clean, text, len);
	v = json_object_new_string_len(clean.data != NULL ? clean.data : "",
	    (int)clean.len);
	buf_free(&clean);
	return reply(call, v);
}

static enum as_status
host_progress(struct as_call *call, double done, const char *what)
{
	struct msg m = { .kind = EMIT_PROGRESS };

	m.x = isfinite(done) && done >= 0 ? (done > 1 ? 1 : done) : -1;
	m.name = call_text(call, what != NULL ? what : "");
	return emit(call, &m);
}

static enum as_status
host_output(struct as_call *call, const char *text, size_t len)
{
	struct msg m = { .kind = EMIT_OUTPUT, .bytes = text, .len = len };

	if (len > OUTPUT_MAX)
		return call_fail(call, AS_LIMIT,
		    "output of more than 1 MiB in one piece");
	return emit(call, &m);
}

static struct json_object *
effects_to_json(struct as_call *call, const struct as_effect_case *c)
{
	struct json_object *a = jarr(), *o;

	for (; c != NULL && c->word != NULL; c++) {
		o = jobj();
		jput_str(o, "word", call_text(call, c->word));
		jput_int(o, "effect", c->effect);
		json_object_array_add(a, o);
	}
	return a;
}

static struct json_object *
tool_to_json(struct as_call *call, const struct as_tool *t)
{
	struct json_object *o = jobj();

	jput_str(o, "name", call_text(call, t->name));
	jput_str(o, "doc", call_text(call, t->doc));
	jput_str(o, "schema", call_text(call, t->schema));
	jput_str(o, "result_schema", call_text(call, t->result_schema));
	jput_int(o, "flags", t->flags);
	jput_int(o, "effect", t->effect);
	if (t->effect_by != NULL) {
		jput_str(o, "effect_by", call_text(call, t->effect_by));
		jput(o, "effects", effects_to_json(call, t->effects));
	}
	jput_int(o, "timeout_ms", t->timeout_ms);
	jput_int(o, "key_valid_ms", t->key_valid_ms);
	return o;
}

static enum as_status
host_offer(struct as_call *call, const struct as_tool *given, size_t size)
{
	struct as_tool t = { 0 };

	memcpy(&t, given, size < sizeof(t) ? size : sizeof(t));
	if (t.name == NULL || t.schema == NULL)
		return call_fail(call, AS_INVALID,
		    "a tool that is offered needs a name and a schema");
	return emit_value(call, EMIT_OFFER, tool_to_json(call, &t));
}

static void
host_offers_changed(struct as_call *call)
{
	struct msg m = { .kind = EMIT_OFFERS_CHANGED };

	emit(call, &m);
}

const struct as_toolkit_host host_toolkit_table = {
	.size = sizeof(host_toolkit_table),
	.reply = host_reply,
	.reply_text = host_reply_text,
	.progress = host_progress,
	.output = host_output,
	.offer = host_offer,
	.offers_changed = host_offers_changed,
};

/* ---- Models -------------------------------------------------------- */

static enum as_status
host_delta(struct as_call *call, const struct as_delta *given)
{
	struct json_object *value = NULL;
	struct msg m = { .kind = EMIT_DELTA };
	struct as_delta d = { 0 };
	enum as_status st;

	memcpy(&d, given, given->size < sizeof(d) ? given->size : sizeof(d));
	if (d.value != NULL &&
	    (st = value_copy(call, d.value, &value)) != AS_OK)
		return st;
	m.n = d.type;
	m.index = d.index;
	m.x = d.end;
	m.id = d.id != NULL ? call_text(call, d.id) : NULL;
	m.name = d.name != NULL ? call_text(call, d.name) : NULL;
	m.bytes = d.text;
	m.len = d.text != NULL ? d.len : 0;
	m.value = value;
	st = emit(call, &m);
	json_object_put(value);
	return st;
}

static enum as_status
host_usage(struct as_call *call, const struct as_usage *given)
{
	struct as_usage u = { .input = -1,
		.output = -1,
		.cached = -1,
		.reasoning = -1 };
	struct json_object *o = jobj();

	memcpy(&u, given, given->size < sizeof(u) ? given->size : sizeof(u));
	jput_int(o, "input", u.input);
	jput_int(o, "output", u.output);
	jput_int(o, "cached", u.cached);
	jput_int(o, "reasoning", u.reasoning);
	return emit_value(call, EMIT_USAGE, o);
}

static enum as_status
host_embedding(struct as_call *call, uint32_t i, const float *v, uint32_t dim)
{
	struct msg m = { .kind = EMIT_VECTOR, .index = i, .bytes = v };
	uint32_t k;

	for (k = 0; k < dim; k++) {
		if (!isfinite(v[k]))
			return call_fail(call, AS_UPSTREAM,
			    "vector %u has a component that is not finite", i);
	}
	m.len = dim * sizeof(*v);
	return emit(call, &m);
}

static enum as_status
host_offer_model(struct as_call *call, const struct as_model *given)
{
	struct json_object *o = jobj();
	struct as_model m = { 0 };

	memcpy(&m, given, given->size < sizeof(m) ? given->size : sizeof(m));
	jput_str(o, "name", call_text(call, m.name));
	jput_str(o, "title", call_text(call, m.title));
	jput_str(o, "abilities", call_text(call, m.abilities));
	jput_int(o, "window", m.window);
	jput_int(o, "max_output", m.max_output);
	jput_int(o, "dim", m.dim);
	return emit_value(call, EMIT_MODEL, o);
}

const struct as_llm_host host_llm_table = {
	.size = sizeof(host_llm_table),
	.delta = host_delta,
	.usage = host_usage,
	.embedding = host_embedding,
	.offer_model = host_offer_model,
};

/* ---- Auth ---------------------------------------------------------- */

static enum as_status
host_identify(struct as_call *call, const struct as_identity *given)
{
	struct json_object *o, *claims = NULL;
	struct as_identity who = { 0 };
	enum as_status st;

	memcpy(&who, given,
	    given->size < sizeof(who) ? given->size : sizeof(who));
	if (who.claims != NULL &&
	    (st = value_copy(call, who.claims, &claims)) != AS_OK)
		return st;
	o = jobj();
	jput_str(o, "subject", call_text(call, who.subject));
	jput_str(o, "email", call_text(call, who.email));
	jput_str(o, "name", call_text(call, who.name));
	jput_str(o, "avatar_url", call_text(call, who.avatar_url));
	jput_bool(o, "email_verified", who.email_verified);
	jput_bool(o, "is_admin", who.is_admin);
	jput(o, "claims", claims);
	return emit_value(call, EMIT_IDENTITY, o);
}

static enum as_status
host_session(struct as_call *call, const struct as_session *given)
{
	struct json_object *o = jobj();
	struct as_session s = { 0 };

	memcpy(&s, given, given->size < sizeof(s) ? given->size : sizeof(s));
	jput_str(o, "access_token", call_text(call, s.access_token));
	jput_str(o, "refresh_token", call_text(call, s.refresh_token));
	jput_int(o, "expires_ms", s.expires_ms);
	return emit_value(call, EMIT_SESSION, o);
}

static enum as_status
host_redirect(struct as_call *call, const char *url)
{
	struct msg m = { .kind = EMIT_REDIRECT };

	m.name = call_text(call, url);
	return emit(call, &m);
}

/* Hashes have one length, so neither content nor length shows in the time. */
static bool
host_same(const char *a, const char *b)
{
	unsigned char x[crypto_generichash_BYTES], y[crypto_generichash_BYTES];

	crypto_generichash(x, sizeof(x), (const unsigned char *)a, strlen(a),
	    NULL, 0);
	crypto_generichash(y, sizeof(y), (const unsigned char *)b, strlen(b),
	    NULL, 0);
	return sodium_memcmp(x, y, sizeof(x)) == 0;
}

const struct as_auth_host host_auth_table = {
	.size = sizeof(host_auth_table),
	.identify = host_identify,
	.session = host_session,
	.redirect = host_redirect,
	.same = host_same,
};

/* ---- Vectors ------------------------------------------------------- */

static enum as_status
host_hit(struct as_call *call, const char *id, double score,
    const struct as_json *meta)
{
	struct msg m = { .kind = EMIT_HIT, .x = score };
	struct json_object *copy;
	enum as_status st;

	if (!isfinite(score))
		return call_fail(call, AS_UPSTREAM,
		    "a hit with a score that is not finite");
	if ((st = value_copy(call, meta, &copy)) != AS_OK)
		return st;
	m.name = call_text(call, id);
	m.value = copy;
	st = emit(call, &m);
	json_object_put(copy);
	return st;
}

/* Numbers by value, text by its bytes; what cannot be compared: 2. */
static int
compare(struct json_object *a, struct json_object *b)
{
	double x, y;

	if (json_object_is_type(a, json_type_string) &&
	    json_object_is_type(b, json_type_string)) {
		int c = strcmp(json_object_get_string(a),
		    json_object_get_string(b));
		return (c > 0) - (c < 0);
	}
	if ((!json_object_is_type(a, json_type_int) &&
		!json_object_is_type(a, json_type_double)) ||
	    (!json_object_is_type(b, json_type_int) &&
		!json_object_is_type(b, json_type_double)))
		return 2;
	x = json_object_get_double(a);
	y = json_object_get_double(b);
	return (x > y) - (x < y);
}

static bool
is_in(struct json_object *list, struct json_object *v)
{
	size_t i, n = json_object_is_type(list, json_type_array)
			  ? json_object_array_length(list)
			  : 0;

	for (i = 0; i < n; i++) {
		if (json_object_equal(json_object_array_get_idx(list, i), v))
			return true;
	}
	return false;
}

static bool
rule_holds(const char *rule, struct json_object *want, struct json_object *v)
{
	int c = compare(v, want);

	if (strcmp(rule, "in") == 0)
		return is_in(want, v);
	if (strcmp(rule, "gte") == 0)
		return c == 0 || c == 1;
	if (strcmp(rule, "gt") == 0)
		return c == 1;
	if (strcmp(rule, "lte") == 0)
		return c == 0 || c == -1;
	return strcmp(rule, "lt") == 0 && c == -1;
}

static bool
passes(struct json_object *f, struct json_object *m)
{
	if (!json_object_is_type(f, json_type_object))
		return true;
	json_object_object_foreach(f, key, want)
	{
		struct json_object *v = jget(m, key);

		if (!json_object_is_type(want, json_type_object)) {
			if (!json_object_equal(want, v))
				return false;
			continue;
		}
		json_object_object_foreach(want, rule, limit)
		{
			if (!rule_holds(rule, limit, v))
				return false;
		}
	}
	return true;
}

static bool
host_passes(const struct as_json *filter, const struct as_json *meta)
{
	struct json_object *f = value_hold(filter), *m = value_hold(meta);
	bool ok = passes(f, m);

	json_object_put(f);
	json_object_put(m);
	return ok;
}

const struct as_vector_host host_vector_table = {
	.size = sizeof(host_vector_table),
	.hit = host_hit,
	.passes = host_passes,
};
