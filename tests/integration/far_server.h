/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_FAR_SERVER_H
#define TESTS_INTEGRATION_FAR_SERVER_H

/*
 * What tests of the HTTP client talk to: servers of a few lines, each a process
 * that accepts, with a thread for each connection, and behaviour by path; and a
 * client on a loop of its own for each test.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

#include "core/loop/fiber.h"
#include "core/net/http_client.h"
#include "tests/tap.h"

#define FLOOD (32u * 1024 * 1024) /* bytes of /flood */

struct server {
	int fd;
	int port;
	pid_t pid;
	int go; /* eventfd: a /chunk ends */
	int changed; /* eventfd: one of these is more */
	atomic_int connections, requests, aborted, blocked, ended;
	atomic_size_t flooded;
	pthread_mutex_t mu;
	char last[4096]; /* the latest request */
};

extern struct server *one, *two; /* shared with the processes that serve */
extern struct loop *loop;
extern struct http_client *client;

/* For a suite. */
int servers_start(void);
int servers_stop(void);
/* A test: body, on a fiber of a new loop with a new client. */
void on_fiber(void (*body)(void));

/* Of the latest request. */
bool server_heard(struct server *s, const char *text);
/* Until a counter of the server is as high; a failure if it never is. */
SUSPENDS void far_until(struct server *s, atomic_int *what, int at_least);
/* Good for four calls. */
char *far_url(const struct server *s, const char *path);

struct outcome {
	enum as_status st;
	int status;
	char *body;
	size_t len;
	char url[100]; /* for who fetches on a fiber of its own */
	char header[100]; /* X-Thing or Location */
	char detail[256];
	bool sent;
};

void outcome_clear(struct outcome *o);
/* What o had is freed. */
SUSPENDS void far_fetch(const struct http_request *req, struct outcome *o);
SUSPENDS void far_get(const char *u, enum http_trust trust, struct outcome *o);

#define HAS(o, text) CU_ASSERT_PTR_NOT_NULL(strstr((o).detail, text))

#endif
