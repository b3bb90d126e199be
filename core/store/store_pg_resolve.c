/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * The address of the server.  libpq looks names up in the calling thread, and
 * a resolver that is down would stop a loop for seconds.  So loops connect to
 * the address that the blocking connection found, and when that stops working
 * a thread of its own looks again: after a failover the name may point to
 * another machine.
 */

static const char *
option_value(const struct pg_db *db, const char *keyword)
{
	for (PQconninfoOption *o = db->options; o->keyword != NULL; o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o->val;
	return NULL;
}

static bool
is_name(const char *host)
{
	struct in6_addr addr;

	return host != NULL && *host != '\0' && *host != '/' && *host != '@' &&
	       strchr(host, ',') == NULL &&
	       inet_pton(AF_INET, host, &addr) != 1 &&
	       inet_pton(AF_INET6, host, &addr) != 1;
}

void
pg_resolve_init(struct pg_db *db)
{
	const char *host = option_value(db, "host");

	if (option_value(db, "hostaddr") == NULL && is_name(host))
		db->host = host;
}

void
pg_resolve_fini(struct pg_db *db)
{
	if (db->has_resolver)
		pthread_join(db->resolver, NULL);
	pthread_mutex_destroy(&db->addr_lock);
}

void
pg_resolve_learn(struct pg_db *db)
{
	const char *addr = PQhostaddr(db->admin);

	if (db->host == NULL || addr == NULL)
		return;
	pthread_mutex_lock(&db->addr_lock);
	snprintf(db->addr, sizeof(db->addr), "%s", addr);
	pthread_mutex_unlock(&db->addr_lock);
}

static void *
resolver_main(void *arg)
{
	struct pg_db *db = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	int rc = getaddrinfo(db->host, NULL, &hints, &found);

	pthread_mutex_lock(&db->addr_lock);
	if (rc == 0)
		rc = getnameinfo(found->ai_addr, found->ai_addrlen, db->addr,
		    sizeof(db->addr), NULL, 0, NI_NUMERICHOST);
	if (rc != 0)
		log_warn("store", "cannot look up %s: %s", db->host,
		    gai_strerror(rc));
	db->is_resolving = false;
	pthread_mutex_unlock(&db->addr_lock);
	if (found != NULL)
		freeaddrinfo(found);
	return NULL;
}

void
pg_resolve_again(struct pg_db *db)
{
	if (db->host == NULL)
		return;
	pthread_mutex_lock(&db->addr_lock);
	if (!db->is_resolving) {
		if (db->has_resolver)
			pthread_join(db->resolver, NULL);
		db->has_resolver = pthread_create(&db->resolver, NULL,
				       resolver_main, db) == 0;
		db->is_resolving = db->has_resolver;
	}
	pthread_mutex_unlock(&db->addr_lock);
}

bool
pg_resolve_addr(struct pg_db *db, char *out, size_t size)
{
	if (db->host == NULL)
		return false;
	pthread_mutex_lock(&db->addr_lock);
	snprintf(out, size, "%s", db->addr);
	pthread_mutex_unlock(&db->addr_lock);
	return *out != '\0';
}
