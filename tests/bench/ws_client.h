/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_WS_CLIENT_H
#define TESTS_BENCH_WS_CLIENT_H

/*
 * The client's side of many WebSockets in one thread, for measuring: blocking
 * connect, epoll, one buffer for all that are idle.  Whatever is not as
 * expected ends the program.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsc {
	int fd;
	bool upgraded;
	char *in; /* NULL: nothing is half there */
	size_t len;
	void *arg; /* the owner's */
};

struct wsc_target {
	int port;
	const char *token, *path; /* with its query */
	/* 127.0.0.N is the client's: a port has 28,000 peers at an address. */
	int source;
};

/* A text frame's payload, NUL-terminated. */
typedef void (*wsc_fn)(struct wsc *c, char *text, size_t len);

void wsc_fail(const char *what, const char *detail);
uint64_t wsc_now_ns(void);
double wsc_cpu_s(void); /* of this thread */
void wsc_open(struct wsc *c, int ep, const struct wsc_target *t);
void wsc_close(struct wsc *c);
void wsc_send(struct wsc *c, const char *text);
void wsc_read(struct wsc *c, wsc_fn fn); /* what is there to be read */
/* The same of each one that has something; how many those were. */
int wsc_turn(int ep, int timeout_ms, wsc_fn fn);
void wsc_files_raise(void); /* as many descriptors as allowed */
/* The start of a member's value, or NULL: enough for our own server. */
const char *wsc_member(const char *json, const char *name);
bool wsc_member_is(const char *json, const char *name, const char *value);
/* The value below which the share p of them is; sorts. */
double wsc_quantile(double *values, size_t n, double p);

#endif
