/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/run/work.h"

/* The shapes of messages and effects on every wire. */

struct json_object *
run_message_json(const struct run_message *m, struct uuid thread_id,
    struct uuid run_id)
{
	struct json_object *o = jobj();

	jput_uuid(o, "id", m->id);
	jput_uuid(o, "thread_id", thread_id);
	jput_uuid(o, "run_id", run_id);
	jput_int(o, "sequence", m->sequence);
	jput_str(o, "role", m->role);
	jput_str(o, "content", m->content);
	jput_json(o, "parts", m->parts);
	jput_str(o, "tool_name", m->tool_name);
	jput_str(o, "tool_call_id", m->tool_call_id);
	jput_str(o, "state", m->state);
	jput_str(o, "client_message_id", m->client_message_id);
	if (uuid_is_nil(m->parent_id))
		jput_null(o, "parent_id");
	else
		jput_uuid(o, "parent_id", m->parent_id);
	if (m->usage != NULL)
		jput_json(o, "usage", m->usage);
	else
		jput_null(o, "usage");
	jput_time(o, "created_at", m->created_at);
	return o;
}

static const struct {
	const char *letter, *word;
	enum as_effect effect;
} effects[] = {
	{ "U", "once", AS_EFFECT_ONCE },
	{ "P", "none", AS_EFFECT_NONE },
	{ "N", "repeat", AS_EFFECT_REPEAT },
	{ "K", "keyed", AS_EFFECT_KEYED },
	{ "V", "verified", AS_EFFECT_VERIFIED },
};

const char *
run_effect_word(const char *letter)
{
	for (size_t i = 0;
	     letter != NULL && i < sizeof(effects) / sizeof(effects[0]); i++)
		if (strcmp(effects[i].letter, letter) == 0)
			return effects[i].word;
	return "once";
}

const char *
run_effect_letter(enum as_effect effect)
{
	for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++)
		if (effects[i].effect == effect)
			return effects[i].letter;
	return "U";
}
