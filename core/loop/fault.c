/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/loop/crumb.h"
#include "core/loop/fiber.h"
#include "core/loop/stack.h"

/*
 * What fatal signals say.  A stack that overflowed has no room for the handler,
 * so each loop's thread has an alternate one.  The handler marks the thread's
 * breadcrumb and calls nothing but write(2), then puts back what handled the
 * signal before and returns: the instruction faults again, and the core file
 * (or the sanitizer's report) shows the place itself.
 */

#define SIGSTACK_SIZE ((size_t)64 * 1024)

static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static struct sigaction fault_old[N_ITEMS(fault_signals)];
static pthread_once_t fault_once = PTHREAD_ONCE_INIT;

struct line {
	char text[256];
	size_t len;
};

static void
line_add(struct line *l, const char *s)
{
	while (*s != '\0' && l->len < sizeof(l->text))
		l->text[l->len++] = *s++;
}

static void
line_add_num(struct line *l, uintptr_t n, unsigned base)
{
	char digits[24];
	size_t i = sizeof(digits);

	digits[--i] = '\0';
	do
		digits[--i] = "0123456789abcdef"[n % base];
	while ((n /= base) != 0);
	line_add(l, &digits[i]);
}

static const struct sigaction *
fault_before(int sig)
{
	size_t i = 0;

	while (fault_signals[i] != sig)
		i++;
	return &fault_old[i];
}

static void
fault_say(int sig, const siginfo_t *si, const char *who)
{
	struct line l = { .len = 0 };

	line_add(&l, "fatal: ");
	if (fiber_guest() != NULL) {
		line_add(&l, "plugin ");
		line_add(&l, fiber_guest());
		line_add(&l, " in ");
	}
	line_add(&l, "fiber '");
	line_add(&l, who);
	if (stack_is_guard(si->si_addr)) {
		line_add(&l, "' overflowed its ");
		line_add_num(&l, STACK_SIZE / 1024, 10);
		line_add(&l, " KiB stack (fault at 0x");
	} else {
		line_add(&l, "' got signal ");
		line_add_num(&l, (uintptr_t)sig, 10);
		line_add(&l, " (at 0x");
	}
	line_add_num(&l, (uintptr_t)si->si_addr, 16);
	line_add(&l, ")\n");
	(void)!write(STDERR_FILENO, l.text, l.len);
}

static void
fault_handler(int sig, siginfo_t *si, void *uc)
{
	const char *who = must_where != NULL ? must_where() : "?";

	(void)uc;
	crumb_crashed(who);
	/* Who aborts has said why, if it is one of us. */
	if (sig != SIGABRT || fiber_guest() != NULL)
		fault_say(sig, si, who);
	sigaction(sig, fault_before(sig), NULL);
	if (si->si_code <= 0) /* sent, not caused: it would not come again */
		raise(sig);
}

static void
fault_setup(void)
{
	struct sigaction sa = { .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sa.sa_sigaction = fault_handler;
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < N_ITEMS(fault_signals); i++)
		sigaction(fault_signals[i], &sa, &fault_old[i]);
}

void *
fault_enter(void)
{
	stack_t ss = { .ss_size = SIGSTACK_SIZE };
	stack_t old;

	pthread_once(&fault_once, fault_setup);
	if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE) == 0)
		return NULL;
	ss.ss_sp = xmalloc(SIGSTACK_SIZE);
	MUST(sigaltstack(&ss, NULL) == 0);
	return ss.ss_sp;
}

void
fault_leave(void *sigstack)
{
	stack_t off = { .ss_flags = SS_DISABLE };

	if (sigstack == NULL)
		return;
	sigaltstack(&off, NULL);
	free(sigstack);
}
