/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/conf_impl.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/schema.h"
#include "core/base/text.h"
#include "core/kit/impl.h"

/*
 * What a plugin says of itself.  The host has refused what it cannot load; here
 * is what a person would miss.
 */

static bool
is_empty(const char *s)
{
	return s == NULL || *s == '\0';
}

static void
check_name(struct kit *k)
{
	const struct as_plugin *p = &k->unit->file->about;
	const char *slash = strrchr(k->request->file, '/');
	const char *file = slash != NULL ? slash + 1 : k->request->file;
	size_t len = strlen(p->name);
	const char *kind = p->toolkit != NULL  ? "toolkit_"
			   : p->llm != NULL    ? "llm_"
			   : p->vector != NULL ? "vector_"
					       : "auth_";

	if (strncmp(file, p->name, len) != 0 || strcmp(file + len, ".so") != 0)
		finding(k, RULE_name, "%s says that it is %s", file, p->name);
	else if (!text_has_prefix(p->name, kind) &&
		 (p->toolkit != NULL) + (p->llm != NULL) + (p->vector != NULL) +
			 (p->auth != NULL) ==
		     1)
		finding(k, RULE_name, "%s does not begin with its kind, %s",
		    p->name, kind);
}

static void
check_field(struct kit *k, const struct as_field *f, const char *of)
{
	if (is_empty(f->doc))
		finding(k, RULE_documented, "%s %s has no doc", of, f->name);
	if (f->max < f->min)
		finding(k, RULE_options, "%s %s: no value is between %g and %g",
		    of, f->name, f->min, f->max);
	else if (f->type != AS_FIELD_LIST && !(f->flags & AS_REQUIRED) &&
		 (f->type == AS_FIELD_INT || f->type == AS_FIELD_NUM ||
		     f->type == AS_FIELD_MS || f->type == AS_FIELD_SIZE) &&
		 !field_in_range(f, f->num))
		finding(k, RULE_options,
		    "%s %s: its default %g is not between %g and %g", of,
		    f->name, f->num, f->min, f->max);
	if (f->type == AS_FIELD_CHOICE && is_empty(f->text))
		finding(k, RULE_options, "%s %s: no word to choose", of,
		    f->name);
}

static void
check_fields(struct kit *k, const struct as_field *fields, const char *of)
{
	size_t stride = k->unit->file->about.field_size;
	size_t i, j, n = field_count(fields, stride);
	struct as_field f;

	for (i = 0; i < n; i++) {
		f = field_at(fields, stride, i);
		check_field(k, &f, of);
		for (j = 0; j < i; j++) {
			if (strcmp(field_at(fields, stride, j).name, f.name) ==
			    0)
				finding(k, RULE_options, "%s %s is there twice",
				    of, f.name);
		}
	}
}

static void
check_tools(struct kit *k)
{
	const struct plug_file *f = k->unit->file;
	struct schema *schema;
	struct error err = { 0 };
	const struct as_tool *t;
	char of[128];
	size_t i;

	for (i = 0; i < f->n_tools; i++) {
		t = &f->tools[i];
		if (is_empty(t->doc))
			finding(k, RULE_documented, "tool %s has no doc",
			    t->name);
		snprintf(of, sizeof(of), "tool %.80s: parameter", t->name);
		check_fields(k, t->params, of);
		if (t->result_schema == NULL)
			continue;
		schema = NULL;
		if (schema_compile(t->result_schema, &schema, &err) != AS_OK)
			finding(k, RULE_schema, "tool %s: result_schema: %s",
			    t->name, err.detail);
		schema_free(schema);
		error_clear(&err);
	}
}

void
describe_rules(struct kit *k)
{
	const struct as_plugin *p = &k->unit->file->about;

	check_name(k);
	if (is_empty(p->summary))
		finding(k, RULE_documented, "the plugin has no summary");
	if (is_empty(p->version))
		finding(k, RULE_documented, "the plugin has no version");
	check_fields(k, p->options, "option");
	check_tools(k);
}
