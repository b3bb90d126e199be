/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/cmd/doctor.h"

/* What the facts about a PostgreSQL mean for us. */

#define VERSION_MIN 130000
#define SKEW_WARN_S 2
#define LAG_WARN_S 10
#define IDLE_WARN_S 60
#define XMIN_WARN 50000000
#define WRAP_WARN 1000000000
#define WRAP_FAIL 1800000000

static void
judge_server(struct doctor *d, const struct pg_facts *f)
{
	int major = (int)(f->version / 10000),
	    minor = (int)(f->version % 10000);

	if (f->version >= VERSION_MIN)
		doctor_say(d, DOCTOR_OK, "postgres.version", "PostgreSQL %d.%d",
		    major, minor);
	else
		doctor_say(d, DOCTOR_FAIL, "postgres.version",
		    "PostgreSQL %d.%d is too old: %d or later is needed", major,
		    minor, VERSION_MIN / 10000);
	if (strcmp(f->encoding, "UTF8") == 0)
		doctor_say(d, DOCTOR_OK, "postgres.encoding",
		    "the database is UTF8");
	else
		doctor_say(d, DOCTOR_FAIL, "postgres.encoding",
		    "the database is %s: make one with ENCODING 'UTF8'",
		    f->encoding);
	if (f->is_standby)
		doctor_say(d, DOCTOR_FAIL, "postgres.primary",
		    "the server is a standby: name the primary in store.url, "
		    "or all servers with commas, or promote this one");
	else if (f->is_read_only)
		doctor_say(d, DOCTOR_FAIL, "postgres.primary",
		    "the server takes no writes: find out who has set "
		    "default_transaction_read_only, and set it to off");
	else
		doctor_say(d, DOCTOR_OK, "postgres.primary",
		    "the server takes writes");
}

static void
judge_proxy(struct doctor *d, const struct pg_facts *f)
{
	switch (f->proxy) {
	case STORE_PROXY_NONE:
		doctor_say(d, DOCTOR_OK, "postgres.proxy",
		    "nothing is between us and the server");
		break;
	case STORE_PROXY_SESSION:
		doctor_say(d, DOCTOR_OK, "postgres.proxy",
		    "there is a proxy, and it lends servers by the session");
		break;
	case STORE_PROXY_TRANSACTION:
		doctor_say(d, DOCTOR_FAIL, "postgres.proxy",
		    "the proxy lends servers by the transaction, which loses "
		    "locks, settings and prepared statements: connect to the "
		    "server itself, or set pool_mode = session");
		break;
	}
}

static void
judge_durable(struct doctor *d, const struct pg_facts *f)
{
	if (f->not_durable != NULL)
		doctor_say(d, DOCTOR_FAIL, "postgres.durable",
		    "%s is off: a crash loses what was acknowledged; set it to "
		    "on",
		    f->not_durable);
	else
		doctor_say(d, DOCTOR_OK, "postgres.durable",
		    "fsync, full_page_writes and synchronous_commit are on");
}

static void
judge_standby(struct doctor *d, const struct pg_facts *f)
{
	if (f->is_standby)
		return;
	if (f->standby_names[0] == '\0' ||
	    strcmp(f->synchronous_commit, "local") == 0 ||
	    strcmp(f->synchronous_commit, "off") == 0)
		doctor_say(d, DOCTOR_WARN, "postgres.standby",
		    "no commit waits for a standby: if this server is lost, so "
		    "are the last ones, and an effect may happen twice; set "
		    "synchronous_standby_names, and synchronous_commit to "
		    "remote_write at least");
	else if (f->synchronous == 0)
		doctor_say(d, DOCTOR_FAIL, "postgres.standby",
		    "commits wait for a standby of '%s', and none is there: "
		    "start it, or empty synchronous_standby_names",
		    f->standby_names);
	else
		doctor_say(d, DOCTOR_OK, "postgres.standby",
		    "commits wait for a standby (%s)", f->synchronous_commit);
	if (f->standbys < 0)
		doctor_say(d, DOCTOR_OK, "postgres.replication",
		    "this role may not see standbys: GRANT pg_monitor lets it");
	else if (f->lag_s > LAG_WARN_S)
		doctor_say(d, DOCTOR_WARN, "postgres.replication",
		    "a standby is %.0f s behind: a failover to it takes as "
		    "long; see its disk and its network",
		    f->lag_s);
	else
		doctor_say(d, DOCTOR_OK, "postgres.replication",
		    "%lld standbys, at most %.1f s behind",
		    (long long)f->standbys, f->lag_s);
}

static void
judge_connections(struct doctor *d, const struct pg_facts *f)
{
	int64_t room = f->max_connections - f->others;
	int64_t n = f->processes > 0 ? f->processes : 1;
	const char *of = "max_connections";

	if (f->role_limit >= 0 && f->role_limit < room) {
		room = f->role_limit;
		of = "the limit of the role or the database";
	}
	if (f->per_process > room)
		doctor_say(d, DOCTOR_FAIL, "postgres.connections",
		    "%s leaves %lld, and one process takes up to %lld: raise "
		    "it, or lower server.loops, store.readers, store.writers",
		    of, (long long)room, (long long)f->per_process);
	else if (f->per_process * (n + 1) > room)
		doctor_say(d, DOCTOR_WARN, "postgres.connections",
		    "%s leaves %lld; %lld processes take up to %lld each, and "
		    "a restart needs room for one more: raise it",
		    of, (long long)room, (long long)n,
		    (long long)f->per_process);
	else
		doctor_say(d, DOCTOR_OK, "postgres.connections",
		    "%lld are left, a process takes up to %lld",
		    (long long)room, (long long)f->per_process);
}

static void
judge_sessions(struct doctor *d, const struct pg_facts *f)
{
	if (f->idle_setting != NULL)
		doctor_say(d, DOCTOR_WARN, "postgres.timeouts",
		    "%s is set: it ends sessions that hold locks of ours; set "
		    "it to 0 for this role (statements have store.timeout)",
		    f->idle_setting);
	else
		doctor_say(d, DOCTOR_OK, "postgres.timeouts",
		    "no setting of the server ends our sessions");
	if (f->idle_s > IDLE_WARN_S)
		doctor_say(d, DOCTOR_WARN, "postgres.idle",
		    "process %lld has been idle in a transaction for %lld s: "
		    "it keeps rows and may hold locks; end it "
		    "(pg_terminate_backend)",
		    (long long)f->idle_pid, (long long)f->idle_s);
	else
		doctor_say(d, DOCTOR_OK, "postgres.idle",
		    "nobody is idle in a transaction for long");
}

/* More than so many transactions behind; what holds it is to be named. */
static void
judge_horizon(struct doctor *d, const struct pg_facts *f)
{
	const char *what = NULL;

	if (f->wraparound_age > WRAP_WARN) {
		doctor_say(d,
		    f->wraparound_age > WRAP_FAIL ? DOCTOR_FAIL : DOCTOR_WARN,
		    "postgres.horizon",
		    "the oldest row is %lld transactions old, at 2100000000 "
		    "the "
		    "server stops: VACUUM, and see what holds it up",
		    (long long)f->wraparound_age);
		return;
	}
	if (f->dead_slots > 0)
		what = "a replication slot that nobody reads "
		       "(pg_replication_slots)";
	else if (f->prepared > 0)
		what = "an old prepared transaction (pg_prepared_xacts)";
	else if (f->xmin_age > XMIN_WARN)
		what = "an old transaction (backend_xmin in pg_stat_activity)";
	if (what != NULL)
		doctor_say(d, DOCTOR_WARN, "postgres.horizon",
		    "%s keeps dead rows and old log: end or drop it", what);
	else
		doctor_say(d, DOCTOR_OK, "postgres.horizon",
		    "nothing keeps dead rows");
}

static void
judge_upkeep(struct doctor *d, const struct pg_facts *f)
{
	if (f->autovacuum)
		doctor_say(d, DOCTOR_OK, "postgres.autovacuum",
		    "autovacuum is on");
	else
		doctor_say(d, DOCTOR_FAIL, "postgres.autovacuum",
		    "autovacuum or track_counts is off: tables grow without "
		    "end; set both to on");
	judge_horizon(d, f);
	if (fabs(f->skew_s) > SKEW_WARN_S + f->skew_error_s)
		doctor_say(d, DOCTOR_WARN, "postgres.clock",
		    "the server's clock is %.1f s %s ours: tokens, schedules "
		    "and logs disagree; let both follow NTP",
		    fabs(f->skew_s), f->skew_s > 0 ? "ahead of" : "behind");
	else
		doctor_say(d, DOCTOR_OK, "postgres.clock",
		    "the server's clock agrees with ours");
}

static void
judge_rights(struct doctor *d, const struct pg_facts *f)
{
	if (f->lacks != NULL)
		doctor_say(d, DOCTOR_FAIL, "postgres.rights",
		    "the role lacks %s: see docs/operations.md, PostgreSQL, "
		    "for its grants",
		    f->lacks);
	else if (f->is_superuser || f->can_change_log)
		doctor_say(d, DOCTOR_WARN, "postgres.rights",
		    "the role %s: use one that owns nothing and may only read "
		    "and add to run_log (docs/operations.md, PostgreSQL)",
		    f->is_superuser ? "is a superuser"
				    : "can change the log of events");
	else
		doctor_say(d, DOCTOR_OK, "postgres.rights",
		    "the role has what it needs, and cannot change the log");
}

void
doctor_pg_judge(struct doctor *d, const struct pg_facts *f)
{
	judge_server(d, f);
	judge_proxy(d, f);
	judge_durable(d, f);
	judge_standby(d, f);
	judge_connections(d, f);
	judge_sessions(d, f);
	judge_upkeep(d, f);
	judge_rights(d, f);
}
