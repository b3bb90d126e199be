/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/strikes.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/*
 * A set of fixed size: a key has WAYS places, and who finds none takes that of
 * the one who is forgiven first.
 */

#define SETS 256
#define WAYS 8
#define FREE_MS ((uint64_t)STRIKES_FREE * STRIKE_MS)

struct debt {
	struct uuid who;
	uint64_t paid_ms; /* when all is forgiven */
};

struct strikes {
	pthread_mutex_t mu;
	struct debt debts[SETS][WAYS];
};

struct strikes *
strikes_new(void)
{
	struct strikes *s = xcalloc(1, sizeof(*s));

	MUST(pthread_mutex_init(&s->mu, NULL) == 0);
	return s;
}

void
strikes_free(struct strikes *s)
{
	if (s == NULL)
		return;
	pthread_mutex_destroy(&s->mu);
	free(s);
}

struct uuid
strikes_key_of_address(const char *address)
{
	struct uuid key = { { [10] = 0xff, [11] = 0xff } };

	if (inet_pton(AF_INET, address, &key.b[12]) == 1)
		return key;
	memset(&key, 0, sizeof(key));
	if (inet_pton(AF_INET6, address, &key) == 1)
		memset(&key.b[8], 0, 8);
	return key;
}

/* Its place, or the one that is to be given up for it. */
static struct debt *
debt_of(struct strikes *s, struct uuid who)
{
	/* These differ most, in addresses and in our ids. */
	struct debt *set = s->debts[who.b[15] ^ who.b[7]], *d = &set[0];

	for (int i = 0; i < WAYS; i++) {
		if (uuid_equal(set[i].who, who))
			return &set[i];
		if (set[i].paid_ms < d->paid_ms)
			d = &set[i];
	}
	return d;
}

void
strikes_add(struct strikes *s, struct uuid who, unsigned n, uint64_t now_ms)
{
	uint64_t most = now_ms + FREE_MS + STRIKES_WAIT_MAX_MS;
	struct debt *d;

	pthread_mutex_lock(&s->mu);
	d = debt_of(s, who);
	if (!uuid_equal(d->who, who) || d->paid_ms < now_ms)
		d->paid_ms = now_ms;
	d->who = who;
	d->paid_ms += (uint64_t)n * STRIKE_MS;
	if (d->paid_ms > most)
		d->paid_ms = most;
	pthread_mutex_unlock(&s->mu);
}

int64_t
strikes_wait_ms(struct strikes *s, struct uuid who, uint64_t now_ms)
{
	struct debt *d;
	uint64_t paid;

	pthread_mutex_lock(&s->mu);
	d = debt_of(s, who);
	paid = uuid_equal(d->who, who) ? d->paid_ms : 0;
	pthread_mutex_unlock(&s->mu);
	return paid > now_ms + FREE_MS ? (int64_t)(paid - now_ms - FREE_MS) : 0;
}
