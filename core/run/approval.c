/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/approval.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/json_write.h"

/* See approval.h. */

static bool
is_attended(const char *kind)
{
	return kind == NULL || strcmp(kind, "interactive") == 0;
}

/* The rule that names the tool, or NULL; a word stands for {"when": word}. */
static struct json_object *
rule_of(struct json_object *policy, const char *tool)
{
	return jget(jget(policy, "tools"), tool);
}

static const char *
rule_when(struct json_object *rule)
{
	if (json_object_is_type(rule, json_type_string))
		return json_object_get_string(rule);
	return jget_str(rule, "when", NULL);
}

static const char *
when_of(struct json_object *policy, const char *kind,
    const struct plug_tool_info *info, const char *tool)
{
	const char *when = rule_when(rule_of(policy, tool));

	if (when != NULL)
		return when;
	if (info != NULL && info->needs_approval)
		return "always";
	when = jget_str(policy, "default", "auto");
	if (strcmp(when, "auto") == 0)
		return is_attended(kind) ? "never" : "by_effect";
	return when;
}

bool
approval_needed(struct json_object *policy, const char *kind,
    const struct plug_tool_info *info, const char *tool, const char *effect)
{
	const char *when = when_of(policy, kind, info, tool);

	if (strcmp(when, "by_effect") == 0)
		return strchr("KUV", effect[0]) != NULL;
	return strcmp(when, "always") == 0;
}

/* ---- How it may be answered ---------------------------------------- */

static bool
list_has(struct json_object *list, const char *word)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *s = json_object_get_string(
		    json_object_array_get_idx(list, i));

		if (s != NULL && strcmp(s, word) == 0)
			return true;
	}
	return false;
}

static void
allow_read(struct json_object *from, struct approval *a)
{
	struct json_object *list = jget(from, "allow");

	if (!json_object_is_type(list, json_type_array))
		return;
	a->accept = list_has(list, "accept");
	a->edit = list_has(list, "edit");
	a->response = list_has(list, "response");
	a->ignore = list_has(list, "ignore");
}

static void
expiry_read(struct json_object *from, struct approval *a)
{
	static const char *const words[] = { "reject", "approve", "fail",
		"escalate" };
	const char *word = jget_str(from, "on_expire", "");

	if (json_object_is_type(from, json_type_object) &&
	    json_object_object_get_ex(from, "expires_s", NULL))
		a->expires_us = jget_int(from, "expires_s", 0) * 1000000;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i], word) == 0)
			a->on_expire = words[i];
}

void
approval_of(struct json_object *policy, const char *tool, struct approval *out)
{
	struct json_object *rule = rule_of(policy, tool);

	*out = (struct approval){ .accept = true,
		.edit = true,
		.response = true,
		.ignore = true,
		.on_expire = "reject" };
	allow_read(policy, out);
	expiry_read(policy, out);
	if (!json_object_is_type(rule, json_type_object))
		return;
	allow_read(rule, out);
	expiry_read(rule, out);
}

void
approval_of_question(struct json_object *policy, struct approval *out)
{
	*out = (struct approval){ .response = true,
		.ignore = true,
		.on_expire = "reject" };
	expiry_read(policy, out);
	if (strcmp(out->on_expire, "approve") == 0)
		out->on_expire = "reject"; /* nobody can answer for a person */
}

bool
approval_resumes_each(struct json_object *policy)
{
	return strcmp(jget_str(policy, "resume_when", "all"), "each") == 0;
}

bool
approval_may_ask(struct json_object *policy, const char *kind)
{
	return jget_bool(policy, "questions", !is_attended(kind));
}

/* ---- The item's config --------------------------------------------- */

void
approval_config_write(struct buf *b, const struct approval *a)
{
	jw_open(b, NULL);
	jw_bool(b, "allow_ignore", a->ignore);
	jw_bool(b, "allow_respond", a->response);
	jw_bool(b, "allow_edit", a->edit);
	jw_bool(b, "allow_accept", a->accept);
	jw_close(b);
}

bool
approval_config_allows(const char *config, const char *type)
{
	static const struct {
		const char *type, *member;
	} members[] = {
		{ "accept", "allow_accept" },
		{ "edit", "allow_edit" },
		{ "response", "allow_respond" },
		{ "ignore", "allow_ignore" },
	};
	struct json_object *o = NULL;
	bool yes = false;

	if (config == NULL ||
	    json_parse(config, strlen(config), &o, NULL) != AS_OK)
		return false;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (strcmp(members[i].type, type) == 0)
			yes = jget_bool(o, members[i].member, false);
	json_object_put(o);
	return yes;
}
