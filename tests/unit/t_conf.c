/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "tests/tap.h"

/*
 * The configuration tree: values through field tables, every kind of mistake
 * with its place and sentence, secrets, overrides, folders.
 */

struct opts {
	const char *text;
	const char *maybe;
	int64_t count;
	int64_t wait;
	int64_t size;
	double ratio;
	bool yes;
	const char *mode;
	struct as_list names;
	const struct as_json *any;
	const char *key;
};

static const struct as_field fields[] = { AS_STR(struct opts, text, "hello", 0,
					      "Text."),
	AS_STR(struct opts, maybe, NULL, 0, "Perhaps."),
	AS_INT(struct opts, count, 3, 1, 9, 0, "How many."),
	AS_MS(struct opts, wait, 1500, 0, 60000, 0, "How long."),
	AS_SIZE(struct opts, size, 1024, 1, 1 << 20, 0, "How large."),
	AS_NUM(struct opts, ratio, 0.5, 0, 1, 0, "Which part."),
	AS_BOOL(struct opts, yes, true, 0, "Whether."),
	AS_CHOICE(struct opts, mode, "fast slow", 0, "Which way."),
	AS_LIST(struct opts, names, 0, 3, 0, "Which names."),
	AS_ANY(struct opts, any, 0, "Anything."),
	AS_SECRET(struct opts, key, 0, "A key."), AS_END };

static bool
read_opts(struct conf *c, struct opts *o)
{
	memset(o, 0xee, sizeof(*o));
	return conf_section(c, "s", fields, sizeof(fields[0]), o, NULL);
}

/* The only problem of a text, as "line: sentence". */
static void
problem_is(const char *text, size_t len, const char *want)
{
	struct conf *c = conf_new();
	const struct conf_problem *p;
	struct opts o;
	char got[600];

	conf_load_text(c, "t.conf", text, len);
	read_opts(c, &o);
	conf_finish(c);
	p = conf_problem(c, 0);
	if (p != NULL)
		snprintf(got, sizeof(got), "%d: %s", p->line, p->text);
	if (p == NULL || conf_problem_count(c) != 1 || strcmp(got, want) != 0) {
		tap_note("%s: %zu problems, %s", text, conf_problem_count(c),
		    p != NULL ? got : "none");
		CU_FAIL("another problem");
	} else {
		CU_ASSERT_STRING_EQUAL(p->file, "t.conf");
	}
	conf_free(c);
}

static void
test_defaults(void)
{
	struct conf *c = conf_new();
	struct opts o;

	CU_ASSERT_TRUE(read_opts(c, &o));
	CU_ASSERT_STRING_EQUAL(o.text, "hello");
	CU_ASSERT_PTR_NULL(o.maybe);
	CU_ASSERT_EQUAL(o.count, 3);
	CU_ASSERT_EQUAL(o.wait, 1500);
	CU_ASSERT_EQUAL(o.size, 1024);
	CU_ASSERT_EQUAL(o.ratio, 0.5);
	CU_ASSERT_TRUE(o.yes);
	CU_ASSERT_STRING_EQUAL(o.mode, "fast");
	CU_ASSERT_EQUAL(o.names.n, 0);
	CU_ASSERT_PTR_NULL(o.any);
	CU_ASSERT_PTR_NULL(o.key);
	CU_ASSERT_STRING_EQUAL(conf_origin(c, "s.text"), "default");
	CU_ASSERT_PTR_NULL(conf_origin(c, "s.other"));
	conf_free(c);
}

static void
test_values(void)
{
	static const char
	    text[] = "# comment\n"
		     "s : {\n"
		     "  text = \"a\\\"b\" \"c\"; // two parts\n"
		     "  count = 0x7;\n"
		     "  wait = \"3s\";\n"
		     "  size = 2048L;\n"
		     "  ratio = 1;\n"
		     "  yes = false;\n"
		     "  mode = \"slow\"; /* a\n comment */\n"
		     "  names = ( \"x\", \"y\" );\n"
		     "  any = { n = 5000000000L; f = 0.1; l = [ true, false ]; "
		     "g : { }; };\n"
		     "};\n";
	struct conf *c = conf_new();
	struct buf b = { 0 };
	struct opts o;

	conf_load_text(c, "t.conf", text, strlen(text));
	CU_ASSERT_TRUE(read_opts(c, &o));
	conf_finish(c);
	CU_ASSERT_EQUAL(conf_problem_count(c), 0);
	CU_ASSERT_STRING_EQUAL(o.text, "a\"bc");
	CU_ASSERT_EQUAL(o.count, 7);
	CU_ASSERT_EQUAL(o.wait, 3000);
	CU_ASSERT_EQUAL(o.size, 2048);
	CU_ASSERT_EQUAL(o.ratio, 1);
	CU_ASSERT_FALSE(o.yes);
	CU_ASSERT_STRING_EQUAL(o.mode, "slow");
	CU_ASSERT_EQUAL(o.names.n, 2);
	CU_ASSERT_STRING_EQUAL(o.names.items[1], "y");
	CU_ASSERT_STRING_EQUAL(json_text(
				   (struct json_object *)(uintptr_t)o.any),
	    "{\"n\":5000000000,\"f\":0.1,\"l\":[true,false],\"g\":{}}");
	CU_ASSERT_STRING_EQUAL(conf_origin(c, "s.wait"), "t.conf:5");
	conf_show(c, &b);
	CU_ASSERT_PTR_NOT_NULL(strstr(b.data, "s.wait = 3s  (t.conf:5)\n"));
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(b.data, "s.names = [\"x\", \"y\"]  (t.conf:11)\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(b.data, "s.key = (none)  (default)\n"));
	buf_free(&b);
	conf_free(c);
}

#define P(text, want) \
	{ \
		text, sizeof(text) - 1, want \
	}

static const struct {
	const char *text;
	size_t len;
	const char *want;
} wrong[] = {
	P("s : {\n conut = 3; };",
	    "2: s.conut: unknown setting; did you mean 'count'?"),
	P("s : { zzzzzzzz = 3; };", "1: s.zzzzzzzz: unknown setting"),
	P("s : { };\nt : { a = 1; };", "2: t: unknown section"),
	P("s : { };\nplugins : { };", "2: plugins: unknown section"),
	P("a = 1;", "1: a: unknown setting; settings stand in sections"),
	P("s : { text = 3; };", "1: s.text: expected text in quotes, got 3"),
	P("s : { text = { }; };",
	    "1: s.text: expected text in quotes, got a group"),
	P("s : { count = 10; };", "1: s.count: expected 1 to 9, got 10"),
	P("s : { count = \"3\"; };",
	    "1: s.count: expected an integer, got '3'"),
	P("s : { count = 3.0; };", "1: s.count: expected an integer, got 3"),
	P("s : {\n\n wait = \"2m\"; };",
	    "3: s.wait: expected 0 to 1m, got '2m'"),
	P("s : { wait = \"2 s\"; };",
	    "1: s.wait: expected a duration such as \"20ms\", \"3s\" or "
	    "\"5m\", got '2 s'"),
	P("s : { size = \"2m\"; };",
	    "1: s.size: expected a size such as \"64k\" or \"8M\", got '2m'"),
	P("s : { size = \"2M\"; };", "1: s.size: expected 1 to 1M, got '2M'"),
	P("s : { ratio = 1.5; };", "1: s.ratio: expected 0 to 1, got 1.5"),
	P("s : { ratio = true; };", "1: s.ratio: expected a number, got true"),
	P("s : { yes = 1; };", "1: s.yes: expected true or false, got 1"),
	P("s : { mode = \"fats\"; };",
	    "1: s.mode: expected one of fast, slow, got 'fats'; did you mean "
	    "'fast'?"),
	P("s : { names = \"x\"; };",
	    "1: s.names: expected a list of texts such as [\"a\", \"b\"], got "
	    "'x'"),
	P("s : { names = [ 1 ]; };",
	    "1: s.names: expected a list of texts such as [\"a\", \"b\"], got "
	    "a list"),
	P("s : { names = [\"1\",\"2\",\"3\",\"4\"]; };",
	    "1: s.names: expected 0 to 3 items, got 4"),
	P("s = 3;", "1: s: expected a group in braces, got 3"),
	P("s : { count = 2;\n count = 3; };",
	    "2: a name on this line is already set in its group"),
	P("s : {\n text = \"abc;\n };",
	    "2: string without a closing quote on its line"),
	P("s : { text = \"\\q\"; };",
	    "1: unknown escape in a string; write \\\\ for a backslash"),
	P("s : { text = \"\\x00\"; };", "1: NUL byte in a string"),
	P("s : { text = \"\\xff\"; };", "1: s.text: invalid UTF-8"),
	P("\n@include \"other.conf\"\n",
	    "2: @include is not supported; files of the folder are all read"),
	P("s : { size = 3000000000; };",
	    "1: 3000000000: an integer beyond 32 bits ends with L"),
	P("s : { size = 0xffffffff; };",
	    "1: 0xffffffff: an integer beyond 32 bits ends with L"),
	P("s : { size = -99999999999999999999L; };",
	    "1: -99999999999999999999: integer out of range"),
	P("s : {\n/* count = 3;\n", "2: comment without an end"),
	P("\xef\xbb\xbfs : { };",
	    "1: byte order mark: save the file without it"),
	P("s : { };\n# \xff\n", "2: invalid UTF-8"),
	P("s : { };\n\n\0", "3: NUL byte"),
	P("s : {\n count = ;\n};", "2: syntax error"),
	P("s : { key = \"inline\"; };",
	    "1: s.key: a secret in a file that everybody may read; write "
	    "\"file:/path\", \"env:NAME\" or \"cred:NAME\", or chmod o-r the "
	    "file"),
	P("s : { key = 3; };",
	    "1: s.key: expected \"file:/path\", \"env:NAME\" or \"cred:NAME\", "
	    "got something else"),
	P("s : { key = \"env:T_CONF_UNSET\"; };",
	    "1: s.key: the environment variable T_CONF_UNSET is not set"),
	P("s : { key = \"file:/no/such\"; };",
	    "1: s.key: cannot read /no/such: No such file or directory"),
	P("s : { key = \"cred:../x\"; };",
	    "1: s.key: not a name of a credential: ../x"),
};

static void
test_problems(void)
{
	char deep[100] = "s : { any = ";
	size_t i;

	for (i = 0; i < N_ITEMS(wrong); i++)
		problem_is(wrong[i].text, wrong[i].len, wrong[i].want);
	memset(deep + 12, '(', 40);
	problem_is(deep, 52, "1: nested deeper than 32 levels");
}

static void
test_many(void)
{
	static const char one[] = "s : { count = 99; texd = 1; };\nt : { };";
	static const char two[] = "\ns : { count = 5; yes = 7; };\ns2 = 1;";
	static const char *const want[] = {
		"s.count: is already set at one.conf:1",
		"s.count: expected 1 to 9, got 99",
		"s.yes: expected true or false, got 7",
		"s.texd: unknown setting; did you mean 'text'?",
		"t: unknown section",
		"s2: unknown setting; settings stand in sections",
	};
	struct conf *c = conf_new();
	struct opts o;
	size_t i;

	conf_load_text(c, "one.conf", one, strlen(one));
	conf_load_text(c, "two.conf", two, strlen(two));
	CU_ASSERT_FALSE(read_opts(c, &o));
	CU_ASSERT_EQUAL(o.count, 3);
	conf_finish(c);
	CU_ASSERT_EQUAL(conf_problem_count(c), N_ITEMS(want));
	for (i = 0; i < N_ITEMS(want) && i < conf_problem_count(c); i++)
		CU_ASSERT_STRING_EQUAL(conf_problem(c, i)->text, want[i]);
	CU_ASSERT_STRING_EQUAL(conf_problem(c, 0)->file, "two.conf");
	CU_ASSERT_EQUAL(conf_problem(c, 0)->line, 2);
	CU_ASSERT_PTR_NULL(conf_problem(c, 99));
	conf_free(c);
}

static void
test_set(void)
{
	static const char text[] = "s : { count = 2; };";
	static const char *const good[] = { "s.count=4", "s.count=5",
		"s.wait=2s", "s.size=2k", "s.ratio=0.25", "s.yes=false",
		"s.mode=slow", "s.names=a, b", "s.any={\"x\":[1]}",
		"s.text=a=b" };
	static const char *const bad[] = { "s", "=1", "s..x=1", ".s=1", "s.=1",
		"s x=1", "s=1", "s.count.x=1", "s.text=\xff" };
	struct conf *c = conf_new();
	struct opts o;
	size_t i;

	conf_load_text(c, "t.conf", text, strlen(text));
	for (i = 0; i < N_ITEMS(good); i++)
		conf_set(c, good[i]);
	CU_ASSERT_TRUE(read_opts(c, &o));
	CU_ASSERT_EQUAL(o.count, 5);
	CU_ASSERT_EQUAL(o.wait, 2000);
	CU_ASSERT_EQUAL(o.size, 2048);
	CU_ASSERT_EQUAL(o.ratio, 0.25);
	CU_ASSERT_FALSE(o.yes);
	CU_ASSERT_STRING_EQUAL(o.mode, "slow");
	CU_ASSERT_EQUAL(o.names.n, 2);
	CU_ASSERT_STRING_EQUAL(o.names.items[1], "b");
	CU_ASSERT_STRING_EQUAL(o.text, "a=b");
	CU_ASSERT_STRING_EQUAL(conf_origin(c, "s.count"), "--set");
	conf_set(c, "s.names=[\"x,y\"]");
	CU_ASSERT_TRUE(read_opts(c, &o));
	CU_ASSERT_EQUAL(o.names.n, 1);
	CU_ASSERT_STRING_EQUAL(o.names.items[0], "x,y");
	conf_set(c, "s.names=");
	CU_ASSERT_TRUE(read_opts(c, &o));
	CU_ASSERT_EQUAL(o.names.n, 0);
	for (i = 0; i < N_ITEMS(bad); i++) {
		conf_set(c, bad[i]);
		CU_ASSERT_EQUAL(conf_problem_count(c), i + 1);
	}
	CU_ASSERT_STRING_EQUAL(conf_problem(c, 0)->file, "--set");
	conf_free(c);
}

static void
test_set_types(void)
{
	static const char *const bad[] = { "s.count=x", "s.count=99",
		"s.wait=1w", "s.ratio=nan", "s.yes=1", "s.mode=x", "s.any={",
		"s.names=a,,b", "s.names=[1]", "s.key=inline" };
	struct conf *c;
	struct opts o;
	size_t i;

	for (i = 0; i < N_ITEMS(bad); i++) {
		c = conf_new();
		conf_set(c, bad[i]);
		CU_ASSERT_FALSE(read_opts(c, &o));
		CU_ASSERT_EQUAL(conf_problem_count(c), 1);
		conf_free(c);
	}
}

static void
test_peek(void)
{
	static const char
	    text[] = "plugins : { dirs = [\"x\"]; a : { enabled = "
		     "\"auto\"; n = 5; f = 0.5; t = true; };\n"
		     "b : { }; };";
	struct conf *c = conf_new();
	const char *const *names;

	conf_load_text(c, "t.conf", text, strlen(text));
	CU_ASSERT_STRING_EQUAL(conf_peek(c, "plugins.a.enabled"), "auto");
	CU_ASSERT_STRING_EQUAL(conf_peek(c, "plugins.a.n"), "5");
	CU_ASSERT_STRING_EQUAL(conf_peek(c, "plugins.a.f"), "0.5");
	CU_ASSERT_STRING_EQUAL(conf_peek(c, "plugins.a.t"), "true");
	CU_ASSERT_PTR_NULL(conf_peek(c, "plugins.a"));
	CU_ASSERT_PTR_NULL(conf_peek(c, "plugins.dirs"));
	CU_ASSERT_PTR_NULL(conf_peek(c, "plugins.a.x"));
	names = conf_groups(c, "plugins");
	CU_ASSERT_STRING_EQUAL(names[0], "a");
	CU_ASSERT_STRING_EQUAL(names[1], "b");
	CU_ASSERT_PTR_NULL(names[2]);
	CU_ASSERT_PTR_NULL(conf_groups(c, "nothing")[0]);
	conf_problem_at(c, "plugins.b.x.y", "wrong %d", 1);
	CU_ASSERT_EQUAL(conf_problem(c, 0)->line, 2);
	conf_problem_at(c, "nothing.at.all", "wrong");
	CU_ASSERT_PTR_NULL(conf_problem(c, 1)->file);
	conf_ignore(c, "plugins");
	conf_ignore(c, "plugins.a");
	conf_finish(c);
	CU_ASSERT_EQUAL(conf_problem_count(c), 3);
	CU_ASSERT_STRING_EQUAL(conf_problem(c, 2)->text,
	    "plugins.b: unknown section");
	conf_free(c);
}

/* ---- files and secrets */

static char dir[] = "/tmp/t_conf.XXXXXX";

static char *
write_file(const char *name, const char *text, mode_t mode)
{
	char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	MUST(fchmod(fd, mode) == 0);
	close(fd);
	return path;
}

static void
remove_file(char *path)
{
	unlink(path);
	free(path);
}

static void
test_dir(void)
{
	struct conf *c = conf_new();
	char *a, *b, *hidden, *other;
	struct opts o;

	b = write_file("20-b.conf", "s : { count = 3; };", 0644);
	a = write_file("10-a.conf", "\ns : { count = 2; };", 0644);
	hidden = write_file(".x.conf", "s : { count = 4; };", 0644);
	other = write_file("x.conf~", "s : { count = 4; };", 0644);
	conf_load_dir(c, dir, true);
	CU_ASSERT_TRUE(read_opts(c, &o));
	CU_ASSERT_EQUAL(o.count, 2);
	CU_ASSERT_EQUAL(conf_problem_count(c), 1);
	CU_ASSERT_STRING_EQUAL(conf_problem(c, 0)->file, b);
	CU_ASSERT_PTR_NOT_NULL(strstr(conf_problem(c, 0)->text, "10-a.conf:2"));
	conf_load_dir(c, "/no/such", false);
	CU_ASSERT_EQUAL(conf_problem_count(c), 1);
	conf_load_dir(c, "/no/such", true);
	conf_load_file(c, "/no/such.conf");
	conf_load_file(c, dir);
	CU_ASSERT_EQUAL(conf_problem_count(c), 4);
	CU_ASSERT_STRING_EQUAL(conf_problem(c, 3)->text,
	    "cannot read this file: Is a directory");
	conf_free(c);
	remove_file(a);
	remove_file(b);
	remove_file(hidden);
	remove_file(other);
}

static void
test_secrets(void)
{
	struct conf *c = conf_new();
	struct buf b = { 0 };
	char *file, *key, why[600];
	struct opts o;

	file = write_file("a.conf", "s : { key = \"inline-key\"; };", 0640);
	conf_load_file(c, file);
	CU_ASSERT_TRUE(read_opts(c, &o));
	CU_ASSERT_STRING_EQUAL(o.key, "inline-key");
	conf_show(c, &b);
	CU_ASSERT_PTR_NULL(strstr(b.data, "inline-key"));
	CU_ASSERT_PTR_NOT_NULL(strstr(b.data, "s.key = ***"));
	buf_free(&b);
	key = write_file("key", "file-key\n", 0600);
	b.len = 0;
	buf_printf(&b, "s.key=file:%s", key);
	conf_set(c, b.data);
	CU_ASSERT_TRUE(conf_section_ready(c, "s", fields, sizeof(fields[0]),
	    why, sizeof(why)));
	CU_ASSERT_TRUE(read_opts(c, &o));
	CU_ASSERT_STRING_EQUAL(o.key, "file-key");
	setenv("T_CONF_KEY", "env-key", 1);
	conf_set(c, "s.key=env:T_CONF_KEY");
	CU_ASSERT_TRUE(read_opts(c, &o));
	CU_ASSERT_STRING_EQUAL(o.key, "env-key");
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	conf_set(c, "s.key=cred:key");
	CU_ASSERT_TRUE(read_opts(c, &o));
	CU_ASSERT_STRING_EQUAL(o.key, "file-key");
	unsetenv("CREDENTIALS_DIRECTORY");
	CU_ASSERT_FALSE(conf_section_ready(c, "s", fields, sizeof(fields[0]),
	    why, sizeof(why)));
	CU_ASSERT_EQUAL(strncmp(why, "key: ", 5), 0);
	CU_ASSERT_EQUAL(conf_problem_count(c), 0);
	CU_ASSERT_FALSE(read_opts(c, &o));
	buf_free(&b);
	conf_free(c);
	remove_file(file);
	remove_file(key);
}

struct strict {
	const char *url;
	const char *key;
};

static void
test_required(void)
{
	static const struct as_field must[] = { AS_STR(struct strict, url, NULL,
						    AS_REQUIRED, "Where."),
		AS_SECRET(struct strict, key, AS_REQUIRED, "Key."), AS_END };
	static const char text[] = "p : {\n };\n";
	static const char *const extra[] = { "enabled", NULL };
	struct conf *c = conf_new();
	struct strict o;
	char why[600];

	conf_load_text(c, "t.conf", text, strlen(text));
	CU_ASSERT_FALSE(conf_section_ready(c, "p", must, sizeof(must[0]), why,
	    sizeof(why)));
	CU_ASSERT_STRING_EQUAL(why, "url is not set");
	CU_ASSERT_FALSE(conf_section(c, "p", must, sizeof(must[0]), &o, extra));
	CU_ASSERT_EQUAL(conf_problem_count(c), 2);
	CU_ASSERT_STRING_EQUAL(conf_problem(c, 0)->text,
	    "p.url: is required and not set");
	CU_ASSERT_EQUAL(conf_problem(c, 0)->line, 1);
	setenv("T_CONF_KEY", "k", 1);
	conf_set(c, "p.url=x");
	conf_set(c, "p.key=env:T_CONF_KEY");
	conf_set(c, "p.enabled=auto");
	CU_ASSERT_TRUE(conf_section_ready(c, "p", must, sizeof(must[0]), why,
	    sizeof(why)));
	CU_ASSERT_TRUE(conf_section(c, "p", must, sizeof(must[0]), &o, extra));
	CU_ASSERT_STRING_EQUAL(o.url, "x");
	conf_free(c);
}

/* ---- field tables for tools */

static void
test_schema(void)
{
	struct json_object *s = field_schema(fields, sizeof(fields[0]));
	struct json_object *p = jget(s, "properties");

	CU_ASSERT_STRING_EQUAL(json_text(jget(p, "text")),
	    "{\"type\":\"string\",\"default\":\"hello\",\"description\":"
	    "\"Text.\"}");
	CU_ASSERT_STRING_EQUAL(json_text(jget(p, "count")),
	    "{\"type\":\"integer\",\"minimum\":1,\"maximum\":9,\"default\":3,"
	    "\"description\":\"How many.\"}");
	CU_ASSERT_STRING_EQUAL(json_text(jget(p, "mode")),
	    "{\"type\":\"string\",\"enum\":[\"fast\",\"slow\"],\"default\":"
	    "\"fast\",\"description\":\"Which way.\"}");
	CU_ASSERT_STRING_EQUAL(json_text(jget(p, "names")),
	    "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":"
	    "0,\"maxItems\":3,\"description\":\"Which names.\"}");
	CU_ASSERT_STRING_EQUAL(json_text(jget(s, "required")), "[]");
	CU_ASSERT_FALSE(jget_bool(s, "additionalProperties", true));
	json_object_put(s);
}

static void
test_fill(void)
{
	static const char
	    good[] = "{\"text\":\"t\",\"count\":4.0,\"wait\":7,\"ratio\":1,"
		     "\"yes\":false,"
		     "\"mode\":\"slow\",\"names\":[\"a\"],\"any\":{\"x\":1}}";
	static const char bad[] = "{\"count\":10,\"mode\":\"x\",\"yes\":1,"
				  "\"names\":[1],\"text\":\"a\\u0000b\"}";
	struct arena *arena = arena_new(NULL);
	struct error err = { 0 };
	struct json_object *v;
	struct opts o;

	json_parse(good, strlen(good), &v, NULL);
	CU_ASSERT_TRUE(
	    field_fill(fields, sizeof(fields[0]), &o, v, arena, &err));
	CU_ASSERT_STRING_EQUAL(o.text, "t");
	CU_ASSERT_EQUAL(o.count, 4);
	CU_ASSERT_EQUAL(o.wait, 7);
	CU_ASSERT_EQUAL(o.size, 1024);
	CU_ASSERT_EQUAL(o.ratio, 1);
	CU_ASSERT_FALSE(o.yes);
	CU_ASSERT_STRING_EQUAL(o.mode, "slow");
	CU_ASSERT_STRING_EQUAL(o.names.items[0], "a");
	CU_ASSERT_PTR_EQUAL((const void *)o.any, (void *)jget(v, "any"));
	json_object_put(v);
	json_parse(bad, strlen(bad), &v, NULL);
	CU_ASSERT_FALSE(
	    field_fill(fields, sizeof(fields[0]), &o, v, arena, &err));
	CU_ASSERT_EQUAL(json_object_object_length(jget(err.extra, "details")),
	    5);
	error_clear(&err);
	json_object_put(v);
	arena_free(arena);
}

/* A sample without its comment signs is a valid section of defaults. */
static void
test_sample(void)
{
	static const char *const
	    want = "a : {\n"
		   "\tb : {\n"
		   "\t\t# Where. Required.\n"
		   "\t\t# url = \"\";\n"
		   "\n"
		   "\t\t# Key. A secret: \"file:/path\", \"env:NAME\" or "
		   "\"cred:NAME\".\n"
		   "\t\t# key = \"env:NAME\";\n"
		   "\t};\n"
		   "};\n";
	static const struct as_field two[] = { AS_STR(struct strict, url, NULL,
						   AS_REQUIRED, "Where."),
		AS_SECRET(struct strict, key, 0, "Key."), AS_END };
	struct conf *c = conf_new();
	struct buf b = { 0 };
	struct opts o;
	char *at;

	field_sample(two, sizeof(two[0]), "a.b", &b);
	CU_ASSERT_STRING_EQUAL(b.data, want);
	buf_reset(&b);
	field_sample(fields, sizeof(fields[0]), "s", &b);
	for (at = b.data; (at = strstr(at, "# ")) != NULL; at++)
		if (strchr(at, '=') < strchr(at, '\n'))
			at[0] = ' ';
	setenv("NAME", "value", 1);
	conf_load_text(c, "t.conf", b.data, b.len);
	CU_ASSERT_TRUE(read_opts(c, &o));
	CU_ASSERT_EQUAL(conf_problem_count(c), 0);
	CU_ASSERT_EQUAL(o.wait, 1500);
	CU_ASSERT_STRING_EQUAL(o.key, "value");
	buf_free(&b);
	conf_free(c);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "defaults", test_defaults },
		{ "values", test_values },
		{ "each problem", test_problems },
		{ "all problems", test_many },
		{ "overrides", test_set },
		{ "overrides of a wrong type", test_set_types },
		{ "peeking", test_peek },
		{ "folders and files", test_dir },
		{ "secrets", test_secrets },
		{ "required settings", test_required },
		{ "schema of a table", test_schema },
		{ "struct from JSON", test_fill },
		{ "samples", test_sample },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "conf", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};
	int result;

	MUST(mkdtemp(dir) != NULL);
	result = tap_run(suites);
	rmdir(dir);
	return result;
}
