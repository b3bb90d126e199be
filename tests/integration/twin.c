/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/twin.h"

/* See twin.h. */

struct model *model;
struct run_store *both[2];
uint64_t chance;
int64_t now_us;
uint64_t n_ids;
struct uuid threads[64];
int n_threads, n_promoted;
struct uuid user_id, other_id, agent_id;
char what[256];
bool parted;

const struct uuid tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0,
    0, 1 } };

/* ---- Chance -------------------------------------------------------- */

uint32_t
below(uint32_t n)
{
	uint64_t z = chance += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)((z >> 32) % n);
}

bool
one_in(uint32_t n)
{
	return below(n) == 0;
}

struct uuid
new_id(void)
{
	struct uuid id = { { 0x01, 0x8c } };

	n_ids++;
	id.b[6] = 0x70;
	id.b[8] = 0x80;
	for (int i = 0; i < 4; i++)
		id.b[15 - i] = (uint8_t)(n_ids >> (8 * i));
	return id;
}

void *
any(const struct model_list *l)
{
	return l->n > 0 ? l->rows[below((uint32_t)l->n)] : NULL;
}

const char *
words(void)
{
	static const char *const list[] = { "", "plain", "a \"quoted\" one",
		"back\\slash", "{},{}", "\xc3\xbc and \xe2\x82\xac", "it's",
		"line\nline" };

	return list[below(N_ITEMS(list))];
}

/* ---- On both ------------------------------------------------------- */

void
same_status(enum as_status a, enum as_status b, const struct error *err)
{
	if (a != b)
		tap_note("%s: the model says %d, the database %d (%s)", what,
		    (int)a, (int)b, err->detail);
	parted = parted || a != b;
	CU_ASSERT_EQUAL(a, b);
}

void
same_text(const char *a, const char *b)
{
	CU_ASSERT_STRING_EQUAL(a != NULL ? a : "-", b != NULL ? b : "-");
}

void
same_count(int a, int b)
{
	parted = parted || a != b;
	CU_ASSERT_EQUAL(a, b);
}

void
twin_clock_moves(void)
{
	now_us += 1000 + below(5000000);
	model->now_us = now_us;
	MUST(store_clock_set(env.db, now_us) == AS_OK);
}
