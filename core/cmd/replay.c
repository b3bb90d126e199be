/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/replay.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/arena.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/cmd/cmd.h"
#include "core/cmd/command.h"
#include "core/cmd/database.h"
#include "core/loop/loop.h"

/*
 * "agent-studio replay": recorded runs through the engine of this program.  The
 * database is opened for reading only; there is no HTTP client and no plugin in
 * this process, so it cannot reach out.
 */

static const char usage[] =
    "usage: agent-studio replay RUN | --all [--conf DIR] [--data DIR]\n"
    "       [--set PATH=VALUE]\n"
    "Plays a recorded run again, models and tools answering from the record,\n"
    "and compares what comes out step by step.  --all: every run that has\n"
    "ended.  Changes nothing.  Exits 1 if something differs, 2 if a run\n"
    "cannot be replayed.\n";

#define DIFFERENT 1
#define IMPOSSIBLE 2

struct replaying {
	struct loop *loop;
	struct store *store;
	struct uuid run_id;
	bool all;
	int n_same, n_different, n_impossible;
};

static void
print_steps(const struct replay_result *r)
{
	for (int i = 0; i < r->n_steps; i++) {
		const struct replay_step *s = &r->steps[i];
		char hex[HASH_TEXT] = "-";

		if (s->has_hash)
			text_hex(hex, s->hash, HASH_LEN);
		printf("step %lld  %s  %s\n", (long long)s->step, hex,
		    s->same ? "ok" : "DIFFERENT");
	}
}

static void
print_result(const char *id, const struct replay_result *r)
{
	print_steps(r);
	if (r->what != NULL) {
		printf("run %s: DIFFERENT at step %lld: %s\n"
		       "  expected: %.300s\n  got:      %.300s\n",
		    id, (long long)r->at, r->what, r->expected, r->got);
		return;
	}
	printf("run %s: %d step%s equal; recorded end: %s at step %lld", id,
	    r->n_steps, r->n_steps == 1 ? "" : "s", run_status_name(r->status),
	    (long long)r->step);
	if (r->fence > 1)
		printf(", fence %lld", (long long)r->fence);
	puts(r->whole ? "" : " (not part of the replay)");
}

static SUSPENDS void
replay_one(struct replaying *p, struct uuid run_id)
{
	struct arena *arena = arena_new(NULL);
	struct replay_result r;
	struct error err = { 0 };
	char id[UUID_TEXT];

	uuid_format(run_id, id);
	fiber_deadline_set(loop_now_ms(p->loop) + 600000);
	if (replay_run(p->loop, p->store, run_id, arena, &r, &err) != AS_OK) {
		printf("run %s: cannot be replayed: %s\n", id, err.detail);
		p->n_impossible++;
	} else {
		print_result(id, &r);
		if (r.what != NULL)
			p->n_different++;
		else
			p->n_same++;
	}
	error_clear(&err);
	arena_free(arena);
}

/* Not those that have waited for their thread and never begun. */
SQL(ENDED_RUNS,
    "SELECT id FROM runs WHERE status IN ('succeeded', 'failed', 'cancelled',"
    " 'expired', 'rolled_back', 'dead_lettered') AND NOT (started_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.run_id = runs.id"
    " AND m.sequence > 0)) AND id > $1 ORDER BY id LIMIT 500");

static SUSPENDS void
replay_all(struct replaying *p)
{
	struct uuid last = { { 0 } };
	struct error err = { 0 };
	struct rows *r = NULL;
	int n = 1;

	while (n > 0) {
		struct sql_arg args[] = { SQL_UUID(last) };

		n = 0;
		if (store_query(p->store, &ENDED_RUNS, args, 1, &r, &err) ==
		    AS_OK)
			n = rows_count(r);
		for (int i = 0; i < n; i++)
			replay_one(p, last = rows_uuid(r, i, 0));
		rows_free(r);
		r = NULL;
	}
	if (err.code != ERR_NONE) {
		fprintf(stderr, "agent-studio: %s\n", err.detail);
		p->n_impossible++;
	}
	error_clear(&err);
	printf("%d runs equal, %d different, %d not to be replayed\n",
	    p->n_same, p->n_different, p->n_impossible);
}

static SUSPENDS void
replay_main(void *arg)
{
	struct replaying *p = arg;

	fiber_deadline_set(loop_now_ms(p->loop) + 600000);
	if (p->all)
		replay_all(p);
	else
		replay_one(p, p->run_id);
	loop_stop(p->loop);
}

static int
replay(const struct settings *s, struct replaying *p)
{
	struct error err = { 0 };
	struct store_db *db = NULL;
	enum as_status st = database_open_read_only(s, &db, &err);

	if (st == AS_OK)
		st = store_migrate(db, true, NULL, &err);
	if (st != AS_OK) {
		database_failed(s, &err);
		store_db_close(db);
		return IMPOSSIBLE;
	}
	p->loop = loop_new();
	p->store = store_new(db, p->loop);
	MUST(fiber_spawn(p->loop, "replay", replay_main, p).f != NULL);
	loop_run(p->loop);
	loop_drain(p->loop);
	store_free(p->store);
	loop_free(p->loop);
	store_db_close(db);
	if (p->n_impossible > 0)
		return IMPOSSIBLE;
	return p->n_different > 0 ? DIFFERENT : EXIT_SUCCESS;
}

int
cmd_replay(int argc, char **argv)
{
	struct replaying p = { 0 };
	const struct option_own own[] = {
		{ .name = "all", .flag = &p.all },
		{ 0 },
	};
	struct settings settings;
	struct options options;
	struct conf *conf;
	int rc = IMPOSSIBLE;

	if (!options_parse(&options, argc, argv, own, usage))
		return options.status;
	if (options.n_args != (p.all ? 0 : 1) ||
	    (!p.all && !uuid_parse(options.args[0], &p.run_id))) {
		fputs("agent-studio replay: the id of a run, or --all; see "
		      "--help\n",
		    stderr);
		options_free(&options);
		return IMPOSSIBLE;
	}
	/* What the engine logs was logged when it happened. */
	if (command_settings(&options, "error", &conf, &settings))
		rc = replay(&settings, &p);
	conf_free(conf);
	options_free(&options);
	return rc;
}
