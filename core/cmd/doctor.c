/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/doctor.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/cmd/check.h"
#include "core/cmd/cmd.h"
#include "core/cmd/database.h"
#include "core/cmd/options.h"

/*
 * "agent-studio doctor": what is wrong with the settings, this host and the
 * servers, before users notice.  It reads only.
 */

static const char usage[] =
    "usage: agent-studio doctor [--json] [--strict] [--conf DIR]\n"
    "       [--data DIR] [--set PATH=VALUE]\n"
    "Examines the settings, this host, the database and Redis.  One line a\n"
    "check: ok, warn or fail, its name, what it means.  Exits 1 if one\n"
    "fails, with --strict also if one warns.  Changes nothing.\n";

static const char *const level_names[] = { "ok", "warn", "fail" };

void
doctor_say(struct doctor *d, enum doctor_level level, const char *name,
    const char *fmt, ...)
{
	struct json_object *o;
	char text[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->counts[level]++;
	if (d->list == NULL) {
		printf("%-4s  %-22s  %s\n", level_names[level], name, text);
		return;
	}
	o = jobj();
	jput_str(o, "level", level_names[level]);
	jput_str(o, "name", name);
	jput_str(o, "text", text);
	json_object_array_add(d->list, o);
}

/* ---- Settings ------------------------------------------------------ */

static bool
look_at_settings(struct doctor *d, struct conf *conf, struct settings *s)
{
	const struct conf_problem *p;
	size_t n;

	check_load(conf, s);
	n = conf_problem_count(conf);
	for (size_t i = 0; i < n; i++) {
		p = conf_problem(conf, i);
		doctor_say(d, DOCTOR_FAIL, "settings", "%s%s%s",
		    p->file != NULL ? p->file : "", p->file != NULL ? ": " : "",
		    p->text);
	}
	if (n == 0)
		doctor_say(d, DOCTOR_OK, "settings",
		    "the settings and the enabled plugins' options are good");
	return n == 0;
}

/* ---- Database ------------------------------------------------------ */

static void
look_at_schema(struct doctor *d, struct store_db *db)
{
	struct error err = { 0 };

	if (store_migrate(db, true, NULL, &err) == AS_OK)
		doctor_say(d, DOCTOR_OK, "store.schema",
		    "the tables are those of this version");
	else
		doctor_say(d,
		    err.code == ERR_CONFLICT ? DOCTOR_WARN : DOCTOR_FAIL,
		    "store.schema", "%s", err.detail);
	error_clear(&err);
}

static void
look_at_sqlite(struct doctor *d, struct store_db *db)
{
	struct rows *r = NULL;
	struct error err = { 0 };
	const char *mode = "";

	if (store_db_run(db, "PRAGMA journal_mode", NULL, 0, &r, &err) == AS_OK)
		mode = rows_text(r, 0, 0);
	if (strcmp(mode, "wal") == 0)
		doctor_say(d, DOCTOR_OK, "sqlite.journal",
		    "journal_mode is wal: readers and the writer do not wait "
		    "for each other");
	else
		doctor_say(d, DOCTOR_WARN, "sqlite.journal",
		    "journal_mode is %s instead of wal%s%s: the server sets it "
		    "when it starts; if it stays, the file system has no "
		    "shared memory, and the folder has to move",
		    mode[0] != '\0' ? mode : "unknown",
		    err.detail[0] != '\0' ? ": " : "", err.detail);
	rows_free(r);
	error_clear(&err);
}

static bool
is_sqlite(const struct settings *s)
{
	return s->store.url[0] == '\0' ||
	       text_has_prefix(s->store.url, "sqlite:");
}

static bool
is_new(const struct settings *s)
{
	char *path = s->store.url[0] == '\0'
			 ? xasprintf("%s/agent-studio.db", s->data_dir)
			 : xstrdup(s->store.url + strlen("sqlite:"));
	bool none = access(path, F_OK) != 0;

	free(path);
	return none;
}

static void
look_at_store(struct doctor *d, const struct settings *s)
{
	struct store_db *db = NULL;
	struct error err = { 0 };

	if (is_sqlite(s) && is_new(s)) {
		doctor_say(d, DOCTOR_OK, "store.connect",
		    "there is no database yet: the first start makes it");
		return;
	}
	if (database_open_to_look(s, &db, &err) != AS_OK) {
		doctor_say(d, DOCTOR_FAIL, "store.connect",
		    "%s: start the server, or correct store.url", err.detail);
		error_clear(&err);
		return;
	}
	doctor_say(d, DOCTOR_OK, "store.connect", "the database answers");
	if (is_sqlite(s))
		look_at_sqlite(d, db);
	else
		doctor_pg_look(d, s, db);
	look_at_schema(d, db);
	store_db_close(db);
}

/* ---- The command --------------------------------------------------- */

static void
print_json(const struct doctor *d)
{
	struct json_object *o = jobj();

	for (int i = 0; i < 3; i++)
		jput_int(o, level_names[i], d->counts[i]);
	jput(o, "checks", json_object_get(d->list));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
}

static void
examine(struct doctor *d, struct conf *conf)
{
	struct settings s;

	if (!look_at_settings(d, conf, &s))
		return;
	doctor_host(d, &s);
	look_at_store(d, &s);
	doctor_redis(d, &s);
}

int
cmd_doctor(int argc, char **argv)
{
	bool json = false, strict = false;
	const struct option_own own[] = {
		{ .name = "json", .flag = &json },
		{ .name = "strict", .flag = &strict },
		{ 0 },
	};
	struct doctor d = { 0 };
	struct options options;
	struct conf *conf;
	int bad;

	if (!options_parse(&options, argc, argv, own, usage))
		return options.status;
	if (!options_no_words(&options, argv[0])) {
		options_free(&options);
		return options.status;
	}
	MUST(sodium_init() >= 0);
	/* What the store logs at its start is said here as well. */
	log_configure("error");
	if (json)
		d.list = jarr();
	conf = options_conf(&options);
	examine(&d, conf);
	if (json)
		print_json(&d);
	else
		printf("%d ok, %d warn, %d fail\n", d.counts[DOCTOR_OK],
		    d.counts[DOCTOR_WARN], d.counts[DOCTOR_FAIL]);
	json_object_put(d.list);
	conf_free(conf);
	options_free(&options);
	bad = d.counts[DOCTOR_FAIL] + (strict ? d.counts[DOCTOR_WARN] : 0);
	return bad > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
