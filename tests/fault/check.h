/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAULT_CHECK_H
#define TESTS_FAULT_CHECK_H

/*
 * What must hold of a database after all faults have stopped, whatever they
 * were; docs/faults.md has the list.  Nothing here knows what was done to it:
 * the rows, the witness' log and the clients' log are all there is.
 */

#include <stdbool.h>
#include <stddef.h>

#include "core/base/json.h"
#include "core/store/store.h"

enum effect_class {
	CLASS_P,
	CLASS_N,
	CLASS_K,
	CLASS_V,
	CLASS_U,
	CLASS_MAX
};

struct class_stats {
	int calls, resends, duplicates, unknown;
};

struct check {
	struct store_db *db;
	/* paths; NULL: there is no such log */
	const char *witness, *client, *webhooks, *drill;
	int n_broken;
	int recoveries;
	int lost_events;
	int verifications;
	int webhooks_again; /* messages that came more than once */
	int starts; /* of runs that were ready before */
	int texts; /* of messages, as they were shown */
	struct class_stats classes[CLASS_MAX];
};

/* One line: the invariant, and what breaks it. */
void check_broken(struct check *c, const char *invariant, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The rows of a statement; ends the program if there are none to be had. */
struct rows *check_query(struct check *c, const char *sql,
    const struct sql_arg *args, int n_args);

/* Each row of a statement that should have none, as "thing ID: text". */
void check_no_row(struct check *c, const char *invariant, const char *text,
    const char *sql);

/* Calls fn for each line of a file of JSON objects. */
void check_lines(struct check *c, const char *path,
    void (*fn)(struct check *c, struct json_object *line, void *arg),
    void *arg);

bool check_is_parked(const char *status);
bool check_is_terminal(const char *status);

void check_rows(struct check *c); /* I1 I5 I11 I14 I21 */
void check_inbox(struct check *c); /* I10 */
void check_log(struct check *c); /* I2 I3 I4 I6 I13 I17 */
void check_witness(struct check *c); /* I7 I8 I9 */
void check_client(struct check *c); /* I12 I15 */
void check_webhooks(struct check *c); /* I16 */
void check_gc(struct check *c); /* I19 */
void check_drill(struct check *c); /* I18 I20 */

#endif
