/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/ambient.h"

#include <string.h>

#include "core/base/text.h"

/* See ambient.h. */

#define TITLE_LEN 80 /* characters of the task */

/* What the run was asked, cut at a character. */
static const char *
task_of(const struct work *w, struct arena *arena)
{
	const struct run_history_row *m;
	const char *end;
	int n = 0;

	for (int i = 0; i < w->n_history; i++) {
		m = &w->history[i];
		if (!uuid_equal(m->run_id, w->run_id) ||
		    strcmp(m->role, "user") != 0)
			continue;
		for (end = m->content;
		     *end != '\0' && *end != '\n' && n < TITLE_LEN; n++)
			do
				end++;
			while (((unsigned char)*end & 0xc0) == 0x80);
		return arena_strndup(arena, m->content,
		    (size_t)(end - m->content));
	}
	return w->agent->name;
}

/* The same end has the same item, whoever writes it. */
static struct run_item *
note_add(struct work *w, struct work_commit *wc, const char *kind)
{
	struct run_item *item = work_item_add(w, wc, kind);

	item->interrupt_id = w->run_id;
	return item;
}

void
ambient_report(struct work *w, struct work_commit *wc, const char *text)
{
	struct run_item *item;

	if (!run_is_alone(w->state.kind))
		return;
	item = note_add(w, wc, "report");
	item->title = task_of(w, wc->arena);
	item->description = text;
}

void
ambient_failed(struct work *w, struct work_commit *wc, const struct error *why)
{
	struct run_item *item;

	if (!run_is_alone(w->state.kind))
		return;
	item = note_add(w, wc, "notification");
	item->title = arena_printf(wc->arena, "%s: %s", error_title(why->code),
	    task_of(w, wc->arena));
	item->description = arena_strdup(wc->arena, why->detail);
}

void
ambient_expires(const struct work *w, const struct work_commit *wc,
    struct run_item *item)
{
	int64_t ms = w->e->c.limits.ambient_patience_ms;

	if (!run_is_alone(w->state.kind) || ms == 0)
		return;
	item->expires_at = wc->c.now_us + ms * 1000;
	item->on_expire = "fail";
}
