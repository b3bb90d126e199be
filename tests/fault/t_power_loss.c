/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/store/store_sqlite.h"
#include "tests/fault/power_loss_vfs.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * The power fails while many fibers write.  Every write that was acknowledged
 * must be there afterwards; and because a test that cannot fail shows nothing,
 * the same with synchronous=OFF must lose some.
 */

#define WRITERS 16
#define WRITES 2000 /* that are acknowledged before the power fails */
#define ROUNDS 6

SQL(PUT, "INSERT INTO node_settings (key, value) VALUES ($1, $2)");

static char *acked[WRITES + WRITERS];
static int n_acked;
static bool is_cut;

static void
writer(void *arg)
{
	struct uuid id;
	char key[UUID_TEXT];
	struct sql_arg args[2];

	(void)arg;
	fiber_deadline_set(loop_now_ms(env.loop) + 60000);
	while (!is_cut) {
		id = uuid_v7();
		uuid_format(id, key);
		args[0] = SQL_TEXT(key);
		args[1] = SQL_UUID(id);
		if (store_exec(env.store, &PUT, args, 2, NULL, NULL) != AS_OK)
			break;
		if (!is_cut)
			acked[n_acked++] = xstrdup(key);
	}
}

static void
write_and_cut(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	struct fiber_ref f[WRITERS];

	for (int i = 0; i < WRITERS; i++)
		f[i] = fiber_spawn(env.loop, "writer", writer, NULL);
	while (n_acked < WRITES)
		fiber_yield();
	is_cut = true;
	power_loss_cut(seed);
	for (int i = 0; i < WRITERS; i++)
		fiber_join(f[i], 0);
}

static int
open_again(const char *dir)
{
	char *url = xasprintf("sqlite:%s/test.db", dir);
	char *shm = xasprintf("%s/test.db-shm", dir);
	struct store_config config = { .url = url };
	struct rows *r = NULL;
	enum as_status st;

	unlink(shm); /* memory does not survive */
	lite_test = (struct lite_test){ 0 };
	st = store_db_open(&config, &env.db, NULL);
	free(url);
	free(shm);
	if (st != AS_OK)
		return -1;
	st = store_db_run(env.db, "PRAGMA integrity_check", NULL, 0, &r, NULL);
	if (st == AS_OK && strcmp(rows_text(r, 0, 0), "ok") != 0)
		st = AS_INTERNAL;
	rows_free(r);
	return st == AS_OK ? 0 : -1;
}

/* How many acknowledged writes are gone; -1: the database itself is. */
static int
count_lost(void)
{
	int lost = 0;

	for (int i = 0; i < n_acked; i++) {
		struct sql_arg args[] = { SQL_TEXT(acked[i]) };
		struct rows *r = NULL;

		if (store_db_run(env.db,
			"SELECT 1 FROM node_settings WHERE key = $1", args, 1,
			&r, NULL) != AS_OK)
			lost = -1;
		if (lost >= 0 && rows_count(r) == 0)
			lost++;
		rows_free(r);
	}
	return lost;
}

static int
round_lost(unsigned seed, const char *synchronous)
{
	char *dir;
	int lost = -1;

	n_acked = 0;
	is_cut = false;
	lite_test.vfs = "power_loss";
	lite_test.synchronous = synchronous;
	MUST(env_sqlite_open() == 0);
	env_run(write_and_cut, (void *)(uintptr_t)seed);
	dir = env.dir;
	env.dir = NULL;
	env_close();
	power_loss_restore();
	if (open_again(dir) == 0)
		lost = count_lost();
	store_db_close(env.db);
	env.db = NULL;
	env_remove(dir);
	for (int i = 0; i < n_acked; i++)
		free(acked[i]);
	return lost;
}

static void
test_full(void)
{
	for (unsigned seed = 0; seed < ROUNDS; seed++) {
		int lost = round_lost(seed * 7919, NULL);

		CU_ASSERT_EQUAL(lost, 0);
		if (lost != 0)
			tap_note("seed %u: %d of %d lost", seed * 7919, lost,
			    n_acked);
	}
}

static void
test_off(void)
{
	int lost = round_lost(0, "OFF");

	tap_note("%d of %d lost", lost, n_acked);
	CU_ASSERT_NOT_EQUAL(lost, 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "no acknowledged write is lost", test_full },
		{ "with synchronous=OFF some are", test_off },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "power loss", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	MUST(power_loss_register() == SQLITE_OK);
	log_to_fd(-1);
	return tap_run(suites);
}
