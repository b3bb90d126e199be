/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/cmd/doctor.h"
#include "tests/tap.h"

/* What the doctor makes of facts, each spoiled in turn. */

static int levels[3];
static char worst_name[64], worst_text[1000];
static enum doctor_level worst;

void
doctor_say(struct doctor *d, enum doctor_level level, const char *name,
    const char *fmt, ...)
{
	char text[1000];
	va_list ap;

	(void)d;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	levels[level]++;
	if (level <= worst)
		return;
	worst = level;
	snprintf(worst_name, sizeof(worst_name), "%s", name);
	snprintf(worst_text, sizeof(worst_text), "%s", text);
}

/* The settings of a program that this one is not. */
const char **
settings_plugin_dirs(const struct settings *settings)
{
	(void)settings;
	return xcalloc(1, sizeof(char *));
}

static void
start(void)
{
	memset(levels, 0, sizeof(levels));
	worst = DOCTOR_OK;
	worst_name[0] = worst_text[0] = '\0';
}

/* Exactly one is not ok, by this name. */
static void
only(enum doctor_level level, const char *name)
{
	CU_ASSERT_EQUAL(levels[DOCTOR_WARN] + levels[DOCTOR_FAIL], 1);
	CU_ASSERT_EQUAL(worst, level);
	CU_ASSERT_STRING_EQUAL(worst_name, name);
}

static void
none(void)
{
	CU_ASSERT_EQUAL(levels[DOCTOR_WARN] + levels[DOCTOR_FAIL], 0);
	CU_ASSERT_TRUE(levels[DOCTOR_OK] > 0);
}

/* ---- PostgreSQL ---------------------------------------------------- */

static const struct pg_facts good = {
	.version = 150004,
	.encoding = "UTF8",
	.synchronous_commit = "on",
	.standby_names = "two",
	.standbys = 1,
	.synchronous = 1,
	.max_connections = 97,
	.role_limit = -1,
	.per_process = 9,
	.processes = 2,
	.autovacuum = true,
	.skew_error_s = 0.001,
};

static void
judge(const struct pg_facts *f)
{
	struct doctor d = { 0 };

	start();
	doctor_pg_judge(&d, f);
}

static void
test_pg_good(void)
{
	judge(&good);
	none();
}

#define SPOILED(level, name, ...) \
	do { \
		struct pg_facts f = good; \
		__VA_ARGS__; \
		judge(&f); \
		only((level), (name)); \
	} while (0)

static void
test_pg_spoiled(void)
{
	SPOILED(DOCTOR_FAIL, "postgres.version", f.version = 120019);
	SPOILED(DOCTOR_FAIL, "postgres.encoding", f.encoding = "SQL_ASCII");
	SPOILED(DOCTOR_FAIL, "postgres.primary", f.is_read_only = true);
	SPOILED(DOCTOR_FAIL, "postgres.primary", f.is_standby = true);
	SPOILED(DOCTOR_FAIL, "postgres.proxy",
	    f.proxy = STORE_PROXY_TRANSACTION);
	SPOILED(DOCTOR_FAIL, "postgres.durable", f.not_durable = "fsync");
	SPOILED(DOCTOR_WARN, "postgres.standby", f.standby_names = "");
	SPOILED(DOCTOR_WARN, "postgres.standby",
	    f.synchronous_commit = "local");
	SPOILED(DOCTOR_FAIL, "postgres.standby", f.synchronous = 0);
	SPOILED(DOCTOR_WARN, "postgres.replication", f.lag_s = 30);
	SPOILED(DOCTOR_FAIL, "postgres.connections", f.others = 90);
	SPOILED(DOCTOR_FAIL, "postgres.connections", f.role_limit = 5);
	SPOILED(DOCTOR_WARN, "postgres.connections", f.processes = 10);
	SPOILED(DOCTOR_WARN, "postgres.timeouts",
	    f.idle_setting = "idle_session_timeout = 60000");
	SPOILED(DOCTOR_WARN, "postgres.idle", f.idle_s = 3600);
	SPOILED(DOCTOR_FAIL, "postgres.autovacuum", f.autovacuum = false);
	SPOILED(DOCTOR_WARN, "postgres.horizon", f.xmin_age = 100000000);
	SPOILED(DOCTOR_WARN, "postgres.horizon", f.dead_slots = 1);
	SPOILED(DOCTOR_WARN, "postgres.horizon", f.prepared = 1);
	SPOILED(DOCTOR_WARN, "postgres.horizon", f.wraparound_age = 1200000000);
	SPOILED(DOCTOR_FAIL, "postgres.horizon", f.wraparound_age = 2000000000);
	SPOILED(DOCTOR_WARN, "postgres.clock", f.skew_s = 5);
	SPOILED(DOCTOR_WARN, "postgres.clock", f.skew_s = -5);
	SPOILED(DOCTOR_FAIL, "postgres.rights", f.lacks = "INSERT on runs");
	SPOILED(DOCTOR_WARN, "postgres.rights", f.is_superuser = true);
	SPOILED(DOCTOR_WARN, "postgres.rights", f.can_change_log = true);
}

/* What cannot be seen is no reason to warn. */
static void
test_pg_unseen(void)
{
	struct pg_facts f = good;

	f.standbys = f.synchronous = -1;
	judge(&f);
	none();
	f = good;
	f.proxy = STORE_PROXY_SESSION;
	judge(&f);
	none();
	/* A slow answer says nothing of the clock. */
	f = good;
	f.skew_s = 5;
	f.skew_error_s = 10;
	judge(&f);
	none();
}

/* ---- Redis --------------------------------------------------------- */

static void
redis(int version, const char *policy, int64_t maxmemory, double ping_ms)
{
	struct redis_facts f = { .version = version,
		.maxmemory = maxmemory,
		.ping_ms = ping_ms };
	struct doctor d = { 0 };

	snprintf(f.version_text, sizeof(f.version_text), "%d.0", version);
	snprintf(f.policy, sizeof(f.policy), "%s", policy);
	start();
	doctor_redis_judge(&d, &f);
}

static void
test_redis(void)
{
	redis(7, "noeviction", 0, 0.2);
	none();
	redis(7, "allkeys-lru", 1 << 20, 0.2);
	none();
	redis(0, "", 0, 0.2); /* not to be seen */
	none();
	redis(4, "noeviction", 0, 0.2);
	only(DOCTOR_FAIL, "redis.version");
	redis(7, "noeviction", 1 << 20, 0.2);
	only(DOCTOR_WARN, "redis.memory");
	redis(7, "noeviction", 0, 80);
	only(DOCTOR_WARN, "redis.latency");
}

/* ---- This host ----------------------------------------------------- */

static void
host(int64_t descriptors, int64_t backlog, const char *clock)
{
	struct host_facts f = { .descriptors = descriptors,
		.needed = 1000,
		.somaxconn = backlog,
		.clock = clock };
	struct doctor d = { 0 };

	start();
	doctor_host_judge(&d, &f);
}

static void
test_host(void)
{
	host(1000, 4096, "tsc");
	none();
	host(1000, -1, NULL);
	none();
	host(999, 4096, "tsc");
	only(DOCTOR_WARN, "host.descriptors");
	host(1000, 128, "kvm-clock");
	only(DOCTOR_WARN, "host.backlog");
	host(1000, 4096, "hpet");
	only(DOCTOR_WARN, "host.clock");
}

static void
space(uint64_t mb, uint64_t total)
{
	struct doctor d = { 0 };

	start();
	doctor_space_judge(&d, "/x", mb << 20, total << 20);
}

static void
test_space(void)
{
	space(100000, 200000);
	none();
	space(1000, 5000); /* a small disk that is not full */
	none();
	space(1000, 100000);
	only(DOCTOR_WARN, "data.space");
	space(100, 100000);
	only(DOCTOR_FAIL, "data.space");
}

/* ---- Files --------------------------------------------------------- */

static char dir[64];

static char *
file_make(const char *name, mode_t mode)
{
	char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fclose(f);
	CU_ASSERT_EQUAL(chmod(path, mode), 0);
	return path;
}

static void
dir_make(void)
{
	snprintf(dir, sizeof(dir), "/tmp/t_doctor.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
}

static void
data(void)
{
	struct doctor d = { 0 };

	start();
	doctor_data(&d, dir);
}

static void
test_data(void)
{
	char *key, *seal;

	snprintf(dir, sizeof(dir), "/tmp/t_doctor.there-is-none");
	data();
	none();
	dir_make();
	data();
	none();
	key = file_make("access.key", 0600);
	seal = file_make("sealing.key", 0600);
	data();
	none();
	chmod(key, 0640);
	data();
	only(DOCTOR_FAIL, "data.access_key");
	chmod(key, 0600);
	chmod(seal, 0604);
	data();
	only(DOCTOR_FAIL, "data.sealing_key");
	chmod(seal, 0600);
	chmod(dir, 0770);
	data();
	only(DOCTOR_FAIL, "data.folder");
	CU_ASSERT_PTR_NOT_NULL(strstr(worst_text, "770"));
	unlink(key);
	unlink(seal);
	rmdir(dir);
	free(key);
	free(seal);
}

static void
plugins(void)
{
	struct doctor d = { 0 };

	start();
	doctor_plugins_judge(&d, dir);
}

static void
test_plugins(void)
{
	char *so, *text;

	dir_make();
	so = file_make("a.so", 0755);
	text = file_make("readme", 0666); /* nobody runs it */
	plugins();
	none();
	chmod(so, 0775);
	plugins();
	only(DOCTOR_FAIL, "plugins.folder");
	CU_ASSERT_PTR_NOT_NULL(strstr(worst_text, so));
	chmod(so, 0755);
	chmod(dir, 0777);
	plugins();
	only(DOCTOR_FAIL, "plugins.folder");
	unlink(so);
	unlink(text);
	rmdir(dir);
	plugins();
	only(DOCTOR_WARN, "plugins.folder");
	free(so);
	free(text);
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{ "postgres: all is well", test_pg_good },
		{ "postgres: one fact is bad", test_pg_spoiled },
		{ "postgres: what cannot be seen", test_pg_unseen },
		{ "redis", test_redis },
		{ "limits of this host", test_host },
		{ "room on the disk", test_space },
		{ "the data folder and its keys", test_data },
		{ "folders of plugins", test_plugins },
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{ .pName = "doctor", .pTests = tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
