/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * Where the database can be: each server that the URL names, at each of its
 * addresses.  A connection tries one place at a time, so that one that does
 * not answer cannot use up the time of those after it.
 *
 * libpq looks names up in the calling thread, and a resolver that is down would
 * stop a loop for seconds.  So names are looked up when the database is opened,
 * and when connecting fails by a thread of its own: after a failover a name may
 * mean another machine.
 */

#define ADDRS_MAX 8 /* of one name */

static bool
is_name(const char *host)
{
	struct in6_addr addr;

	return *host != '\0' && *host != '/' && *host != '@' &&
	       inet_pton(AF_INET, host, &addr) != 1 &&
	       inet_pton(AF_INET6, host, &addr) != 1;
}

/* The i-th item of a list with commas; what is not there is "". */
static void
item(const char *list, unsigned i, char *out, size_t size)
{
	*out = '\0';
	for (; list != NULL && i > 0; i--)
		if ((list = strchr(list, ',')) != NULL)
			list++;
	if (list != NULL)
		snprintf(out, size, "%.*s", (int)strcspn(list, ","), list);
}

static unsigned
count_items(const char *list)
{
	unsigned n = 1;

	for (; list != NULL && *list != '\0'; list++)
		n += *list == ',';
	return n;
}

static void
place_add(struct pg_place **v, unsigned *n, const struct pg_place *p)
{
	*v = xrealloc(*v, (*n + 1) * sizeof(**v));
	(*v)[(*n)++] = *p;
}

/* What is known of a name that cannot be looked up now. */
static void
places_keep(struct pg_db *db, struct pg_place **v, unsigned *n,
    const struct pg_place *p)
{
	pthread_mutex_lock(&db->places.lock);
	for (unsigned i = 0; i < db->places.n; i++)
		if (strcmp(db->places.v[i].host, p->host) == 0 &&
		    strcmp(db->places.v[i].port, p->port) == 0)
			place_add(v, n, &db->places.v[i]);
	pthread_mutex_unlock(&db->places.lock);
}

static void
places_look_up(struct pg_db *db, struct pg_place **v, unsigned *n,
    struct pg_place *p)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	int rc = getaddrinfo(p->host, NULL, &hints, &found), i = 0;

	if (rc != 0) {
		log_warn("store", "cannot look up %s: %s", p->host,
		    gai_strerror(rc));
		places_keep(db, v, n, p);
		return;
	}
	for (struct addrinfo *a = found; a != NULL && i < ADDRS_MAX;
	     a = a->ai_next, i++)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, p->addr,
			sizeof(p->addr), NULL, 0, NI_NUMERICHOST) == 0)
			place_add(v, n, p);
	freeaddrinfo(found);
}

static void
places_find(struct pg_db *db)
{
	const char *host = pg_option(db, "host");
	const char *addr = pg_option(db, "hostaddr");
	const char *port = pg_option(db, "port");
	unsigned n_hosts = count_items(addr != NULL ? addr : host), n = 0;
	struct pg_place *v = NULL, p;

	for (unsigned i = 0; i < n_hosts; i++) {
		item(host, i, p.host, sizeof(p.host));
		item(addr, i, p.addr, sizeof(p.addr));
		item(port, count_items(port) > 1 ? i : 0, p.port,
		    sizeof(p.port));
		if (p.addr[0] == '\0' && is_name(p.host))
			places_look_up(db, &v, &n, &p);
		else
			place_add(&v, &n, &p);
	}
	pthread_mutex_lock(&db->places.lock);
	free(db->places.v);
	db->places.v = v;
	db->places.n = n;
	db->places.is_looking = false;
	pthread_mutex_unlock(&db->places.lock);
}

static void *
looker_main(void *arg)
{
	places_find(arg);
	return NULL;
}

/* Of what is cut off something else would be left, which may be there, too. */
static enum as_status
items_fit(const char *list, const char *what, size_t size, struct error *err)
{
	size_t len;

	for (; list != NULL; list = list[len] != '\0' ? list + len + 1 : NULL)
		if ((len = strcspn(list, ",")) >= size)
			return error_set(err, ERR_VALIDATION_FAILED,
			    "store.url: %s of %zu bytes, expected at most %zu",
			    what, len, size - 1);
	return AS_OK;
}

enum as_status
pg_places_init(struct pg_db *db, struct error *err)
{
	static const struct pg_place p;
	enum as_status st = AS_OK;

	pthread_mutex_init(&db->places.lock, NULL);
	if (db->options == NULL)
		return AS_OK;
	if (items_fit(pg_option(db, "host"), "a host", sizeof(p.host), err) !=
		AS_OK ||
	    items_fit(pg_option(db, "hostaddr"), "an address", sizeof(p.addr),
		err) != AS_OK ||
	    items_fit(pg_option(db, "port"), "a port", sizeof(p.port), err) !=
		AS_OK)
		st = AS_INVALID;
	else
		places_find(db);
	return st;
}

void
pg_places_fini(struct pg_db *db)
{
	if (db->places.has_looker)
		pthread_join(db->places.looker, NULL);
	pthread_mutex_destroy(&db->places.lock);
	free(db->places.v);
}

void
pg_places_look_again(struct pg_db *db)
{
	struct pg_places *s = &db->places;

	pthread_mutex_lock(&s->lock);
	if (!s->is_looking) {
		if (s->has_looker)
			pthread_join(s->looker, NULL);
		s->has_looker = pthread_create(&s->looker, NULL, looker_main,
				    db) == 0;
		s->is_looking = s->has_looker;
	}
	pthread_mutex_unlock(&s->lock);
}

unsigned
pg_places_count(struct pg_db *db)
{
	unsigned n;

	pthread_mutex_lock(&db->places.lock);
	n = db->places.n;
	pthread_mutex_unlock(&db->places.lock);
	return n > 0 ? n : 1;
}

bool
pg_place(struct pg_db *db, unsigned nth, struct pg_place *out)
{
	struct pg_places *s = &db->places;

	pthread_mutex_lock(&s->lock);
	if (s->n > 0)
		*out = s->v[nth % s->n];
	pthread_mutex_unlock(&s->lock);
	return s->n > 0;
}
