/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/json_names.h"

#include <string.h>

#include "core/base/json_tape.h"
#include "core/base/mem.h"

/*
 * Objects of a few members are searched one by one, which needs no memory.
 * The names of larger ones are in one open hash table, found by a hash of the
 * name and the object.  Nothing is ever taken out: when an object ends, its
 * names do no harm.  The hash has a secret, so nobody can choose names that
 * collide.
 */

#define FEW 32
#define FIRST_SLOTS 512

struct json_name {
	uint32_t hash;
	uint32_t node; /* 0: the slot is free; a member is never the first */
};

static bool
is_key(const struct json_node *n, const char *key, uint32_t key_len)
{
	size_t last = key_len - (key_len > 0);

	/* Names of one length often differ at their end. */
	return n->key_len == key_len && n->key[last] == key[last] &&
	       memcmp(n->key, key, key_len) == 0;
}

static bool
is_among(const struct json_node *object, uint32_t len, const char *key,
    uint32_t key_len)
{
	const struct json_node *n = json_node_first(object);

	for (; len > 0; len--, n = json_node_next(n)) {
		if (is_key(n, key, key_len))
			return true;
	}
	return false;
}

static uint32_t
hash_of(const struct json_names *names, uint32_t object, const char *key,
    uint32_t key_len)
{
	unsigned char bytes[crypto_shorthash_BYTES];
	uint32_t hash;

	crypto_shorthash(bytes, (const unsigned char *)key, key_len,
	    names->secret);
	memcpy(&hash, bytes, sizeof(hash));
	return hash ^ object * UINT32_C(0x9e3779b9);
}

static void
grow(struct json_names *names)
{
	struct json_name *old = names->slots, *s;
	size_t n_old = names->n_max, i, at;

	if (n_old == 0)
		randombytes_buf(names->secret, sizeof(names->secret));
	names->n_max = n_old > 0 ? 2 * n_old : FIRST_SLOTS;
	names->slots = xcalloc(names->n_max, sizeof(*names->slots));
	for (i = 0; i < n_old; i++) {
		if ((s = &old[i])->node == 0)
			continue;
		at = s->hash & (names->n_max - 1);
		while (names->slots[at].node != 0)
			at = (at + 1) & (names->n_max - 1);
		names->slots[at] = *s;
	}
	free(old);
}

/* A key that will be the node's.  False: so it is another node's already. */
static bool
insert(struct json_names *names, const struct json_tape *t, uint32_t object,
    uint32_t node, const char *key, uint32_t key_len)
{
	struct json_name *s;
	uint32_t hash;
	size_t at;

	if (2 * names->n >= names->n_max)
		grow(names);
	hash = hash_of(names, object, key, key_len);
	for (at = hash;; at++) {
		s = &names->slots[at & (names->n_max - 1)];
		if (s->node == 0)
			break;
		if (s->hash == hash && is_key(&t->nodes[s->node], key, key_len))
			return false;
	}
	*s = (struct json_name){ hash, node };
	names->n++;
	return true;
}

static void
insert_all(struct json_names *names, const struct json_tape *t, uint32_t object,
    uint32_t len)
{
	const struct json_node *n = json_node_first(&t->nodes[object]);

	for (; len > 0; len--, n = json_node_next(n))
		(void)insert(names, t, object, (uint32_t)(n - t->nodes), n->key,
		    n->key_len);
}

bool
json_names_add(struct json_names *names, const struct json_tape *t,
    size_t object, uint32_t len, const char *key, uint32_t key_len)
{
	const struct json_node *o = &t->nodes[object];

	if (len < FEW)
		return !is_among(o, len, key, key_len);
	if (len == FEW)
		insert_all(names, t, (uint32_t)object, len);
	/* Once in 2^32 times it is a member of another object. */
	return insert(names, t, (uint32_t)object, (uint32_t)t->n, key,
		   key_len) ||
	       !is_among(o, len, key, key_len);
}

void
json_names_free(struct json_names *names)
{
	free(names->slots);
}
