/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/crumb.h"
#include "core/run/run_store.h"

/*
 * Who starts reads what dead processes of the same data folder left behind.
 * The run that one of them crashed in is charged with it; the others, which
 * only happened to be there, are not.
 */

static char *
crumb_folder(struct node *n)
{
	return xasprintf("%s/crumbs", n->p.settings->data_dir);
}

/* Without it runs go on as well, only a crash has no name. */
void
node_crumb_open(struct node *n)
{
	struct error err = { 0 };
	char *folder = crumb_folder(n);

	if (crumb_open(folder, &err) != AS_OK)
		log_warn("serve", "no breadcrumbs: %s", err.detail);
	error_clear(&err);
	free(folder);
}

static SUSPENDS enum as_status
charge(struct node *n, const struct crumb_slot *slot, struct error *err)
{
	struct run_store *runs = node_first(n)->app.runs;
	char id[UUID_TEXT];

	uuid_format(slot->id, id);
	log_err("serve", "a process crashed in run %s: %.43s", id, slot->what);
	return run_store_charge(runs, slot->id, err);
}

/* A file whose charges could not be written is for who comes next. */
static SUSPENDS enum as_status
charge_all(struct node *n, struct crumb_dead *d, struct error *err)
{
	const struct crumb_slot *slot;
	enum as_status st = AS_OK;

	for (int i = 0; st == AS_OK && (slot = crumb_dead_slot(d, i)) != NULL;
	     i++)
		st = charge(n, slot, err);
	if (st == AS_OK)
		crumb_dead_remove(d);
	return st;
}

SUSPENDS enum as_status
node_crumb_charge(struct node *n, struct error *err)
{
	char *folder = crumb_folder(n);
	struct crumb_dead *list;
	enum as_status st = AS_OK;
	int count;

	list = crumb_dead_find(folder, &count);
	for (int i = 0; st == AS_OK && i < count; i++)
		st = charge_all(n, &list[i], err);
	crumb_dead_free(list, count);
	free(folder);
	return st;
}
