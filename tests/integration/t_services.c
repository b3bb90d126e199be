/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/plug/serve.h"
#include "core/plug/unit.h"
#include "core/store/file.h"
#include "core/store/guest.h"
#include "tests/integration/plug_env.h"
#include "tests/integration/store_env.h"
#include "tests/integration/tls_peer.h"
#include "tests/tap.h"

/*
 * The services as a plugin meets them: whether it runs on the caller's fiber,
 * at home, on the pool or behind bytes, the same script gives the same answers.
 */

#define OPTIONS \
	" : { programs : { sh = \"/bin/sh\"; cat = \"/bin/cat\"; };" \
	"allow = [\"127.0.0.1:PORT\", \"localhost:PORT\"]; };\n"
#define CONF \
	"plugins : { toolkit_services" OPTIONS "toolkit_serviceshome" OPTIONS \
	"toolkit_servicespool" OPTIONS "toolkit_servicesno : { }; };\n"

static struct store *store;
static int port; /* of the peer */

static char *with_port(const char *text);

static const char *const places[] = { "services_play", "serviceshome_play",
	"servicespool_play", NULL };

/* ---- Binding ------------------------------------------------------- */

static SUSPENDS enum as_status
bind_db(void *arg, const char *plugin, int kind, struct json_object *texts,
    struct json_object *params, struct json_object **rows, int64_t *changed,
    struct error *err)
{
	struct guest_call call;
	enum as_status st;

	(void)arg;
	guest_call_of(&call, kind, plugin, texts, params);
	st = guest_run(store, &call, rows, changed, err);
	guest_call_clear(&call);
	return st;
}

static struct store *
bind_store(void *arg, struct loop *loop)
{
	(void)arg;
	(void)loop;
	return store;
}

static void
bind_more(struct plug_services *services, struct loop *loop)
{
	if (services == NULL) {
		store_free(store);
		store = NULL;
		return;
	}
	store = store_new(env.db, loop);
	services->db = bind_db;
	services->store = bind_store;
}

/* ---- Playing ------------------------------------------------------- */

/* What the script gives there: JSON, or "status: why". */
static SUSPENDS char *
play(struct plug_env *p, const char *tool, const char *steps)
{
	char *args = xasprintf("{\"steps\":[%s]}", steps), *text = NULL;
	struct error err = { 0 };
	enum as_status st = plug_env_tool(p, tool, args, &text, &err);

	if (st != AS_OK)
		text = xasprintf("%d: %s", (int)st, err.detail);
	error_clear(&err);
	free(args);
	return text;
}

/* At each place the same. */
static SUSPENDS void
plays(struct plug_env *p, const char *steps, const char *want)
{
	char *text;
	int i;

	for (i = 0; places[i] != NULL; i++) {
		text = play(p, places[i], steps);
		CU_ASSERT_STRING_EQUAL(text, want);
		if (strcmp(text, want) != 0)
			tap_note("%s: %s", places[i], text);
		free(text);
	}
}

static SUSPENDS void
is_forbidden(struct plug_env *p, const char *step, const char *word)
{
	char *text = play(p, "servicesno_play", step);
	char *want = xasprintf(
	    "may not use \\\"%s\\\": its .grants do not have that", word);

	CU_ASSERT_PTR_NOT_NULL(strstr(text, want));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"st\":3"));
	if (strstr(text, want) == NULL)
		tap_note("%s", text);
	free(want);
	free(text);
}

/* ---- Tables -------------------------------------------------------- */

/* What no plugin says by our functions, but a process of one can. */
static SUSPENDS void
is_no_statement(struct plug_env *p, int kind, const char *value)
{
	struct exchange x = { .plug = p->plug };
	struct msg m = { .kind = SERVE_DB, .n = kind };
	struct registry *r = registry_now(p->plug);
	struct answer a = { 0 };

	for (size_t i = 0; i < r->n_units; i++)
		if (strcmp(r->units[i]->name, "toolkit_services") == 0)
			x.unit = r->units[i];
	CU_ASSERT_PTR_NOT_NULL_FATAL(x.unit);
	MUST(json_parse(value, strlen(value), &m.value, NULL) == AS_OK);
	exchange_serve(&x, &m, &a);
	CU_ASSERT_EQUAL(a.status, AS_INVALID);
	answer_clear(&a);
	json_object_put(m.value);
}

static SUSPENDS void
body_db(struct plug_env *p)
{
	CU_ASSERT_EQUAL_FATAL(p->loaded, AS_OK);
	plays(p,
	    "{\"op\":\"migrate\",\"steps\":[\"CREATE TABLE {}t (id BIGINT "
	    "PRIMARY KEY, s TEXT, b BOOLEAN)\"]},"
	    "{\"op\":\"exec\",\"sql\":\"INSERT INTO {}t VALUES ($1, $2, $3)\","
	    "\"params\":[1,\"\\u00e4\",true]},"
	    "{\"op\":\"exec\",\"sql\":\"INSERT INTO {}t VALUES (2, $1, $2)\","
	    "\"params\":[null,false]},"
	    "{\"op\":\"query\",\"sql\":\"SELECT * FROM {}t ORDER BY id\"}",
	    "[{\"st\":0},{\"changed\":1,\"st\":0},"
	    "{\"changed\":1,\"st\":0},{\"rows\":[{\"id\":1,\"s\":\"\xc3\xa4\","
	    "\"b\":true},{\"id\":2,\"s\":null,\"b\":false}],\"st\":0}]");
	/* Now that there are rows, each place sees those of its plugin. */
	plays(p,
	    "{\"op\":\"exec\",\"sql\":\"UPDATE {}t SET s = 'x'\"},"
	    "{\"op\":\"exec\",\"sql\":\"COMMIT\"},"
	    "{\"op\":\"exec\",\"sql\":\"DELETE FROM {}t\"},"
	    "{\"op\":\"query\",\"sql\":\"SELECT 1\",\"params\":{}}",
	    "[{\"changed\":2,\"st\":0},"
	    "{\"changed\":0,\"st\":3,\"why\":\"a plugin has no such statement "
	    "in: COMMIT\"},"
	    "{\"changed\":2,\"st\":0},"
	    "{\"st\":1,\"why\":\"the parameters of a statement are an "
	    "array\"}]");
	is_forbidden(p, "{\"op\":\"query\",\"sql\":\"SELECT 1\"}", "db");
	is_no_statement(p, SERVE_DB_QUERY, "{\"texts\":[null]}");
	is_no_statement(p, SERVE_DB_EXEC, "{\"texts\":[1]}");
	is_no_statement(p, SERVE_DB_MIGRATE, "{\"texts\":[null,null]}");
	is_no_statement(p, SERVE_DB_QUERY, "{\"texts\":[]}");
}

/* What only a plugin in a process of its own can send: it did not ask us. */
static SUSPENDS void
body_db_lies(struct plug_env *p)
{
	static const char *const lies[] = { "[null]", "[1]", "[[]]", "{}",
		"\"SELECT 1\"", "[]", "[\"SELECT 1\", null]", "null" };
	struct exchange x = { .plug = p->plug,
		.unit = p->plug->plugins[0]->current };
	struct json_object *texts;
	struct msg m = { .kind = SERVE_DB };
	struct error err = { 0 };
	struct answer out;
	size_t i;

	for (i = 0; i < 2 * N_ITEMS(lies); i++) {
		texts = NULL;
		json_parse(lies[i / 2], strlen(lies[i / 2]), &texts, NULL);
		/* To migrate nothing is no lie. */
		m.n = i % 2 == 0 ? SERVE_DB_QUERY : SERVE_DB_MIGRATE;
		if (i % 2 == 1 && strcmp(lies[i / 2], "[]") == 0) {
			json_object_put(texts);
			continue;
		}
		m.value = jobj();
		jput(m.value, "texts", texts);
		memset(&out, 0, sizeof(out));
		CU_ASSERT_EQUAL(serve_db(&x, &m, &out, &err), AS_INVALID);
		CU_ASSERT_STRING_EQUAL(err.detail, "not a statement");
		error_clear(&err);
		json_object_put(m.value);
	}
}

#define C100 \
	"01234567890123456789012345678901234567890123456789012345678901234567" \
	"89" \
	"012345678901234567890123456789"
#define K C100 C100 C100 C100 C100 C100 C100 C100 C100 C100

/* ---- Files --------------------------------------------------------- */

static const struct uuid tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 1 } };
static struct uuid user, thread, run;

static void
sql(const char *text, const struct sql_arg *args, int n)
{
	struct error err = { 0 };

	if (store_db_run(env.db, text, args, n, NULL, &err) != AS_OK)
		tap_note("%s", err.detail);
	error_clear(&err);
}

/* A thread with a run, as far as files look at them. */
static void
thread_make(void)
{
	struct uuid agent = uuid_v7();
	struct sql_arg u[] = { SQL_UUID(user = uuid_v7()), SQL_UUID(tenant) };
	struct sql_arg a[] = { SQL_UUID(agent), SQL_UUID(tenant),
		SQL_UUID(user) };
	struct sql_arg t[] = { SQL_UUID(thread = uuid_v7()), SQL_UUID(tenant),
		SQL_UUID(user), SQL_UUID(agent) };
	struct sql_arg r[] = { SQL_UUID(run = uuid_v7()), SQL_UUID(tenant),
		SQL_UUID(thread), SQL_UUID(agent), SQL_UUID(user) };

	sql("INSERT INTO users (id, tenant_id, email, created_at, updated_at)"
	    " VALUES ($1, $2, CAST(now_us() AS TEXT), 1, 1)",
	    u, 2);
	sql("INSERT INTO agents (id, tenant_id, user_id, name, description,"
	    " purpose, system_prompt, memory, agent_state, toolkits,"
	    " suggested_task_prompts, suggested_job_prompts, is_public,"
	    " version, created_at, updated_at) VALUES ($1, $2, $3, 'a', '',"
	    " '', '', '{}', 'ready', '[]', '[]', '[]', FALSE, 1, 1, 1)",
	    a, 3);
	sql("INSERT INTO threads (id, tenant_id, user_id, agent_id, created_at,"
	    " updated_at) VALUES ($1, $2, $3, $4, 1, 1)",
	    t, 4);
	sql("INSERT INTO runs (id, tenant_id, thread_id, agent_id, user_id,"
	    " kind, status, root_run_id, created_at, updated_at)"
	    " VALUES ($1, $2, $3, $4, $5, 'interactive', 'running', $1, 1, 1)",
	    r, 5);
}

/* The engine has written what became of that call. */
static void
call_is(const char *key, const char *state)
{
	static int step;
	struct sql_arg args[] = { SQL_UUID(uuid_v7()), SQL_UUID(tenant),
		SQL_UUID(run), SQL_INT(++step), SQL_TEXT(key),
		SQL_BYTES("x", 1), SQL_TEXT(state) };

	sql("INSERT INTO tool_invocations (id, tenant_id, run_id, step,"
	    " ordinal, idem_key, tool, tool_call_id, effect, args_hash, args,"
	    " state, fence, created_at) VALUES ($1, $2, $3, $4, 0, $5,"
	    " 'services_play', 'call_1', 'P', $6, '{}', $7, 1, 1)",
	    args, 7);
}

static SUSPENDS struct json_object *
files_seen(struct uuid who)
{
	struct file_scope scope = { .tenant_id = tenant,
		.thread_id = thread,
		.user_id = who };
	struct json_object *list = NULL;
	struct uuid none = { { 0 } };

	CU_ASSERT_EQUAL(file_list(store, &scope, none, 50, &list, NULL), AS_OK);
	return list;
}

static SUSPENDS void
sees(struct uuid who, size_t want)
{
	struct json_object *list = files_seen(who);

	CU_ASSERT_EQUAL(json_object_array_length(list), want);
	json_object_put(list);
}

static int64_t
count(const char *text)
{
	struct rows *rows = NULL;
	int64_t n;

	MUST(store_db_run(env.db, text, NULL, 0, &rows, NULL) == AS_OK);
	n = rows_int(rows, 0, 0);
	rows_free(rows);
	return n;
}

/* What one call writes, the next one reads, once its result is there. */
static SUSPENDS void
files_of_a_call(struct plug_env *p, const char *place)
{
	char *text, *key = xasprintf("%s-1", place), *steps;
	struct json_object *list;
	const char *id;

	p->who.idem_key = key;
	text = play(p, place,
	    "{\"op\":\"write\",\"name\":\"a.txt\",\"type\":\"text/plain\","
	    "\"text\":\"hello \"},"
	    "{\"op\":\"write\",\"name\":\"a.txt\",\"text\":\"world\"},"
	    "{\"op\":\"stat\",\"id\":\"@a.txt\"},"
	    "{\"op\":\"read\",\"id\":\"@a.txt\",\"offset\":6},"
	    "{\"op\":\"write\",\"name\":\"big\",\"text\":\"" K "\","
	    "\"times\":300},"
	    "{\"op\":\"read\",\"id\":\"@big\",\"offset\":5},"
	    "{\"op\":\"write\",\"name\":\"../x\",\"text\":\"x\"}");
	CU_ASSERT_STRING_EQUAL(text,
	    "[{\"len\":6,\"st\":0},{\"len\":11,\"st\":0},"
	    "{\"name\":\"a.txt\",\"type\":\"text/plain\",\"len\":11,"
	    "\"st\":0},{\"len\":5,\"head\":\"world\",\"st\":0},"
	    "{\"len\":300000,\"st\":0},"
	    "{\"len\":299995,\"head\":\"5678901234567890\",\"st\":0},"
	    "{\"st\":1,\"why\":\"the name of a file is 1 to 200 bytes of "
	    "UTF-8 without slashes and control characters\"}]");
	if (strstr(text, "299995") == NULL)
		tap_note("%s", text);
	free(text);
	sees(user, 0);
	call_is(key, "succeeded");
	sees(user, 2);
	sees(uuid_v7(), 0);
	list = files_seen(user);
	id = jget_str(json_object_array_get_idx(list, 1), "id", "");
	CU_ASSERT_STRING_EQUAL(jget_str(json_object_array_get_idx(list, 1),
				   "sha256", ""),
	    "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
	steps = xasprintf("{\"op\":\"read\",\"id\":\"%s\"},"
			  "{\"op\":\"stat\",\"id\":\"%s\"},"
			  "{\"op\":\"stat\",\"id\":\"nothing\"}",
	    id, id);
	p->who.idem_key = "another";
	text = play(p, place, steps);
	CU_ASSERT_PTR_NOT_NULL(strstr(text,
	    "[{\"len\":11,\"head\":\"hello world\",\"st\":0},"
	    "{\"name\":\"a.txt\",\"type\":\"text/plain\",\"len\":11,"
	    "\"st\":0},{\"st\":4,"));
	free(text);
	/* Of another thread nothing can be seen. */
	p->who.thread_id = uuid_v7();
	text = play(p, place, steps);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "[{\"st\":4,"));
	CU_ASSERT_PTR_NULL(strstr(text, "a.txt"));
	free(text);
	p->who.thread_id = thread;
	json_object_put(list);
	free(steps);
	free(key);
}

/* What fails leaves nothing; what is made again makes way for itself. */
static SUSPENDS void
files_of_failures(struct plug_env *p, const char *place)
{
	char *text, *key = xasprintf("%s-2", place);
	int64_t drafts = count("SELECT count(*) FROM file_drafts"), pieces;

	p->who.idem_key = key;
	text = play(p, place,
	    "{\"op\":\"write\",\"name\":\"b\",\"text\":\"" K "\","
	    "\"times\":300},{\"op\":\"fail\",\"must\":true}");
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "asked to fail"));
	free(text);
	call_is(key, "succeeded");
	sees(user, 2);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM file_drafts"), drafts + 1);
	for (int i = 0; i < 2; i++) {
		free(play(p, place,
		    "{\"op\":\"write\",\"name\":\"c\",\"text\":\"c\"}"));
		sees(user, 3);
	}
	pieces = count("SELECT count(*) FROM file_pieces");
	CU_ASSERT_EQUAL(file_sweep(store, -1000000, NULL), AS_OK);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM file_drafts"), 0);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM file_pieces"), pieces - 1);
	free(key);
}

#define LONG "{\"op\":\"query\",\"sql\":\"SELECT '" K "' AS k\"}"

/* A result that is too long is a file; if there is no room, it stays long. */
static SUSPENDS void
files_of_long_results(struct plug_env *p, const char *place)
{
	char *text, *key = xasprintf("%s-3", place);
	struct json_object *list, *f;

	p->who.idem_key = key;
	p->who.reply_max = 800;
	text = play(p, place,
	    LONG ",{\"op\":\"write\",\"name\":\"d\",\"text\":\"d\"}");
	CU_ASSERT(strlen(text) < 900);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "play.json of this thread, "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\\\"len\\\":1,"));
	free(text);
	call_is(key, "succeeded");
	list = files_seen(user);
	CU_ASSERT_EQUAL(json_object_array_length(list), 5);
	f = json_object_array_get_idx(list, 0);
	CU_ASSERT_STRING_EQUAL(jget_str(f, "media_type", ""),
	    "application/json");
	CU_ASSERT(jget_int(f, "length", 0) > 1000);
	json_object_put(list);
	p->who.idem_key = "full";
	p->plug->services.files_max_user = 1;
	text = play(p, place, LONG);
	CU_ASSERT(strlen(text) > 1000);
	free(text);
	p->plug->services.files_max_user = 0;
	p->who.reply_max = 0;
	free(key);
}

static SUSPENDS void
body_files(struct plug_env *p)
{
	int i;

	CU_ASSERT_EQUAL_FATAL(p->loaded, AS_OK);
	p->who.tenant_id = tenant;
	for (i = 0; places[i] != NULL; i++) {
		thread_make();
		p->who.thread_id = thread;
		p->who.run_id = run;
		files_of_a_call(p, places[i]);
		files_of_failures(p, places[i]);
		files_of_long_results(p, places[i]);
		sql("DELETE FROM tool_invocations", NULL, 0);
		sql("DELETE FROM files", NULL, 0);
		sql("DELETE FROM file_pieces", NULL, 0);
	}
	p->who.idem_key = NULL;
	is_forbidden(p, "{\"op\":\"stat\",\"id\":\"x\"}", "files");
	memset(&p->who.thread_id, 0, sizeof(p->who.thread_id));
	plays(p, "{\"op\":\"stat\",\"id\":\"x\"}",
	    "[{\"st\":1,\"why\":\"this call belongs to no thread, so it has "
	    "no files\"}]");
}

/*
 * More than a megabyte of requests of one call, which then says something: what
 * is asked for is no part of what waits to be heard.
 */
static SUSPENDS void
body_files_far(struct plug_env *p)
{
	char *text;

	CU_ASSERT_EQUAL_FATAL(p->loaded, AS_OK);
	p->who.tenant_id = tenant;
	thread_make();
	p->who.thread_id = thread;
	p->who.run_id = run;
	p->who.idem_key = "far";
	text = play(p, "services_play",
	    "{\"op\":\"write\",\"name\":\"a\",\"text\":\"" K
	    "\",\"times\":1600}");
	CU_ASSERT_STRING_EQUAL(text, "[{\"len\":1600000,\"st\":0}]");
	free(text);
	p->who.idem_key = NULL;
}

/* ---- Programs ------------------------------------------------------ */

#define SH(script) "{\"op\":\"run\",\"argv\":[\"sh\",\"-c\",\"" script "\"]"
#define HEAR ",{\"op\":\"hear\"}"
#define WAIT ",{\"op\":\"wait\"}"

/* In process, for what names the plugin. */
static SUSPENDS void
says(struct plug_env *p, const char *steps, const char *part)
{
	char *text = play(p, places[0], steps);

	CU_ASSERT_PTR_NOT_NULL(strstr(text, part));
	if (strstr(text, part) == NULL)
		tap_note("%s", text);
	free(text);
}

struct killed {
	struct plug_env *p;
	const char *place;
	char *steps;
	char *said;
};

static SUSPENDS void
killed_fiber(void *arg)
{
	struct killed *k = arg;

	k->said = play(k->p, k->place, k->steps);
}

/* Gone, or dead and not reaped by whoever took it over. */
static bool
is_dead(long pid)
{
	char *path = xasprintf("/proc/%ld/stat", pid);
	FILE *f = fopen(path, "r");
	char state = 'Z';

	if (f != NULL && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'Z';
	if (f != NULL)
		fclose(f);
	free(path);
	return state == 'Z' || state == 'X';
}

/* A call that is cancelled leaves no process and no folder. */
static SUSPENDS void
programs_end(struct plug_env *p, const char *place)
{
	char *dir = env_temp_dir(), *file = xasprintf("%s/told", dir);
	struct killed k = { .p = p, .place = place };
	char folder[200] = "";
	long pids[2] = { 0, 0 };
	struct fiber_ref f;
	FILE *told;
	int n = 0;

	k.steps = xasprintf(SH("sleep 1000 & echo $$ $! $PWD >$F.new; "
			       "mv $F.new $F; wait") ",\"env\":\"F=%s\"}" HEAR,
	    file);
	f = fiber_spawn(p->loop, "killed", killed_fiber, &k);
	while (n != 3) {
		fiber_sleep(5);
		if ((told = fopen(file, "r")) == NULL)
			continue;
		n = fscanf(told, "%ld %ld %199s", &pids[0], &pids[1], folder);
		fclose(told);
	}
	CU_ASSERT_EQUAL(access(folder, F_OK), 0);
	CU_ASSERT_FALSE(is_dead(pids[0]) || is_dead(pids[1]));
	fiber_cancel(f);
	fiber_join(f, 0);
	while (
	    !is_dead(pids[0]) || !is_dead(pids[1]) || access(folder, F_OK) == 0)
		fiber_sleep(5);
	free(k.steps);
	free(k.said);
	free(file);
	env_remove(dir);
}

static SUSPENDS void
body_programs(struct plug_env *p)
{
	CU_ASSERT_EQUAL_FATAL(p->loaded, AS_OK);
	plays(p, SH("echo out; echo err >&2; exit 3") "}" HEAR WAIT,
	    "[{\"st\":0},{\"len\":4,\"out\":\"out\\n\",\"err\":\"err\\n\","
	    "\"st\":16},{\"code\":3,\"st\":0}]");
	/* Nothing of ours: no variables, no descriptors, an empty folder. */
	plays(p,
	    SH("echo $FOO $HOME $PATHX; echo *; ls /proc/self/fd | wc -l; "
	       "ulimit -c; umask") ",\"env\":\"FOO=bar\"}" HEAR WAIT,
	    "[{\"st\":0},{\"len\":15,\"out\":\"bar\\n*\\n4\\n0\\n0077\\n\","
	    "\"err\":\"\",\"st\":16},{\"code\":0,\"st\":0}]");
	/* More than a pipe holds, both ways at once. */
	plays(p,
	    "{\"op\":\"run\",\"argv\":[\"cat\"],\"input\":\"first\"},"
	    "{\"op\":\"feed\",\"text\":\"" K "\",\"times\":400},"
	    "{\"op\":\"feed\"}" HEAR WAIT,
	    "[{\"st\":0},{\"st\":0},{\"st\":0},{\"len\":400005,"
	    "\"out\":\"first01234567890123456789012345678901234567890123456789"
	    "012345678901234567890123\",\"err\":\"\",\"st\":16},"
	    "{\"code\":0,\"st\":0}]");
	plays(p, SH("kill -TERM $$") "}" WAIT,
	    "[{\"st\":0},{\"code\":-15,\"st\":0}]");
	plays(p, SH("while :; do :; done") ",\"cpu_ms\":1}" WAIT,
	    "[{\"st\":0},{\"code\":-9,\"st\":0}]");
	plays(p,
	    SH("exec 0<&-; echo x; sleep 60") "},{\"op\":\"feed\",\"text\":"
					      "\"" K "\",\"times\":100}",
	    "[{\"st\":0},{\"st\":5,\"why\":\"the program does not read any "
	    "more\"}]");
	says(p, "{\"op\":\"run\",\"argv\":[\"none\"]}",
	    "set plugins.toolkit_services.programs.none to its path");
	says(p, "{\"op\":\"run\",\"argv\":[\"/bin/sh\"]}",
	    "may not use \\\"process:/bin/sh\\\": its .grants do not have "
	    "that");
	says(p, "{\"op\":\"run\",\"argv\":[]}", "no name of a program");
	says(p, "{\"op\":\"wait\"}", "no program");
	for (int i = 0; places[i] != NULL; i++)
		programs_end(p, places[i]);
	is_forbidden(p, "{\"op\":\"run\",\"argv\":[\"sh\"]}", "process:sh");
}

/* ---- Streams ------------------------------------------------------- */

#define OPEN(host, more) \
	"{\"op\":\"connect\",\"host\":\"" host "\",\"port\":PORT" more "}"
#define SAY(text) ",{\"op\":\"say\",\"text\":\"" text "\"}"
#define LISTEN(n) ",{\"op\":\"listen\",\"n\":" n "}"
#define HEARD(n, text) ",{\"len\":" n ",\"head\":\"" text "\",\"st\":0}"
#define DONE ",{\"st\":0}"
#define ENDED ",{\"len\":0,\"head\":\"\",\"st\":16}"

static SUSPENDS void
plays_there(struct plug_env *p, const char *steps, const char *want)
{
	char *with = with_port(steps);

	plays(p, with, want);
	free(with);
}

static SUSPENDS void
says_there(struct plug_env *p, const char *steps, const char *part)
{
	char *with = with_port(steps);

	says(p, with, part);
	free(with);
}

static SUSPENDS void
body_streams(struct plug_env *p)
{
	CU_ASSERT_EQUAL_FATAL(p->loaded, AS_OK);
	plays_there(p,
	    OPEN("127.0.0.1", "") SAY("hello") LISTEN("5") SAY("BYE\\n")
		LISTEN("1"),
	    "[{\"st\":0}" DONE HEARD("5", "hello") DONE ENDED "]");
	plays_there(p,
	    OPEN("localhost", ",\"tls\":true") SAY("secret") LISTEN("6")
		SAY("BYE\\n") LISTEN("1"),
	    "[{\"st\":0}" DONE HEARD("6", "secret") DONE ENDED "]");
	plays_there(p,
	    OPEN("127.0.0.1", ",\"name\":\"localhost\"") SAY("STARTTLS\\n")
		LISTEN("3") ",{\"op\":\"tls\"}" SAY("secret") LISTEN("6"),
	    "[{\"st\":0}" DONE HEARD("3", "go\\n")
		DONE DONE HEARD("6", "secret") "]");
	/* A certificate of another name, and one that nobody vouches for. */
	says_there(p, OPEN("127.0.0.1", ",\"tls\":true"),
	    "IP address mismatch");
	says_there(p,
	    OPEN("localhost", ",\"tls\":true,\"name\":\"other.test\""),
	    "hostname mismatch");
	says_there(p, OPEN("localhost", ",\"tls\":true,\"name\":\"evil.test\""),
	    "self-signed");
	says_there(p,
	    OPEN("127.0.0.1", ",\"idle_ms\":50") SAY("HANG\\n") LISTEN("1"),
	    "says nothing for 50 ms");
	/* What nobody has allowed. */
	says_there(p, OPEN("example.com", ""),
	    "may not use \\\"net:example.com\\\": its .grants do not have "
	    "that");
	says(p, "{\"op\":\"connect\",\"host\":\"127.0.0.1\",\"port\":1}",
	    "not a public address; an admin may add it to "
	    "plugins.toolkit_services.allow");
	says(p, "{\"op\":\"connect\",\"host\":\"127.0.0.1\",\"port\":0}",
	    "a port from 1");
	says(p, "{\"op\":\"listen\"}", "no stream");
	is_forbidden(p,
	    "{\"op\":\"connect\",\"host\":\"localhost\",\"port\":1}",
	    "net:localhost");
}

/* ---- Suites -------------------------------------------------------- */

/* A text with the peer's port in each place of PORT; the caller frees it. */
static char *
with_port(const char *text)
{
	struct buf b = { 0 };
	const char *at;

	for (; (at = strstr(text, "PORT")) != NULL; text = at + 4)
		buf_printf(&b, "%.*s%d", (int)(at - text), text, port);
	buf_add_str(&b, text);
	return buf_take(&b);
}

static void
run_everywhere(void (*body)(struct plug_env *p))
{
	static const unsigned flags[] = { 0, ENV_LOOPBACK, ENV_HOME_ELSEWHERE };
	char *conf;

	if (!env_ready())
		return;
	conf = with_port(CONF);
	plug_env_more = bind_more;
	for (size_t i = 0; i < N_ITEMS(flags); i++)
		plug_env_run(conf, flags[i], body);
	plug_env_more = NULL;
	free(conf);
}

static void
test_db(void)
{
	run_everywhere(body_db);
	run_everywhere(body_db_lies);
}

static void
test_files(void)
{
	run_everywhere(body_files);
}

static void
test_files_far(void)
{
	char *conf;

	if (!env_ready())
		return;
	conf = with_port(CONF);
	plug_env_more = bind_more;
	plug_env_run(conf, ENV_ISOLATED, body_files_far);
	plug_env_more = NULL;
	free(conf);
}

static void
test_programs(void)
{
	run_everywhere(body_programs);
}

static void
test_streams(void)
{
	run_everywhere(body_streams);
}

static void
body_conf(struct plug_env *p)
{
	CU_ASSERT_EQUAL(p->loaded, AS_INVALID);
	CU_ASSERT_PTR_NOT_NULL(strstr(plug_env_problem(p, 0),
	    "programs.sh: expected an absolute path, got 'bin/sh'"));
	CU_ASSERT_PTR_NOT_NULL(strstr(plug_env_problem(p, 1),
	    "unknown setting; did you mean 'cat'?"));
	CU_ASSERT_EQUAL(conf_problem_count(p->conf), 2);
}

static void
test_conf(void)
{
	plug_env_run("plugins : {\n"
		     "toolkit_services : { programs : { sh = \"bin/sh\"; }; "
		     "};\n"
		     "toolkit_serviceshome : {\n"
		     "programs : { cats = \"/bin/cat\"; }; };\n"
		     "};\n",
	    0, body_conf);
}

static CU_TestInfo tests[] = {
	{ "db", test_db },
	{ "files", test_files },
	{ "files of a process", test_files_far },
	{ "programs", test_programs },
	{ "streams", test_streams },
	{ "conf", test_conf },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	/* Once: a process reads its authorities' certificates once. */
	char *dir = env_temp_dir();
	int rc;

	signal(SIGPIPE, SIG_IGN);
	port = tls_peer_start(dir);
	rc = env_main("services", tests, env_close);
	tls_peer_stop();
	env_remove(dir);
	return rc;
}
