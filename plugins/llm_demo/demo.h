/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LLM_DEMO_DEMO_H
#define LLM_DEMO_DEMO_H

/* Shared by the files of the demo model. */

#include <agentstudio/llm.h>

#define DEMO_WINDOW 8192
#define DEMO_MAX_OUTPUT 1024
#define DEMO_DIM 64

struct demo_conf {
	const char *default_model;
	const char *script;
	int64_t delay;
};

/* What the model is about to say; made before the first byte is sent. */
struct demo_turn {
	const char *text;
	const struct as_json *tool_calls; /* [{name, args}] */
	int64_t delay_ms; /* before each piece */
	const struct as_json *fail; /* {status, message} */
	uint32_t number; /* which answer of the conversation */
};

/* ---- text.c: messages as text ---- */

bool demo_is_role(const struct as_json *message, const char *role);
/* What the user said last, or "". */
const char *demo_last_user(const struct as_json *messages);
/* Words, which is what this model counts as tokens. */
int64_t demo_words(const char *text);

/* ---- script.c: answers from a file ---- */

/* NULL with the failure set, or the text, to be freed. */
char *demo_script_load(struct as_call *call, const char *path);
/* False: the script has no turn for this. */
bool demo_script_turn(struct as_call *call, const struct as_json *script,
    const struct as_json *messages, struct demo_turn *turn);

/* ---- answer.c: answers without one ---- */

void demo_answer(struct as_call *call, const struct as_chat *in,
    struct demo_turn *turn);

/* ---- find.c: what a text asks for; "" if it does not ---- */

const char *demo_find_expression(struct as_call *call, const char *text);
const char *demo_find_url(struct as_call *call, const char *text);
bool demo_asks_for_time(const char *text);

#endif
