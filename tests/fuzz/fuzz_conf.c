/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * A conf file, read through a table with every type but secrets (they would
 * open files), and the same text as an assignment of --set.  Every problem has
 * a sentence in UTF-8 and a line of the file.
 */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
const char *__lsan_default_suppressions(void);

struct opts {
	const char *text;
	int64_t count, wait, size;
	double ratio;
	bool yes;
	const char *mode;
	struct as_list names;
	const struct as_json *any;
};

static const struct as_field fields[] = { AS_STR(struct opts, text, "hello", 0,
					      "Text."),
	AS_INT(struct opts, count, 3, 1, 9, 0, "How many."),
	AS_MS(struct opts, wait, 1500, 0, 60000, 0, "How long."),
	AS_SIZE(struct opts, size, 1024, 1, 1 << 20, 0, "How large."),
	AS_NUM(struct opts, ratio, 0.5, 0, 1, 0, "Which part."),
	AS_BOOL(struct opts, yes, true, 0, "Whether."),
	AS_CHOICE(struct opts, mode, "fast slow", 0, "Which way."),
	AS_LIST(struct opts, names, 0, 3, 0, "Which names."),
	AS_ANY(struct opts, any, 0, "Anything."), AS_END };

/* libconfig loses the string it was reading at a syntax error. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

static int
count_lines(const uint8_t *bytes, size_t len)
{
	int n = 1;
	size_t i;

	for (i = 0; i < len; i++)
		n += bytes[i] == '\n';
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text = xstrndup((const char *)bytes, len);
	int lines = count_lines(bytes, len);
	struct conf *c = conf_new();
	const struct conf_problem *p;
	struct buf shown = { 0 };
	struct opts o;
	size_t i;
	bool ok;

	conf_load_text(c, "x.conf", text, len);
	if (strchr(text, '\n') == NULL)
		conf_set(c, text);
	ok = conf_section(c, "s", fields, sizeof(fields[0]), &o, NULL);
	MUST(ok || conf_problem_count(c) > 0);
	MUST(o.count >= 1 && o.count <= 9 && o.ratio >= 0 && o.ratio <= 1);
	MUST(text_is_utf8(o.text, strlen(o.text)));
	conf_groups(c, "s.any");
	conf_peek(c, "s.any.x");
	conf_finish(c);
	for (i = 0; (p = conf_problem(c, i)) != NULL; i++) {
		MUST(p->line >= 0 && p->line <= lines);
		MUST(text_is_utf8(p->text, strlen(p->text)));
	}
	conf_show(c, &shown);
	MUST(text_is_utf8(shown.data, shown.len));
	buf_free(&shown);
	conf_free(c);
	free(text);
	return 0;
}
