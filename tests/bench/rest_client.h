/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_REST_CLIENT_H
#define TESTS_BENCH_REST_CLIENT_H

/*
 * A kept connection of HTTP/1.1 to our own server: one GET after the other,
 * each of which has to be answered with 200.  What fails ends the program
 * (wsc_fail).  The owner's epoll has it with data.ptr as itself.
 */

#include <stdbool.h>
#include <stddef.h>

enum {
	REST_ANSWER_MAX = 65536
};

struct rest {
	int fd;
	size_t len;
	char in[REST_ANSWER_MAX];
};

void rest_open(struct rest *c, int ep, int port);
void rest_ask(struct rest *c, const char *token, const char *path);
/* What is there to be read; true: that was the rest of an answer. */
bool rest_read(struct rest *c);

#endif
