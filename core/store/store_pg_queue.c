/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <string.h>

#include "core/base/mem.h"

/*
 * The lists of a connection: requests that wait, items that the server owes an
 * answer for, and which statements it has prepared.
 */

void
pg_wait_append(struct pg_conn *c, struct store_req *r)
{
	r->next = NULL;
	*c->wait_tail = r;
	c->wait_tail = &r->next;
	c->n_wait++;
}

struct store_req *
pg_wait_pop(struct pg_conn *c)
{
	struct store_req *r = c->wait;

	c->wait = r->next;
	if (c->wait == NULL)
		c->wait_tail = &c->wait;
	c->n_wait--;
	r->next = NULL;
	return r;
}

void
pg_wait_prepend(struct pg_conn *c, struct store_req *r)
{
	r->next = c->wait;
	c->wait = r;
	if (r->next == NULL)
		c->wait_tail = &r->next;
	c->n_wait++;
}

struct store_req *
pg_wait_expired(struct pg_conn *c, int64_t before_us)
{
	struct store_req **at = &c->wait, *r, *out = NULL, **tail = &out;

	while ((r = *at) != NULL)
		if (r->queued_us < before_us) {
			*at = r->next;
			r->next = NULL;
			*tail = r;
			tail = &r->next;
			c->n_wait--;
		} else
			at = &r->next;
	c->wait_tail = at;
	return out;
}

struct pg_item *
pg_item_push(struct pg_conn *c, enum pg_item_kind kind, struct store_req *r,
    int call)
{
	struct pg_item *it = xcalloc(1, sizeof(*it));

	it->kind = kind;
	it->req = r;
	it->call = call;
	*c->tail = it;
	c->tail = &it->next;
	return it;
}

void
pg_item_pop(struct pg_conn *c)
{
	struct pg_item *it = c->head;

	c->head = it->next;
	if (c->head == NULL)
		c->tail = &c->head;
	free(it);
}

bool *
pg_prepared(struct pg_conn *c, unsigned id)
{
	unsigned n = c->n_prepared;

	if (id >= n) {
		c->n_prepared = id + 32;
		c->prepared = xrealloc(c->prepared,
		    c->n_prepared * sizeof(*c->prepared));
		memset(c->prepared + n, 0,
		    (c->n_prepared - n) * sizeof(*c->prepared));
	}
	return &c->prepared[id];
}
