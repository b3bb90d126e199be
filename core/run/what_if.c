/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/what_if.h"

#include <string.h>

#include "core/base/json.h"

/* See what_if.h. */

#define WHAT_IF "what_if"
#define NOT_MADE \
	"Simulated: this call was not made, since the run only asks what " \
	"would happen. Go on as if it had succeeded."

/* The mode and the granted tools stand with blanks between. */
static bool
is_granted(const char *mode, const char *tool)
{
	size_t len = strlen(tool);

	for (const char *p = mode; (p = strchr(p, ' ')) != NULL;) {
		p++;
		if (strncmp(p, tool, len) == 0 &&
		    (p[len] == ' ' || p[len] == '\0'))
			return true;
	}
	return false;
}

/* What the engine does itself has no row of a plugin; all of it is kept. */
bool
what_if_holds(const struct work *w, const struct run_tool *row)
{
	const char *mode = w->state.fork_mode;
	const struct world *world = w->e->c.world;

	if (mode == NULL || strncmp(mode, WHAT_IF, strlen(WHAT_IF)) != 0)
		return false;
	if (strcmp(row->effect, "P") == 0 &&
	    world->tool(world->arg, row->tool) != NULL)
		return false;
	return !is_granted(mode, row->tool);
}

static void
args_hash(struct json_object *args, uint8_t out[HASH_LEN])
{
	struct buf text = { 0 };
	struct hash h;

	json_canonical(&text, args);
	hash_init(&h);
	hash_bytes(&h, text.data, text.len);
	hash_end(&h, out);
	buf_free(&text);
}

SUSPENDS enum as_status
what_if_answer(struct call *c, struct json_object *args)
{
	struct work *w = c->t->w;
	const struct world *world = w->e->c.world;
	const char *text = NULL;
	uint8_t hash[HASH_LEN];
	enum as_status st = AS_OK;

	args_hash(args, hash);
	if (world->recorded != NULL)
		st = world->recorded(world->arg, w->state.forked_from,
		    c->row.tool, hash, w->arena, &text, &c->err);
	if (st != AS_OK)
		return st;
	c->row.resolution = "simulated";
	c->result = json_object_new_string(text != NULL ? text : NOT_MADE);
	return AS_OK;
}
