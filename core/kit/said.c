/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/conf_impl.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"

/*
 * What a call says, kept for the judge; the first thing that is wrong with it
 * is noted as it comes.
 */

static bool
is_secret_in(const char *secret, const char *text)
{
	return secret != NULL && strlen(secret) >= 4 &&
	       strstr(text, secret) != NULL;
}

bool
secret_is_in(struct kit *k, const char *text)
{
	const struct as_plugin *about = &k->unit->file->about;
	size_t i, n = field_count(about->options, about->field_size);
	struct as_field f;
	const char *value;

	for (i = 0; text != NULL && i < k->unit->n_secrets; i++)
		if (is_secret_in(k->unit->secrets[i].value, text))
			return true;
	for (i = 0; i < n && k->unit->conf != NULL && text != NULL; i++) {
		f = field_at(about->options, about->field_size, i);
		if (f.type != AS_FIELD_SECRET)
			continue;
		memcpy(&value, (const char *)k->unit->conf + f.offset,
		    sizeof(value));
		if (is_secret_in(value, text))
			return true;
	}
	return false;
}

static void
keep(struct json_object **at, struct json_object *v)
{
	json_object_put(*at);
	*at = json_object_get(v);
}

static void
append(struct json_object **list, struct json_object *v)
{
	if (*list == NULL)
		*list = jarr();
	json_object_array_add(*list, json_object_get(v));
}

static struct json_object *
tool_call(struct said *s, uint32_t index)
{
	size_t i, n = s->calls != NULL ? json_object_array_length(s->calls) : 0;
	struct json_object *o;

	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(s->calls, i);
		if (jget_int(o, "index", -1) == index)
			return o;
	}
	return NULL;
}

static void
take_tool(struct said *s, const struct msg *m)
{
	struct json_object *o = jobj();

	if (tool_call(s, m->index) != NULL)
		s->order_fault = "two tool calls have one index";
	else if (m->name == NULL || m->name[0] == '\0')
		s->order_fault = "a tool call has no name";
	jput_int(o, "index", m->index);
	jput_str(o, "name", m->name);
	append(&s->calls, o);
	json_object_put(o);
}

static void
take_end(struct said *s, const struct msg *m)
{
	s->ends++;
	s->why = (int)m->x;
	if (s->why < AS_END_TURN || s->why > AS_END_REFUSED)
		s->end_fault = "the answer ends for a reason that there is not";
}

static void
take_delta(struct said *s, const struct msg *m)
{
	if (s->ends > 0)
		s->end_fault = m->n == AS_DELTA_END ? "the answer ended twice"
						    : "more came after the end";
	switch ((enum as_delta_type)m->n) {
	case AS_DELTA_TEXT:
		buf_add(&s->text, m->bytes, m->len);
		break;
	case AS_DELTA_TOOL:
		take_tool(s, m);
		break;
	case AS_DELTA_ARGS:
		if (tool_call(s, m->index) == NULL)
			s->order_fault = "arguments came of no tool call";
		break;
	case AS_DELTA_END:
		take_end(s, m);
		break;
	default:
		break;
	}
}

static void
take_vector(struct world *w, const struct msg *m)
{
	struct said *s = &w->said;
	size_t dim = m->len / sizeof(float);

	if (m->index >= w->op->n_texts) {
		s->vector_fault = "a vector is of no text";
		return;
	}
	if (s->vectors[m->index])
		s->vector_fault = "a text got two vectors";
	if (dim == 0 || (s->dim != 0 && s->dim != dim))
		s->vector_fault = "vectors have two dimensions, or none";
	s->vectors[m->index] = true;
	s->dim = dim;
}

static void
take_hit(struct said *s, const struct msg *m)
{
	struct json_object *o = jobj();

	jput_str(o, "id", m->name);
	jput_num(o, "score", m->x);
	jput(o, "meta", json_object_get(m->value));
	append(&s->hits, o);
	json_object_put(o);
}

void
said_take(struct world *w, const struct msg *m)
{
	struct said *s = &w->said;

	switch (m->kind) {
	case EMIT_REPLY:
		keep(&s->reply, m->value);
		break;
	case EMIT_DELTA:
		take_delta(s, m);
		break;
	case EMIT_VECTOR:
		take_vector(w, m);
		break;
	case EMIT_MODEL:
		append(&s->models, m->value);
		break;
	case EMIT_HIT:
		take_hit(s, m);
		break;
	case EMIT_IDENTITY:
		keep(&s->identity, m->value);
		break;
	case EMIT_SESSION:
		keep(&s->session, m->value);
		break;
	case EMIT_REDIRECT:
		free(s->redirect);
		s->redirect = xstrdup(m->name);
		break;
	default:
		break;
	}
}
