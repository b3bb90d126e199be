/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/breaker_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/bus/bus_link.h"

/*
 * See breaker_redis.h.  A hash for each scope; the rules of breaker.c, by the
 * clock of Redis:
 *
 *	n0 c0 f0 ... n5 c5 f5	a slot of the window: number, calls, failures
 *	timeouts		in a row
 *	until open ok		while it is not closed: from when on one may
 *				try, for how long it was open, who succeeded
 *	probe by		who tries, and until when that is believed
 *
 * It answers {state, ms, open}.  What has changed by it, the caller tells the
 * others.
 */

#define SCOPE_MAX 64

static const struct uuid bell_topic = { "breaker's bell!" };

static const struct link_script breaker_script = { "b",
	"local t = redis.call('TIME')\n"
	"local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
	"local key, what, me = KEYS[1], ARGV[1], ARGV[2]\n"
	"local had = redis.call('HMGET', key, 'until', 'open', 'probe', 'by',"
	" 'ok')\n"
	"local till, open = tonumber(had[1]), tonumber(had[2])\n"
	"local function num(n) return string.format('%.0f', n) end\n"
	"local function opens(ms)\n"
	"	redis.call('DEL', key)\n"
	"	redis.call('HSET', key, 'until', num(now + ms), 'open',"
	" num(ms))\n"
	"	redis.call('PEXPIRE', key, num(ms + 600000))\n"
	"	return {'opens', ms, ms}\n"
	"end\n"
	"if what == 'probe' then\n"
	"	if not till then return {'closed', 0, 0} end\n"
	"	if now < till then return {'open', till - now, open} end\n"
	"	local probe = tonumber(had[3])\n"
	"	if probe and now < probe and had[4] ~= me then\n"
	"		return {'busy', probe - now, open}\n"
	"	end\n"
	"	redis.call('HSET', key, 'probe', num(now + 120000),"
	" 'by', me)\n"
	"	return {'probe', 0, open}\n"
	"end\n"
	"local failed = what == 'failed' or what == 'timeout'\n"
	"if what == 'opened' then\n"
	"	if till and now < till then"
	" return {'open', till - now, open} end\n"
	"	return opens(tonumber(ARGV[3]))\n"
	"end\n"
	"if till then\n"
	"	if now < till then return {'open', till - now, open} end\n"
	"	if had[4] ~= me then return {'busy', 0, open} end\n"
	"	if failed then return opens(math.min(open * 2, 300000)) end\n"
	"	local ok = (tonumber(had[5]) or 0) + (what == 'ok' and 1 or "
	"0)\n"
	"	if ok >= 3 then\n"
	"		redis.call('DEL', key)\n"
	"		return {'closes', 0, 0}\n"
	"	end\n"
	"	redis.call('HDEL', key, 'probe', 'by')\n"
	"	redis.call('HSET', key, 'ok', num(ok))\n"
	"	return {'half', 0, open}\n"
	"end\n"
	"if what ~= 'ok' and not failed then return {'closed', 0, 0} end\n"
	"local slot = math.floor(now / 5000)\n"
	"local i = num(slot % 6)\n"
	"if redis.call('HGET', key, 'n' .. i) ~= num(slot) then\n"
	"	redis.call('HSET', key, 'n' .. i, num(slot), 'c' .. i, 0,"
	" 'f' .. i, 0)\n"
	"end\n"
	"redis.call('HINCRBY', key, 'c' .. i, 1)\n"
	"if failed then redis.call('HINCRBY', key, 'f' .. i, 1) end\n"
	"local late = 0\n"
	"if what == 'timeout' then\n"
	"	late = redis.call('HINCRBY', key, 'timeouts', 1)\n"
	"else\n"
	"	redis.call('HSET', key, 'timeouts', 0)\n"
	"end\n"
	"redis.call('PEXPIRE', key, 60000)\n"
	"local calls, bad = 0, 0\n"
	"for j = 0, 5 do\n"
	"	local s = redis.call('HMGET', key, 'n' .. j, 'c' .. j,"
	" 'f' .. j)\n"
	"	if s[1] and tonumber(s[1]) + 6 > slot then\n"
	"		calls = calls + tonumber(s[2])\n"
	"		bad = bad + tonumber(s[3])\n"
	"	end\n"
	"end\n"
	"if late >= 5 or (calls >= 20 and bad * 2 >= calls) then\n"
	"	return opens(15000)\n"
	"end\n"
	"return {'closed', 0, 0}\n" };

struct breaker_redis {
	struct breaker_peers peers;
	struct bus_redis *b;
	struct bus *bus;
	struct breakers *breakers;
	struct bus_sub *bell;
	struct loop *loop; /* that hears it */
	char me[UUID_TEXT];
};

/* ---- What is known of it ------------------------------------------- */

struct verdict {
	char state[8];
	int64_t ms, open_ms;
};

static bool
take_verdict(const redisReply *r, void *arg)
{
	struct verdict *v = arg;

	if (r->type != REDIS_REPLY_ARRAY || r->elements != 3 ||
	    r->element[0]->type != REDIS_REPLY_STRING ||
	    r->element[1]->type != REDIS_REPLY_INTEGER ||
	    r->element[2]->type != REDIS_REPLY_INTEGER ||
	    r->element[1]->integer < 0 || r->element[2]->integer < 0)
		return false;
	snprintf(v->state, sizeof(v->state), "%s", r->element[0]->str);
	v->ms = r->element[1]->integer;
	v->open_ms = r->element[2]->integer;
	return true;
}

static bool
is(const struct verdict *v, const char *state)
{
	return strcmp(v->state, state) == 0;
}

static void
tell_others(struct breaker_redis *s, const struct breaker_note *note)
{
	struct bus_msg m = { .topic = bell_topic };
	struct json_object *o = jobj();
	const char *text;

	jput_str(o, "scope", note->scope);
	jput_bool(o, "open", note->open);
	jput_int(o, "left_ms", (int64_t)note->left_ms);
	jput_int(o, "open_ms", (int64_t)note->open_ms);
	text = json_text(o);
	m.frame = rcbuf_new(text, strlen(text));
	bus_redis_tell(s->b, &m);
	rcbuf_unref(m.frame);
	json_object_put(o);
}

static void
learn(struct breaker_redis *s, const char *scope, const struct verdict *v)
{
	struct breaker_note note = { .open = is(v, "open") || is(v, "opens"),
		.left_ms = (uint64_t)v->ms,
		.open_ms = (uint64_t)v->open_ms };

	if (!note.open && !is(v, "closes"))
		return;
	snprintf(note.scope, sizeof(note.scope), "%s", scope);
	breaker_learn(s->breakers, &note, loop_now_ms(loop_self()));
	if (is(v, "opens") || is(v, "closes"))
		tell_others(s, &note);
}

static void
on_bell(const struct bus_msg *m, void *arg)
{
	struct breaker_redis *s = arg;
	struct breaker_note note = { 0 };
	struct json_object *o = NULL;

	if (m->frame == NULL ||
	    json_parse(m->frame->data, m->frame->len, &o, NULL) != AS_OK)
		return;
	snprintf(note.scope, sizeof(note.scope), "%s",
	    jget_str(o, "scope", ""));
	note.open = jget_bool(o, "open", false);
	note.left_ms = (uint64_t)jget_int(o, "left_ms", 0);
	note.open_ms = (uint64_t)jget_int(o, "open_ms", 0);
	if (note.scope[0] != '\0')
		breaker_learn(s->breakers, &note, loop_now_ms(s->loop));
	json_object_put(o);
}

/* ---- What is asked and told ---------------------------------------- */

static SUSPENDS bool
redis_probe(void *arg, const char *scope, uint64_t *wait_ms)
{
	struct breaker_redis *s = arg;
	struct redis_arg args[] = { REDIS_STR("probe"), REDIS_STR(s->me) };
	struct verdict v = { 0 };

	if (!link_ask(s->b, &breaker_script, scope, args, N_ITEMS(args),
		take_verdict, &v))
		return true;
	learn(s, scope, &v);
	*wait_ms = is(&v, "open") ? (uint64_t)v.ms : 1000;
	return !is(&v, "open") && !is(&v, "busy");
}

struct report {
	struct breaker_redis *s;
	char scope[SCOPE_MAX];
};

static void
on_reported(const redisReply *r, void *arg)
{
	struct report *p = arg;
	struct verdict v;

	if (r != NULL && take_verdict(r, &v))
		learn(p->s, p->scope, &v);
	free(p);
}

static void
redis_report(void *arg, const char *scope, enum breaker_outcome outcome,
    uint64_t opened_ms)
{
	static const char *const words[] = { "ok", "failed", "timeout",
		"no_fault" };
	struct breaker_redis *s = arg;
	const char *word = opened_ms > 0 ? "opened" : words[outcome];
	char room[REDIS_NUMBER];
	const struct redis_arg args[] = { REDIS_STR(word), REDIS_STR(s->me),
		redis_number(room, opened_ms) };
	struct report *p = xcalloc(1, sizeof(*p));

	p->s = s;
	snprintf(p->scope, sizeof(p->scope), "%s", scope);
	if (!link_eval(s->b, &breaker_script, scope, args, N_ITEMS(args),
		on_reported, p))
		free(p);
}

/* ---- For the node -------------------------------------------------- */

struct breaker_redis *
breaker_redis_new(struct bus_redis *b, struct bus *bus,
    struct breakers *breakers)
{
	struct breaker_redis *s = xcalloc(1, sizeof(*s));

	s->b = b;
	s->bus = bus;
	s->breakers = breakers;
	uuid_format(uuid_v7(), s->me);
	s->peers.probe = redis_probe;
	s->peers.report = redis_report;
	s->peers.arg = s;
	breakers_share(breakers, &s->peers);
	return s;
}

void
breaker_redis_free(struct breaker_redis *s)
{
	if (s == NULL)
		return;
	breakers_share(s->breakers, NULL);
	free(s);
}

void
breaker_redis_listen(struct breaker_redis *s, struct loop *loop)
{
	s->loop = loop;
	s->bell = bus_subscribe(s->bus, bell_topic, on_bell, s);
}

void
breaker_redis_deafen(struct breaker_redis *s)
{
	bus_unsubscribe(s->bell);
	s->bell = NULL;
}
