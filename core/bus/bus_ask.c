/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/bus/bus_link.h"
#include "core/loop/fiber.h"

/*
 * Scripts that Redis runs on one key, as one step.  The whole script is sent
 * each time: Redis may have forgotten it, and these are asked for seldom.
 */

#define ARGS_MAX 8
#define MUTE_MS 1000

/* Two owners: who waits, and the answer that is due. */
struct asking {
	struct fiber_wait wait;
	link_take take;
	void *arg;
	bool answered, taken, left;
};

bool
link_eval(struct bus_redis *b, const struct link_script *script,
    const char *key, const struct redis_arg *args, size_t n, redis_fn fn,
    void *arg)
{
	struct bus_link *l = bus_link_here(b);
	char name[LINK_NAME];
	struct redis_arg all[ARGS_MAX + 4] = { REDIS_STR("EVAL"),
		REDIS_STR(script->text), REDIS_STR("1"), { name, 0 } };

	MUST(n <= ARGS_MAX);
	if (l == NULL)
		return false;
	snprintf(name, sizeof(name), "%s:%s:%s", b->prefix, script->space, key);
	all[3].len = strlen(name);
	memcpy(all + 4, args, n * sizeof(*args));
	return redis_send(l->commands, all, n + 4, fn, arg);
}

static void
on_answer(const redisReply *r, void *arg)
{
	struct asking *a = arg;

	if (a->left) {
		free(a);
		return;
	}
	a->answered = true;
	a->taken = r != NULL && a->take(r, a->arg);
	fiber_wake(a->wait);
}

SUSPENDS bool
link_ask(struct bus_redis *b, const struct link_script *script, const char *key,
    const struct redis_arg *args, size_t n, link_take take, void *arg)
{
	struct bus_link *l = bus_link_here(b);
	uint64_t now = loop_now_ms(loop_self());
	uint64_t until = now + (uint64_t)b->ask_ms;
	struct asking *a;
	bool sent, taken;

	if (l == NULL || now < l->mute_until_ms)
		return false;
	a = xcalloc(1, sizeof(*a));
	a->take = take;
	a->arg = arg;
	a->wait = fiber_prepare();
	sent = link_eval(b, script, key, args, n, on_answer, a);
	while (sent && !a->answered && fiber_suspend(until) == FIBER_WOKEN)
		a->wait = fiber_prepare();
	taken = a->taken;
	if (a->answered || !sent)
		free(a);
	else {
		a->left = true;
		l->mute_until_ms = until + MUTE_MS;
	}
	return taken;
}
