/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/fake_plug.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "tests/integration/store_env.h"

/* See fake_plug.h. */

struct fake fake;
static struct fiber_wait waiters[64];
static int n_waiters;
static bool released; /* all */
static bool released_calls[16];

void
fake_reset(const struct fake_turn *turns, int n)
{
	free(fake.last_messages);
	memset(&fake, 0, sizeof(fake));
	fake.turns = turns;
	fake.n_turns = n;
	fake.verify = AS_UNAVAILABLE;
	released = false;
	memset(released_calls, 0, sizeof(released_calls));
	n_waiters = 0;
}

static void
wake_all(void)
{
	for (int i = 0; i < n_waiters; i++)
		fiber_wake(waiters[i]);
	n_waiters = 0;
}

void
fake_calls(const struct fake_call *calls, int n)
{
	fake.calls = calls;
	fake.n_calls = n;
}

bool
fake_was_told(const char *text)
{
	return fake.last_messages != NULL &&
	       strstr(fake.last_messages, text) != NULL;
}

bool
fake_same_key(int a, int b)
{
	return strcmp(fake.idem_keys[a], fake.idem_keys[b]) == 0;
}

void
fake_release(void)
{
	released = true;
	wake_all();
}

void
fake_release_call(int i)
{
	released_calls[i] = true;
	wake_all();
}

/* ---- The registry -------------------------------------------------- */

static const char *const letters = "UPNKV";

static struct plug_tool_info tool_infos[5];
static struct json_object *schema; /* of all of them */

static const struct as_effect_case reads[] = { { "read", AS_EFFECT_NONE },
	AS_END };

static const struct plug_tool_info *
tool_info(size_t i)
{
	static const char *const names[] = { "t_U", "t_P", "t_N", "t_K",
		"t_V" };
	struct plug_tool_info *t = &tool_infos[i];

	t->toolkit = "t";
	t->name = names[i];
	t->doc = "a tool";
	t->version = "1";
	t->effect = (enum as_effect)i;
	t->timeout_ms = fake.timeout_ms > 0 ? fake.timeout_ms : 60000;
	t->key_valid_ms = i == AS_EFFECT_KEYED ? fake.key_valid_ms : 0;
	t->effect_by = i == AS_EFFECT_ONCE ? "mode" : NULL;
	t->effects = reads;
	if (schema == NULL)
		schema = jobj();
	t->input_schema = schema;
	return t;
}

const struct plug_tool_info *
plug_toolkit_tool(const struct plug_toolkit_info *kit, size_t i)
{
	return strcmp(kit->slug, "t") == 0 && i < 5 ? tool_info(i) : NULL;
}

const struct plug_tool_info *
plug_tool_find(struct plug *p, const char *name)
{
	(void)p;
	if (strncmp(name, "t_", 2) != 0 || name[2] == '\0' ||
	    strchr(letters, name[2]) == NULL)
		return NULL;
	return tool_info((size_t)(strchr(letters, name[2]) - letters));
}

const struct plug_toolkit_info *
plug_toolkit_find(struct plug *p, const char *slug)
{
	static const struct plug_toolkit_info info = { .slug = "t" };

	(void)p;
	return strcmp(slug, "t") == 0 ? &info : NULL;
}

bool
plug_model_resolve(struct plug *p, const char *id, char *full, size_t full_len)
{
	(void)p;
	snprintf(full, full_len, "%s", id != NULL ? id : "fake/fake");
	return id == NULL || strcmp(id, "fake/gone") != 0;
}

const struct plug_model_info *
plug_model_find(struct plug *p, const char *id)
{
	(void)p, (void)id;
	return NULL;
}

/* ---- The model ----------------------------------------------------- */

static SUSPENDS enum as_status
hang(const bool *go_on, struct error *err)
{
	enum fiber_exit x = FIBER_WOKEN;

	while (x == FIBER_WOKEN && !released && !*go_on) {
		waiters[n_waiters] = fiber_prepare();
		n_waiters = (n_waiters + 1) % 64;
		x = fiber_suspend(0);
	}
	if (x == FIBER_CANCELED)
		fake.n_canceled++;
	return fiber_exit_status(x, err);
}

static enum as_status
say(const struct plug_sink *sink, enum as_delta_type type, uint32_t index,
    const char *text, size_t len)
{
	struct as_delta d = { .size = sizeof(d),
		.type = type,
		.index = index,
		.text = text,
		.len = len };

	return sink->delta(sink->arg, &d);
}

static void
call_say(const struct plug_sink *sink, uint32_t i, const char *call, bool bare)
{
	const char *args = strchr(call, ' ');
	char name[64], id[32];
	struct as_delta d = { .size = sizeof(d),
		.type = AS_DELTA_TOOL,
		.index = i,
		.name = name };

	snprintf(name, sizeof(name), "%.*s", (int)(args - call), call);
	snprintf(id, sizeof(id), "c%d_%u", fake.n_chats, i);
	d.id = bare ? NULL : id;
	sink->delta(sink->arg, &d);
	say(sink, AS_DELTA_ARGS, i, args + 1, strlen(args + 1));
}

/* Another loop may look at the schema now, and json-c counts without care. */
static bool
is_shared(struct json_object *tools)
{
	size_t n = json_object_array_length(tools);

	for (size_t i = 0; i < n; i++)
		if (jget(json_object_array_get_idx(tools, i), "input_schema") ==
		    schema)
			return true;
	return false;
}

static enum as_status
model_fails(const struct fake_turn *t, struct error *err)
{
	enum as_status st = error_set(err, t->fail, "the model says no");

	err->retry_after_ms = t->retry_after_ms;
	if (t->hopeless)
		error_member(err, "retryable", json_object_new_boolean(false));
	return st;
}

SUSPENDS enum as_status
plug_chat(struct plug *p, const struct plug_caller *who, const char *model,
    struct json_object *messages, struct json_object *tools,
    struct json_object *settings, const struct plug_sink *sink,
    struct plug_chat_end *end, struct error *err)
{
	const struct fake_turn *t;
	enum as_status st = AS_OK;

	(void)p, (void)who, (void)settings;
	MUST(!is_shared(tools));
	snprintf(fake.models[fake.n_chats % 16], 32, "%s", model);
	fake.chats_ms[fake.n_chats % 16] = loop_now_ms(env.loop);
	free(fake.last_messages);
	fake.last_messages = xstrdup(json_text(messages));
	if (fake.n_chats >= fake.n_turns)
		return error_set(err, ERR_UPSTREAM_UNAVAILABLE,
		    "no more turns");
	t = &fake.turns[fake.n_chats++];
	if (t->reasons != NULL &&
	    (st = say(sink, AS_DELTA_REASONING, 0, t->reasons,
		 strlen(t->reasons))) == AS_OK)
		st = fiber_exit_status(fiber_yield(), err);
	for (const char *s = t->text; st == AS_OK && s != NULL && *s != '\0';
	     s++)
		if ((st = say(sink, AS_DELTA_TEXT, 0, s, 1)) == AS_OK)
			st = fiber_exit_status(fiber_yield(), err);
	if (st == AS_OK && t->hang)
		st = hang(&released, err);
	if (st != AS_OK)
		return st;
	if (!t->bare)
		end->input = end->output = 10;
	if (t->fail != ERR_NONE)
		return model_fails(t, err);
	for (uint32_t i = 0; i < 4 && t->calls[i] != NULL; i++)
		call_say(sink, i, t->calls[i], t->bare);
	end->why = t->calls[0] != NULL ? AS_END_TOOLS : AS_END_TURN;
	return AS_OK;
}

/* ---- The tools ----------------------------------------------------- */

static SUSPENDS enum as_status
tool_hang(int i, struct error *err)
{
	enum as_status st;

	fake.n_hanging++;
	if (fake.n_hanging > fake.n_parallel_max)
		fake.n_parallel_max = fake.n_hanging;
	st = hang(&released_calls[i % 16], err);
	fake.n_hanging--;
	return st;
}

static enum as_status
tool_fails(const struct fake_call *t, struct error *err)
{
	enum as_status st = error_set(err, t->fail, "the tool says no");

	err->retry_after_ms = t->retry_after_ms;
	if (t->maybe_done)
		error_member(err, "maybe_done", json_object_new_boolean(true));
	return st;
}

static const struct fake_call *
tool_note(const char *tool, const char *idem_key)
{
	static struct fake_call all;
	int i = fake.n_tools++;

	snprintf(fake.idem_keys[i % 16], 40, "%s", idem_key);
	snprintf(fake.tools[i % 16], 8, "%s", tool);
	fake.tools_ms[i % 16] = loop_now_ms(env.loop);
	all.hang = fake.tool_hangs;
	all.fail = fake.tool_fails;
	return i < fake.n_calls ? &fake.calls[i] : &all;
}

static enum as_status
question(struct plug_asking *asking, const char *key, struct json_object *args)
{
	struct json_object *q = jobj(), *allow = jarr();

	json_object_array_add(allow, json_object_new_string("accept"));
	json_object_array_add(allow, json_object_new_string("edit"));
	json_object_array_add(allow, json_object_new_string("response"));
	jput_str(q, "key", key);
	jput_str(q, "title", "");
	jput_str(q, "text", "Shall I?");
	jput(q, "value", json_object_get(args));
	jput(q, "allow", allow);
	jput_int(q, "expires_ms", fake.expires_ms);
	if (fake.question_schema != NULL)
		jput(q, "schema", json_object_get(fake.question_schema));
	asking->question = q;
	return AS_PARKED;
}

/* "kept 1, a: accept {"x":2}, b: response yes" */
static const char *
said(struct plug_asking *asking, struct json_object *keys, char *out,
    size_t size)
{
	struct json_object *a, *value;
	const char *key;
	size_t n;

	n = (size_t)snprintf(out, size, "kept %s",
	    json_text(jget(asking->kept, "note")));
	for (size_t i = 0; i < json_object_array_length(keys); i++) {
		key = json_object_get_string(
		    json_object_array_get_idx(keys, i));
		a = jget(asking->answers, key);
		value = jget(a, "value");
		n += (size_t)snprintf(out + n, n < size ? size - n : 0,
		    ", %s: %s %s", key, jget_str(a, "kind", ""),
		    value != NULL ? json_text(value) : jget_str(a, "text", ""));
	}
	return out;
}

/* As a tool does it that asks: from the top, each time. */
static SUSPENDS enum as_status
tool_asks(struct plug_asking *asking, struct json_object *args,
    struct json_object **result, struct error *err)
{
	struct json_object *keys = jget(args, "ask"), *note;
	const char *key;
	char text[100];

	if (jget(asking->kept, "note") == NULL) {
		note = json_object_new_int(++fake.n_kept);
		fake.keep = asking->keep(asking->arg, "note", note, err);
		json_object_put(note);
		if (fake.keep != AS_OK)
			return fake.keep;
	}
	for (size_t i = 0; i < json_object_array_length(keys); i++) {
		key = json_object_get_string(
		    json_object_array_get_idx(keys, i));
		if (jget(asking->answers, key) == NULL)
			return question(asking, key, args);
	}
	fake.n_acted++;
	*result = json_object_new_string(
	    said(asking, keys, text, sizeof(text)));
	return AS_OK;
}

SUSPENDS enum as_status
plug_tool_call(struct plug *p, const struct plug_caller *who, const char *tool,
    struct json_object *args, const struct plug_sink *sink,
    struct json_object **result, struct error *err)
{
	const struct fake_call *t;
	enum as_status st = AS_OK;
	char *x;

	(void)p, (void)sink;
	t = tool_note(tool, who->idem_key);
	if (t->hang)
		st = tool_hang(fake.n_tools - 1, err);
	if (st != AS_OK)
		return st;
	if (t->fail != ERR_NONE)
		return tool_fails(t, err);
	if (jget(args, "ask") != NULL)
		return tool_asks(who->asking, args, result, err);
	if (fake.result_len > 0) {
		x = xmalloc(fake.result_len);
		memset(x, 'x', fake.result_len);
		*result = json_object_new_string_len(x, (int)fake.result_len);
		free(x);
	} else
		*result = json_object_get(args);
	return AS_OK;
}

SUSPENDS enum as_status
plug_tool_verify(struct plug *p, const struct plug_caller *who,
    const char *tool, struct json_object *args, struct json_object **result,
    struct error *err)
{
	(void)p, (void)who, (void)tool, (void)args;
	fake.n_verifies++;
	/* To ask takes a while, as of a real service. */
	if (fiber_sleep(1) != FIBER_WOKEN)
		return error_set(err,
		    fiber_is_canceled() ? ERR_CANCELED : ERR_TIMEOUT,
		    "no time to ask");
	if (fake.verify == AS_OK) {
		*result = json_object_new_string("it happened");
		return AS_OK;
	}
	return error_from_status(err, fake.verify, "not known");
}
