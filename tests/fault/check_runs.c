/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/fault/check.h"

/*
 *	check_runs --db URL [--witness FILE] [--client FILE] [--webhooks FILE]
 *		[--drill FILE]
 *
 * prints one line for each broken invariant, and as its last line "# " and
 * figures in JSON.  Exits with 0 if all hold, 1 if one does not, 2 if it cannot
 * tell.  No server may have a SQLite database open.
 */

void
check_broken(struct check *c, const char *invariant, const char *fmt, ...)
{
	va_list ap;

	c->n_broken++;
	printf("%s: ", invariant);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

struct rows *
check_query(struct check *c, const char *sql, const struct sql_arg *args,
    int n_args)
{
	struct error err = { 0 };
	struct rows *rows = NULL;

	if (store_db_run(c->db, sql, args, n_args, &rows, &err) != AS_OK) {
		fprintf(stderr, "check_runs: %s in: %s\n", err.detail, sql);
		exit(2);
	}
	return rows;
}

void
check_no_row(struct check *c, const char *invariant, const char *text,
    const char *sql)
{
	struct rows *rows = check_query(c, sql, NULL, 0);
	char id[UUID_TEXT];

	for (int i = 0; i < rows_count(rows); i++) {
		uuid_format(rows_uuid(rows, i, 0), id);
		check_broken(c, invariant, "%s: %s", id, text);
	}
	rows_free(rows);
}

void
check_lines(struct check *c, const char *path,
    void (*fn)(struct check *c, struct json_object *line, void *arg), void *arg)
{
	FILE *f = fopen(path, "r");
	struct json_object *o;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (f == NULL) {
		fprintf(stderr, "check_runs: cannot read %s\n", path);
		exit(2);
	}
	while ((n = getline(&line, &cap, f)) > 0) {
		o = NULL;
		if (json_parse(line, (size_t)n, &o, NULL) != AS_OK ||
		    !json_object_is_type(o, json_type_object)) {
			fprintf(stderr, "check_runs: %s: no JSON: %s", path,
			    line);
			exit(2);
		}
		fn(c, o, arg);
		json_object_put(o);
	}
	free(line);
	fclose(f);
}

static bool
is_one_of(const char *s, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
}

bool
check_is_parked(const char *status)
{
	static const char *const words[] = { "waiting_human", "waiting_timer",
		"waiting_child", "recoverable_error", NULL };

	return is_one_of(status, words);
}

bool
check_is_terminal(const char *status)
{
	static const char *const words[] = { "succeeded", "failed", "cancelled",
		"expired", "rolled_back", "dead_lettered", NULL };

	return is_one_of(status, words);
}

static void
print_figures(const struct check *c)
{
	static const char letters[] = "PNKVU";

	printf("# {\"broken\":%d,\"recoveries\":%d,\"lost_events\":%d,"
	       "\"verifications\":%d,\"webhooks_again\":%d,\"starts\":%d,"
	       "\"texts\":%d",
	    c->n_broken, c->recoveries, c->lost_events, c->verifications,
	    c->webhooks_again, c->starts, c->texts);
	for (int i = 0; i < CLASS_MAX; i++)
		printf(",\"%c\":{\"calls\":%d,\"resends\":%d,"
		       "\"duplicates\":%d,\"unknown\":%d}",
		    letters[i], c->classes[i].calls, c->classes[i].resends,
		    c->classes[i].duplicates, c->classes[i].unknown);
	printf("}\n");
}

int
main(int argc, char **argv)
{
	struct store_config config = { 0 };
	struct error err = { 0 };
	struct check c = { 0 };

	for (int i = 1; i + 1 < argc; i += 2)
		if (strcmp(argv[i], "--db") == 0)
			config.url = argv[i + 1];
		else if (strcmp(argv[i], "--witness") == 0)
			c.witness = argv[i + 1];
		else if (strcmp(argv[i], "--client") == 0)
			c.client = argv[i + 1];
		else if (strcmp(argv[i], "--webhooks") == 0)
			c.webhooks = argv[i + 1];
		else if (strcmp(argv[i], "--drill") == 0)
			c.drill = argv[i + 1];
	if (config.url == NULL) {
		fprintf(stderr, "usage: check_runs --db URL [--witness FILE] "
				"[--client FILE] [--webhooks FILE] "
				"[--drill FILE]\n");
		return 2;
	}
	if (store_db_open(&config, &c.db, &err) != AS_OK) {
		fprintf(stderr, "check_runs: %s\n", err.detail);
		return 2;
	}
	check_rows(&c);
	check_inbox(&c);
	check_log(&c);
	if (c.witness != NULL)
		check_witness(&c);
	if (c.client != NULL)
		check_client(&c);
	if (c.webhooks != NULL)
		check_webhooks(&c);
	check_gc(&c);
	if (c.drill != NULL)
		check_drill(&c);
	print_figures(&c);
	store_db_close(c.db);
	return c.n_broken > 0;
}
