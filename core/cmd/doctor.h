/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_DOCTOR_H
#define CORE_CMD_DOCTOR_H

/*
 * What the files of "agent-studio doctor" share.
 *
 * Each check says one thing under a name of its own.  Facts are gathered in one
 * place and judged in another, which needs no server to be tested.
 */

#include <json-c/json.h>
#include <sys/types.h>

#include "core/bus/redis_look.h"
#include "core/cmd/settings.h"
#include "core/store/store.h"

enum doctor_level {
	DOCTOR_OK = 0,
	DOCTOR_WARN,
	DOCTOR_FAIL
};

struct doctor {
	struct json_object
	    *list; /* with --json; else NULL, and it is printed */
	int counts[3]; /* by level */
};

void doctor_say(struct doctor *d, enum doctor_level level, const char *name,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* ---- doctor_host.c ------------------------------------------------- */

struct host_facts {
	int64_t descriptors; /* of a process */
	int64_t needed; /* by the settings */
	int64_t somaxconn; /* -1: not to be seen, as the next */
	const char *clock; /* NULL */
};
void doctor_host_judge(struct doctor *d, const struct host_facts *f);
void doctor_space_judge(struct doctor *d, const char *path, uint64_t free_bytes,
    uint64_t total);
/* A folder whose files are run: nobody else may put one there. */
void doctor_plugins_judge(struct doctor *d, const char *path);
/* The folder of keys and data, and the keys in it. */
void doctor_data(struct doctor *d, const char *path);
void doctor_host(struct doctor *d, const struct settings *s);

/* ---- doctor_pg.c, doctor_pg_look.c --------------------------------- */

struct pg_facts {
	int64_t version; /* 150004 */
	enum store_proxy proxy;
	bool is_standby, is_read_only;
	const char *not_durable; /* the setting that is off, or NULL */
	const char *encoding, *synchronous_commit, *standby_names;
	int64_t standbys, synchronous; /* that are there; -1: not to be seen */
	double lag_s; /* of the slowest */
	int64_t max_connections; /* without what is kept for superusers */
	int64_t others; /* connections that are not ours */
	int64_t role_limit; /* -1: none */
	int64_t per_process, processes; /* that live now */
	const char
	    *idle_setting; /* a setting that ends idle sessions, or NULL */
	int64_t idle_pid, idle_s; /* the oldest that is idle in a transaction */
	bool autovacuum;
	int64_t xmin_age, wraparound_age, dead_slots, prepared;
	double skew_s, skew_error_s; /* server's clock minus ours */
	bool is_superuser, can_change_log;
	const char *lacks; /* "UPDATE on runs": a right, or NULL */
};
void doctor_pg_judge(struct doctor *d, const struct pg_facts *f);
void doctor_pg_look(struct doctor *d, const struct settings *s,
    struct store_db *db);

/* ---- doctor_redis.c ------------------------------------------------ */

void doctor_redis_judge(struct doctor *d, const struct redis_facts *f);
void doctor_redis(struct doctor *d, const struct settings *s);

#endif
