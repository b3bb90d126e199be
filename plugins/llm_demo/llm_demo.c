/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "demo.h"

/*
 * A model that runs offline, costs nothing and always says the same: for the
 * first five minutes, for demonstrations and for tests.  Its state is the text
 * of the script, which nobody changes after init, so calls may be parallel.
 */

static const struct as_field options[] = {
	AS_STR(struct demo_conf, default_model, "demo", 0,
	    "The model that is meant where none is named."),
	AS_STR(struct demo_conf, script, "", 0,
	    "Path of a JSON array of turns to be said in order, each with "
	    "match, text, tool_calls, delay_ms and fail, all optional."),
	AS_MS(struct demo_conf, delay, 0, 0, 60000, AS_RELOAD,
	    "Time to wait before each word."),
	AS_END,
};

static enum as_status
init(struct as_call *call)
{
	const struct demo_conf *conf = as_conf(call);
	char *script;

	if (*conf->script == '\0')
		return AS_OK;
	if ((script = demo_script_load(call, conf->script)) == NULL)
		return as_last_error(call)->status;
	as_set_state(call, script);
	return AS_OK;
}

static void
fini(struct as_call *call)
{
	free(as_state(call));
	as_set_state(call, NULL);
}

static enum as_status
models(struct as_call *call)
{
	enum as_status st;

	st = as_offer_model(call,
	    AS_TABLE(as_model, .name = "demo", .title = "Demo model",
		.window = DEMO_WINDOW, .max_output = DEMO_MAX_OUTPUT,
		.abilities = "tools"));
	if (st != AS_OK)
		return st;
	return as_offer_model(call,
	    AS_TABLE(as_model, .name = "demo-embedding",
		.title = "Demo embeddings", .window = DEMO_WINDOW,
		.dim = DEMO_DIM, .abilities = ""));
}

static int64_t
count_input(struct as_call *call, const struct as_json *messages)
{
	struct as_iter it = as_each(messages), part;
	int64_t n = 0;

	while (as_next(&it)) {
		part = as_each(as_get(it.value, "content"));
		while (as_next(&part)) {
			n += demo_words(as_get_str(part.value, "text", ""));
			if (as_get(part.value, "args") != NULL)
				n += demo_words(
				    as_text(call, as_get(part.value, "args")));
		}
	}
	return n;
}

/* Word by word; *left counts down to the limit. */
static enum as_status
say(struct as_call *call, const struct demo_turn *turn, int64_t *left)
{
	const char *text = turn->text;
	enum as_status st;
	size_t n;

	for (; *text != '\0' && *left > 0; text += n, --*left) {
		n = strspn(text, " \n");
		n += strcspn(text + n, " \n");
		if (turn->delay_ms > 0 &&
		    (st = as_sleep(call, turn->delay_ms)) != AS_OK)
			return st;
		if ((st = as_chat_text(call, text, n)) != AS_OK)
			return st;
	}
	return AS_OK;
}

/* Arguments come in two pieces, as they do from others. */
static enum as_status
use_tools(struct as_call *call, const struct demo_turn *turn)
{
	struct as_iter it = as_each(turn->tool_calls);
	const char *args;
	uint32_t i = 0;
	enum as_status st;
	size_t half;

	for (; as_next(&it); i++) {
		if (turn->delay_ms > 0 &&
		    (st = as_sleep(call, turn->delay_ms)) != AS_OK)
			return st;
		args = as_get(it.value, "args") != NULL
			   ? as_text(call, as_get(it.value, "args"))
			   : "{}";
		half = strlen(args) / 2;
		if ((st = as_chat_tool(call, i,
			 as_printf(call, "call_%u_%u", turn->number + 1, i + 1),
			 as_get_str(it.value, "name", ""))) != AS_OK ||
		    (st = as_chat_args(call, i, args, half)) != AS_OK ||
		    (st = as_chat_args(call, i, args + half,
			 strlen(args + half))) != AS_OK)
			return st;
	}
	return AS_OK;
}

/* As the answer of a provider would fail. */
static enum as_status
fail(struct as_call *call, const struct as_json *how)
{
	struct as_http_response answer = { .size = sizeof(answer) };
	struct as_json *body = as_object(call);

	answer.status = (uint32_t)as_get_int(how, "status", 500);
	if (answer.status < 400)
		answer.status = 500;
	as_put_str(body, "message",
	    as_get_str(how, "message", "the script says so"));
	answer.json = body;
	return as_http_ok(call, &answer);
}

static enum as_status
perform(struct as_call *call, const struct as_chat *in,
    const struct demo_turn *turn)
{
	int64_t limit = as_get_int(in->settings, "max_tokens", DEMO_MAX_OUTPUT);
	int64_t left = limit < DEMO_MAX_OUTPUT ? limit : DEMO_MAX_OUTPUT;
	int64_t most = left;
	bool uses_tools = as_size(turn->tool_calls) > 0;
	bool is_cut;
	enum as_status st;

	if ((st = say(call, turn, &left)) != AS_OK)
		return st;
	is_cut = demo_words(turn->text) > most;
	if (turn->fail != NULL)
		return fail(call, turn->fail);
	if (!is_cut && (st = use_tools(call, turn)) != AS_OK)
		return st;
	as_chat_usage(call, count_input(call, in->messages),
	    most - left +
		(uses_tools ? (int64_t)as_size(turn->tool_calls) : 0));
	return as_chat_end(call, is_cut       ? AS_END_LENGTH
				 : uses_tools ? AS_END_TOOLS
					      : AS_END_TURN);
}

static uint32_t
count_answers(const struct as_json *messages)
{
	struct as_iter it = as_each(messages);
	uint32_t n = 0;

	while (as_next(&it))
		n += demo_is_role(it.value, "assistant");
	return n;
}

static enum as_status
chat(struct as_call *call, const struct as_chat *in)
{
	const struct demo_conf *conf = as_conf(call);
	const char *script = as_state(call);
	struct demo_turn turn = { .text = "", .delay_ms = conf->delay };
	int64_t words = count_input(call, in->messages);

	if (words > DEMO_WINDOW)
		return as_fail(call, AS_LIMIT,
		    "the conversation has %lld tokens, the demo model takes %d",
		    (long long)words, DEMO_WINDOW);
	if (script == NULL || !demo_script_turn(call, as_parse(call, script),
				  in->messages, &turn)) {
		turn.number = count_answers(in->messages);
		demo_answer(call, in, &turn);
	}
	return perform(call, in, &turn);
}

/* A word is where its hash says, for or against as another bit says. */
static void
add_word(float *v, const char *word, size_t len)
{
	uint32_t hash = 2166136261u;
	size_t i;

	for (i = 0; i < len; i++)
		hash = (hash ^ (uint32_t)(unsigned char)(word[i] | 32)) *
		       16777619u;
	v[hash % DEMO_DIM] += hash & 0x80000000u ? 1.0f : -1.0f;
}

static void
embed_text(const char *text, float *v)
{
	static const char between[] = " \t\r\n.,;:!?\"'()[]{}";
	float sum = 0;
	size_t n, i;

	for (text += strspn(text, between); *text != '\0';
	     text += strspn(text, between)) {
		n = strcspn(text, between);
		add_word(v, text, n);
		text += n;
	}
	for (i = 0; i < DEMO_DIM; i++)
		sum += v[i] * v[i];
	if (sum <= 0) { /* no word, or they cancel out */
		memset(v, 0, DEMO_DIM * sizeof(*v));
		v[0] = sum = 1;
	}
	for (i = 0; i < DEMO_DIM; i++)
		v[i] /= sqrtf(sum);
}

static enum as_status
embed(struct as_call *call, const struct as_texts *in)
{
	enum as_status st = AS_OK;
	uint32_t i;

	for (i = 0; i < in->n && st == AS_OK; i++) {
		float v[DEMO_DIM] = { 0 };

		embed_text(in->texts[i], v);
		st = as_embedding(call, i, v, DEMO_DIM);
	}
	return st;
}

AS_PLUGIN(.name = "llm_demo",
    .summary = "A deterministic offline model, for a first look and for tests.",
    .version = "1.0.0", .flags = AS_PARALLEL | AS_UNLOADABLE | AS_FALLBACK,
    AS_OPTIONS(struct demo_conf, options),
    .llm = AS_LLM(.chat = chat, .embed = embed, .models = models), .init = init,
    .fini = fini);
