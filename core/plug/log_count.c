/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/counter.h"
#include "core/base/log.h"
#include "core/plug/call.h"
#include "core/plug/unit.h"

/*
 * What plugins tell operators.  Any thread, so it needs no way back to the
 * caller.  Names are the plugin's: those that do not make a metric are dropped,
 * as are more than a plugin may have.
 */

#define LINES_MAX 200 /* that a process of its own may say in that time */
#define LINES_MS 10000

/* What is in the server speaks with its rights; a process has these. */
static bool
may_say(struct unit *u, const char *area)
{
	struct unit_lines *n = &u->of->lines;
	int64_t now = clock_mono_ms();
	unsigned dropped = 0;
	bool first, may;

	pthread_mutex_lock(&u->plug->lock);
	if (n->since_ms == 0 || now - n->since_ms > LINES_MS) {
		dropped = n->dropped;
		*n = (struct unit_lines){ .since_ms = now };
	}
	may = n->said < LINES_MAX;
	first = !may && n->dropped == 0;
	n->said += may;
	n->dropped += !may;
	pthread_mutex_unlock(&u->plug->lock);
	if (dropped > 0)
		log_line(LOG_WARNING, area, NULL, "%u lines were suppressed",
		    dropped);
	if (first)
		log_line(LOG_WARNING, area, NULL,
		    "it says more than %d lines in %d s: what follows is "
		    "suppressed",
		    LINES_MAX, LINES_MS / 1000);
	return may;
}

void
unit_log(struct unit *u, const char *correlation_id, int64_t level,
    const char *text)
{
	enum log_level l = LOG_INFO;
	char area[96];

	if (level == AS_LOG_DEBUG)
		l = LOG_DEBUG;
	else if (level == AS_LOG_WARNING)
		l = LOG_WARNING;
	else if (level == AS_LOG_ERROR)
		l = LOG_ERROR;
	snprintf(area, sizeof(area), "plugin.%s", u->name);
	if (!log_enabled(l, area) || (u->guard != NULL && !may_say(u, area)))
		return;
	if (correlation_id != NULL && correlation_id[0] == '\0')
		correlation_id = NULL;
	log_line(l, area, correlation_id, "%s", text != NULL ? text : "");
}

/* The names that a plugin has used; a new one is remembered. */
static bool
name_is_admitted(struct unit *u, const char *name)
{
	struct unit_counts *c = &u->of->counts;
	bool ok = false;
	size_t i;

	pthread_mutex_lock(&u->plug->lock);
	for (i = 0; i < c->n && !ok; i++)
		ok = strcmp(c->names[i], name) == 0;
	if (!ok && c->n < UNIT_COUNTS_MAX) {
		snprintf(c->names[c->n++], sizeof(c->names[0]), "%s", name);
		ok = true;
	}
	pthread_mutex_unlock(&u->plug->lock);
	return ok;
}

void
unit_count(struct unit *u, const char *name, double add)
{
	const char *values[] = { u->name };
	char full[96];

	if (name == NULL || name[0] == '\0' ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") !=
		strlen(name) ||
	    strlen(name) >= UNIT_COUNT_NAME || !name_is_admitted(u, name))
		return;
	snprintf(full, sizeof(full), "custom_%s_total", name);
	counter_add(counter_get(COUNTER, full, "Counted by plugins themselves.",
			"plugin", values),
	    add);
}
