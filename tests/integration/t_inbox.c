/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/inbox/changes.h"
#include "core/inbox/feed.h"
#include "core/inbox/respond.h"
#include "core/inbox/watch.h"
#include "core/run/item_bell.h"
#include "tests/integration/engine_env.h"

/*
 * The inbox over items that a test has written itself: notes, what operators
 * decide, the audit, and the numbers of the log of changes.
 */

#define N_TURNS 1
static const struct fake_turn turns[] = { { .text = "hello" } };

static struct uuid other; /* a colleague */

static struct uuid
user_new(void)
{
	struct uuid id = uuid_v7();
	char text[UUID_TEXT];

	uuid_format(id, text);
	bed_sql(arena_printf(bed.arena,
		    "INSERT INTO users (id, tenant_id, email, created_at,"
		    " updated_at) SELECT $1, $3, '%s@x', 1, 1"
		    " WHERE $2 IS NOT NULL",
		    text),
	    id, id);
	return id;
}

/* A run that has ended, of bed.ctx.who. */
static SUSPENDS void
begin(void)
{
	other = user_new();
	MUST(bed_send("hi") == AS_OK);
	bed_until("succeeded");
}

static SUSPENDS struct uuid
item_new(const char *kind, const char *request)
{
	struct uuid id = uuid_v7();

	bed_sql(arena_printf(bed.arena,
		    "INSERT INTO inbox_items (id, tenant_id, user_id, agent_id,"
		    " thread_id, run_id, interrupt_id, kind, title,"
		    " action_request, config, created_at, updated_at)"
		    " SELECT $1, $3, user_id, agent_id, thread_id, id, $1,"
		    " '%s', 't', %s, '{\"allow_accept\":true}', now_us(),"
		    " now_us() FROM runs WHERE id = $2",
		    kind, request),
	    id, bed.run_id);
	return id;
}

static SUSPENDS const char *
text_of(const char *sql, struct uuid id)
{
	struct sql_arg args[] = { SQL_UUID(id) };
	struct rows *r = NULL;
	const char *s = "";

	MUST(store_db_run(env.db, sql, args, 1, &r, NULL) == AS_OK);
	if (rows_count(r) > 0 && !rows_is_null(r, 0, 0))
		s = arena_strdup(bed.arena, rows_text(r, 0, 0));
	rows_free(r);
	return s;
}

static SUSPENDS enum as_status
answer(struct uuid id, const char *body)
{
	struct inbox_reply reply = { .item_id = id };

	MUST(json_parse(body, strlen(body), &reply.body, NULL) == AS_OK);
	inbox_respond(&bed.ctx, bed.world, &reply, 1);
	error_move(&bed.err, &reply.err);
	json_object_put(reply.body);
	inbox_reply_clear(&reply);
	return reply.st;
}

/* ---- Notes --------------------------------------------------------- */

static void
notes(void)
{
	struct inbox_counts counts;
	struct uuid id;

	begin();
	id = item_new("report", "NULL");
	MUST(inbox_count(&bed.ctx, &counts, &bed.err) == AS_OK);
	CU_ASSERT_EQUAL(counts.pending, 0);
	CU_ASSERT_EQUAL(counts.unread, 1);
	CU_ASSERT_EQUAL(answer(id, "{\"type\":\"accept\"}"), AS_INVALID);
	CU_ASSERT_EQUAL(answer(id, "{\"type\":\"response\",\"args\":\"x\"}"),
	    AS_INVALID);
	CU_ASSERT_EQUAL(inbox_mark_read(&bed.ctx, id, &bed.err), AS_OK);
	CU_ASSERT_STRING_EQUAL(text_of("SELECT status FROM inbox_items WHERE "
				       "id = $1"
				       " AND read_at IS NOT NULL",
				   id),
	    "pending");
	CU_ASSERT_EQUAL(answer(id, "{\"type\":\"ignore\"}"), AS_OK);
	CU_ASSERT_EQUAL(answer(id, "[{\"type\":\"ignore\",\"args\":null}]"),
	    AS_OK);
	CU_ASSERT_EQUAL(answer(id, "{\"type\":\"accept\"}"), AS_CONFLICT);
	CU_ASSERT_STRING_EQUAL(
	    text_of("SELECT status FROM inbox_items WHERE id = $1", id),
	    "answered");
}

static void
test_notes(void)
{
	bed_run(notes, turns, N_TURNS);
}

/* ---- Who may ------------------------------------------------------- */

static SUSPENDS void
is_whose(const char *kind, enum as_status owners)
{
	struct uuid id = item_new(kind, "NULL"), me = bed.ctx.who.user_id;
	struct json_object *item = NULL;

	CU_ASSERT_EQUAL(inbox_get(&bed.ctx, id, &item, &bed.err), AS_OK);
	json_object_put(item);
	CU_ASSERT_EQUAL(answer(id, "{\"outcome\":\"no such word\"}"), owners);
	bed.ctx.who.user_id = other;
	CU_ASSERT_EQUAL(answer(id, "{\"outcome\":\"no such word\"}"),
	    AS_NOTFOUND);
	bed.ctx.who.role = ROLE_ADMIN;
	CU_ASSERT_EQUAL(answer(id, "{\"outcome\":\"no such word\"}"),
	    AS_INVALID);
	bed.ctx.who.role = ROLE_MEMBER;
	bed.ctx.who.user_id = me;
	CU_ASSERT_STRING_EQUAL(
	    text_of("SELECT status FROM inbox_items WHERE id = $1", id),
	    "pending");
}

/* Seen is not allowed: what only an admin can know is his to say. */
static void
decisions(void)
{
	begin();
	is_whose("outcome", AS_FORBIDDEN);
	is_whose("dead_letter", AS_FORBIDDEN);
	is_whose("error", AS_INVALID);
	bed.ctx.who.tenant_id.b[0] ^= 1; /* an admin of elsewhere */
	bed.ctx.who.role = ROLE_ADMIN;
	CU_ASSERT_EQUAL(answer(item_new("error", "NULL"),
			    "{\"outcome\":\"cancel\"}"),
	    AS_NOTFOUND);
	bed.ctx.who.tenant_id.b[0] ^= 1;
	bed.ctx.who.role = ROLE_MEMBER;
}

static void
test_decisions(void)
{
	bed_run(decisions, turns, N_TURNS);
}

/* ---- In time ------------------------------------------------------- */

/* It is over at its time, whether or not somebody has seen to that yet. */
static void
in_time(void)
{
	struct uuid id;

	begin();
	id = item_new("question", "NULL");
	bed_sql("UPDATE inbox_items SET expires_at = 1, on_expire = 'reject',"
		" config = '{\"allow_ignore\":true}' WHERE id = $1"
		" AND tenant_id = $3 AND $2 IS NOT NULL",
	    id, id);
	CU_ASSERT_EQUAL(answer(id, "{\"type\":\"ignore\"}"), AS_CONFLICT);
	CU_ASSERT_EQUAL(bed.err.code, ERR_EXPIRED);
	bed_sql("UPDATE inbox_items SET on_expire = 'escalate' WHERE id = $1"
		" AND tenant_id = $3 AND $2 IS NOT NULL",
	    id, id);
	/* Now it is the engine that says no: the run has ended. */
	CU_ASSERT_EQUAL(answer(id, "{\"type\":\"ignore\"}"), AS_CONFLICT);
	CU_ASSERT_EQUAL(bed.err.code, ERR_CONFLICT);
	CU_ASSERT_STRING_EQUAL(bed.err.detail, "the run is succeeded");
	CU_ASSERT_STRING_EQUAL(
	    text_of("SELECT status FROM inbox_items WHERE id = $1", id),
	    "pending");
}

static void
test_in_time(void)
{
	bed_run(in_time, turns, N_TURNS);
}

/* ---- A run and its subagents --------------------------------------- */

static SUSPENDS enum as_status
run_answer(const char *body)
{
	struct json_object *v = NULL, *items = NULL;
	enum as_status st;

	MUST(json_parse(body, strlen(body), &v, NULL) == AS_OK);
	error_clear(&bed.err);
	st = inbox_respond_run(&bed.ctx, bed.world, bed.run_id, v, &items,
	    &bed.err);
	json_object_put(v);
	json_object_put(items);
	return st;
}

/* How many are open is said before anything is recorded. */
static void
subagents(void)
{
	struct uuid root, mine;

	begin();
	root = bed.run_id;
	CU_ASSERT_EQUAL(run_answer("{\"type\":\"ignore\"}"), AS_CONFLICT);
	mine = item_new("question", "NULL");
	MUST(bed_send("again") == AS_OK);
	bed_until("succeeded");
	bed_sql("UPDATE runs SET root_run_id = $2 WHERE id = $1"
		" AND tenant_id = $3",
	    bed.run_id, root);
	(void)item_new("question", "NULL");
	bed.run_id = root;
	CU_ASSERT_EQUAL(run_answer("{\"type\":\"response\",\"args\":\"x\"}"),
	    AS_INVALID);
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(json_text(jget(bed.err.extra, "details")), "2 requests"));
	CU_ASSERT_EQUAL(run_answer("{\"decisions\":[{\"type\":\"reject\"}]}"),
	    AS_INVALID);
	CU_ASSERT_EQUAL(run_answer("{\"outcome\":\"retry\"}"), AS_INVALID);
	/* Whoever sees one of them does not see all. */
	bed_sql("UPDATE inbox_items SET assignee = $2 WHERE id = $1"
		" AND tenant_id = $3",
	    mine, other);
	bed.ctx.who.user_id = other;
	CU_ASSERT_EQUAL(run_answer("{\"type\":\"ignore\"}"), AS_FORBIDDEN);
	bed.ctx.who.user_id = user_new();
	CU_ASSERT_EQUAL(run_answer("{\"type\":\"ignore\"}"), AS_NOTFOUND);
}

static void
test_subagents(void)
{
	const struct fake_turn two[] = { { .text = "one" }, { .text = "two" } };

	bed_run(subagents, two, 2);
}

/* ---- The audit ----------------------------------------------------- */

static void
audit(void)
{
	struct json_object *item = NULL;
	struct uuid id, dead;
	char me[UUID_TEXT], who[UUID_TEXT];

	begin();
	id = item_new("notification",
	    "'{\"action\":\"t\",\"args\":{\"x\":1}}'");
	CU_ASSERT_EQUAL(inbox_assign(&bed.ctx, id, other, &item, &bed.err),
	    AS_OK);
	json_object_put(item);
	uuid_format(other, who);
	CU_ASSERT_STRING_EQUAL(text_of("SELECT detail FROM audit_log WHERE "
				       "object_id = $1"
				       " AND action = 'inbox_assign'",
				   id),
	    arena_printf(bed.arena, "{\"before\":null,\"after\":\"%s\"}", who));
	CU_ASSERT_EQUAL(answer(id, "{\"type\":\"ignore\"}"), AS_OK);
	CU_ASSERT_STRING_EQUAL(text_of("SELECT detail FROM audit_log WHERE "
				       "object_id = $1"
				       " AND action = 'inbox_ignore'",
				   id),
	    "{\"status\":\"answered\",\"kind\":\"notification\",\"before\":"
	    "{\"action\":\"t\",\"args\":{\"x\":1}},\"after\":null}");
	uuid_format(bed.ctx.who.user_id, me);
	CU_ASSERT_EQUAL(bed_count(arena_printf(bed.arena,
			    "SELECT count(*) FROM audit_log a JOIN inbox_items "
			    "i"
			    " ON i.id = a.object_id AND i.responded_by ="
			    " a.user_id AND i.responded_at = a.created_at"
			    " WHERE i.run_id = $1")),
	    1);
	/* Operators too. */
	dead = item_new("dead_letter", "NULL");
	bed.ctx.who.role = ROLE_ADMIN;
	CU_ASSERT_EQUAL(answer(dead, "{\"outcome\":\"dismiss\"}"), AS_OK);
	bed.ctx.who.role = ROLE_MEMBER;
	CU_ASSERT_STRING_EQUAL(
	    text_of("SELECT action FROM audit_log WHERE object_id = $1", dead),
	    "inbox_dismiss");
	CU_ASSERT_EQUAL(inbox_assign(&bed.ctx, id, other, &item, &bed.err),
	    AS_CONFLICT);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM audit_log a JOIN"
				  " inbox_items i ON i.id = a.object_id"
				  " WHERE i.run_id = $1"),
	    3);
}

static void
test_audit(void)
{
	bed_run(audit, turns, N_TURNS);
}

/* ---- The log of changes -------------------------------------------- */

#define N_WRITERS 12
#define N_EACH 20

struct following {
	struct store *stores[2];
	int n_writing, n_seen;
};

static SUSPENDS void
write_many(void *arg)
{
	struct following *f = arg;
	struct error err = { 0 };
	struct changes_head head;
	struct uuid id;

	fiber_deadline_set(loop_now_ms(env.loop) + 60000);
	for (int i = 0; i < N_EACH; i++) {
		id = item_new("notification", "NULL");
		CU_ASSERT_EQUAL(inbox_mark_read(&bed.ctx, id, &err), AS_OK);
		/* Anybody may give numbers, at any moment. */
		CU_ASSERT_EQUAL(changes_look(f->stores[i % 2], &head, &err),
		    AS_OK);
	}
	f->n_writing--;
}

/* Reads on from what it has seen; every item is created, then read, once. */
static SUSPENDS void
follow(struct following *f)
{
	struct inbox_counts counts = { 0 };
	struct json_object *frames, *o;
	struct changes_head head;
	int64_t after = 0, last, seq;
	bool over;
	size_t n;

	do {
		over = f->n_writing == 0;
		MUST(changes_look(env.store, &head, &bed.err) == AS_OK);
		over = over && !head.unnumbered;
		MUST(changes_read(&bed.ctx, after, 7, &counts, &frames, &last,
			 &bed.err) == AS_OK);
		n = json_object_array_length(frames);
		for (size_t i = 0; i < n; i++) {
			o = json_object_array_get_idx(frames, i);
			seq = jget_int(o, "seq", 0);
			CU_ASSERT_TRUE(seq > after);
			after = seq;
			f->n_seen++;
		}
		json_object_put(frames);
	} while ((!over || n > 0) && fiber_yield() == FIBER_WOKEN);
}

static void
many(void)
{
	struct following f = { .n_writing = N_WRITERS };

	begin();
	f.stores[0] = env.store;
	f.stores[1] = store_new(env.db, env.loop);
	for (int i = 0; i < N_WRITERS; i++)
		MUST(fiber_spawn(env.loop, "writer", write_many, &f).f != NULL);
	follow(&f);
	CU_ASSERT_EQUAL(f.n_seen, 2 * N_WRITERS * N_EACH);
	CU_ASSERT_EQUAL(bed_count("SELECT count(DISTINCT c.seq) FROM"
				  " inbox_changes c JOIN inbox_items i ON"
				  " i.id = c.item_id WHERE i.run_id = $1"),
	    2 * N_WRITERS * N_EACH);
	store_free(f.stores[1]);
}

static void
test_many(void)
{
	bed_run(many, turns, N_TURNS);
}

/*
 * A row that was written first and is committed last gets the last number, so
 * whoever has read the others still sees it.
 */
static void
late(void)
{
	struct changes_head head = { 0 };
	int64_t before;

	if (env.dialect != STORE_POSTGRES)
		return;
	begin();
	(void)item_new("notification", "NULL");
	MUST(changes_look(env.store, &head, &bed.err) == AS_OK);
	before = head.seq;
	bed_sql("INSERT INTO inbox_changes (id, item_id, tenant_id, user_id,"
		" of_owner, change, created_at) OVERRIDING SYSTEM VALUE"
		" VALUES (-1, $1, $3, $2, 1, 'created', 1)",
	    bed.run_id, bed.ctx.who.user_id);
	MUST(changes_look(env.store, &head, &bed.err) == AS_OK);
	CU_ASSERT_EQUAL(head.seq, before + 1);
	CU_ASSERT_EQUAL(bed_count("SELECT seq FROM inbox_changes WHERE id = -1"
				  " AND item_id = $1"),
	    before + 1);
	bed_sql("DELETE FROM inbox_changes WHERE id = -1 AND item_id = $1"
		" AND $2 IS NOT NULL AND tenant_id = $3",
	    bed.run_id, bed.run_id);
}

static void
test_late(void)
{
	bed_run(late, turns, N_TURNS);
}

/* ---- Watching ------------------------------------------------------ */

struct listener {
	struct watcher w;
	int n;
};

static void
on_news(struct watcher *w)
{
	container_of(w, struct listener, w)->n++;
}

static SUSPENDS void
until_news(const struct listener *l, int n)
{
	while (l->n < n && fiber_yield() == FIBER_WOKEN)
		continue;
}

static void
watching(void)
{
	struct inbox_watch *w;
	struct listener mine = { 0 }, theirs = { 0 }, admins = { 0 };
	struct uuid id;
	int n;

	begin();
	w = inbox_watch_new(env.loop, env.store, bed.bus);
	mine.w.who = theirs.w.who = admins.w.who = bed.ctx.who;
	theirs.w.who.user_id = other;
	admins.w.who.user_id = user_new();
	admins.w.who.role = ROLE_ADMIN;
	mine.w.news = theirs.w.news = admins.w.news = on_news;
	inbox_watch_join(w, &mine.w);
	inbox_watch_join(w, &theirs.w);
	inbox_watch_join(w, &admins.w);
	/* At first nobody knows what he has missed. */
	until_news(&theirs, 1);
	n = theirs.n;
	id = item_new("notification", "NULL");
	item_bell_ring(bed.bus);
	until_news(&mine, 2);
	until_news(&admins, 2);
	CU_ASSERT_EQUAL(theirs.n, n);
	/* Nobody rings for what another process does. */
	bed_sql("UPDATE inbox_items SET assignee = $2, updated_at = now_us()"
		" WHERE id = $1 AND tenant_id = $3",
	    id, other);
	until_news(&theirs, n + 1);
	until_news(&mine, 3);
	inbox_watch_leave(w, &mine.w);
	inbox_watch_leave(w, &mine.w);
	inbox_watch_leave(w, &theirs.w);
	inbox_watch_leave(w, &admins.w);
	inbox_watch_free(w);
}

static void
test_watching(void)
{
	bed_run(watching, turns, N_TURNS);
}

/* ---- Forgetting ---------------------------------------------------- */

static SUSPENDS void
page(struct inbox_watch *w, int64_t after, size_t n, int64_t at, bool over)
{
	struct inbox_feed_config c = { .loop = env.loop,
		.watch = w,
		.ctx = bed.ctx,
		.after = after };
	struct json_object *frames = NULL;
	struct inbox_counts counts;
	int64_t head = -1;
	bool start_over = !over;

	MUST(inbox_feed_page(&c, 100, 0, &frames, &counts, &head, &start_over,
		 &bed.err) == AS_OK);
	CU_ASSERT_EQUAL(json_object_array_length(frames), n);
	CU_ASSERT_EQUAL(head, at);
	CU_ASSERT_EQUAL(start_over, over);
	json_object_put(frames);
}

/* More of them than are forgotten in one go, and one that is too young. */
static void
forgetting(void)
{
	struct inbox_watch *w;
	struct changes_head was = { 0 }, head = { 0 };
	struct listener me = { .w = { .news = on_news } };
	int n;

	begin();
	w = inbox_watch_new(env.loop, env.store, bed.bus);
	me.w.who = bed.ctx.who;
	inbox_watch_join(w, &me.w);
	until_news(&me, 1);
	bed_sql("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1"
		" FROM n WHERE i < 2500) INSERT INTO inbox_changes (item_id,"
		" tenant_id, user_id, of_owner, change, created_at) SELECT $1,"
		" $3, $2, 1, 'created', 1 FROM n",
	    bed.run_id, bed.ctx.who.user_id);
	MUST(changes_look(env.store, &was, &bed.err) == AS_OK);
	(void)item_new("notification", "NULL");
	MUST(changes_forget(env.store, 3600000000, &bed.err) == AS_OK);
	MUST(changes_look(env.store, &head, &bed.err) == AS_OK);
	CU_ASSERT_EQUAL(head.floor, was.seq);
	CU_ASSERT_EQUAL(head.seq, was.seq + 1);
	page(w, 0, 0, head.seq, true);
	page(w, was.seq - 1, 0, head.seq, true);
	page(w, was.seq, 1, head.seq, false);
	/* The number of the last one is still known when it has gone. */
	MUST(changes_forget(env.store, -3600000000, &bed.err) == AS_OK);
	MUST(changes_look(env.store, &head, &bed.err) == AS_OK);
	CU_ASSERT_EQUAL(head.floor, head.seq);
	page(w, was.seq, 0, head.seq, true);
	page(w, head.seq, 0, head.seq, false);
	(void)item_new("notification", "NULL");
	page(w, head.seq, 1, head.seq + 1, false);
	n = me.n;
	item_bell_ring(bed.bus);
	until_news(&me, n + 1);
	inbox_watch_leave(w, &me.w);
	inbox_watch_free(w);
}

static void
test_forgetting(void)
{
	bed_run(forgetting, turns, N_TURNS);
}

/* ---- Lists --------------------------------------------------------- */

/* What one sees as an owner and as an assignee comes in one order, once. */
static void
pages(void)
{
	struct inbox_filter filter = { .kind = "notification" };
	struct row_page page = { .limit = 3 };
	struct json_object *items, *o;
	struct uuid ids[10], got;
	int seen = 0;

	begin();
	for (int i = 0; i < 10; i++) {
		ids[i] = item_new("notification", "NULL");
		bed_sql("UPDATE inbox_items SET assignee = $2 WHERE id = $1"
			" AND tenant_id = $3",
		    ids[i], i % 2 != 0 ? bed.ctx.who.user_id : other);
	}
	do {
		MUST(inbox_list(&bed.ctx, &filter, &page, &items, &bed.err) ==
		     AS_OK);
		for (size_t i = 0; i < json_object_array_length(items); i++) {
			o = json_object_array_get_idx(items, i);
			CU_ASSERT_TRUE(jget_uuid(o, "id", &got));
			CU_ASSERT_TRUE(uuid_equal(got, ids[9 - seen]));
			seen++;
		}
		json_object_put(items);
		page.after = page.last;
	} while (page.more);
	CU_ASSERT_EQUAL(seen, 10);
	bed.ctx.who.user_id = other;
	memset(&page, 0, sizeof(page));
	page.limit = 200;
	MUST(inbox_list(&bed.ctx, &filter, &page, &items, &bed.err) == AS_OK);
	CU_ASSERT_EQUAL(json_object_array_length(items), 5);
	json_object_put(items);
}

static void
test_pages(void)
{
	bed_run(pages, turns, N_TURNS);
}

static CU_TestInfo tests[] = {
	{ "notes are read and put away", test_notes },
	{ "what an operator decides", test_decisions },
	{ "in time", test_in_time },
	{ "a run and its subagents", test_subagents },
	{ "who has decided what", test_audit },
	{ "pages", test_pages },
	{ "changes of many at once", test_many },
	{ "a change that is committed late", test_late },
	{ "what is old is forgotten", test_forgetting },
	{ "who is told", test_watching },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return env_main("inbox", tests, env_close);
}
