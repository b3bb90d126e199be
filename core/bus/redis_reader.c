/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/redis_reader.h"

#include <stdlib.h>

#include "core/base/mem.h"

/*
 * hiredis makes room for as many parts of an array as its head promises, two
 * thousand million by a dozen bytes, and looks at each of them to free it.
 */

#define BYTES_MAX ((size_t)64 * 1024 * 1024) /* of one answer */
#define PARTS_MAX 65536

#if HIREDIS_MAJOR < 1
typedef int array_len;
#else
typedef size_t array_len;
#endif

struct redis_reader {
	redisReader *r;
	redisReplyObjectFunctions fn;
	void *(*make_array)(const redisReadTask *task, array_len n);
	size_t bytes, parts; /* of an answer that is not whole yet */
};

static void *
make_array(const redisReadTask *task, array_len n)
{
	struct redis_reader *r = task->privdata;

	r->parts += (size_t)n;
	return r->parts <= PARTS_MAX ? r->make_array(task, n) : NULL;
}

struct redis_reader *
redis_reader_new(void)
{
	struct redis_reader *r = xcalloc(1, sizeof(*r));

	r->r = redisReaderCreate();
	MUST(r->r != NULL);
	r->fn = *r->r->fn;
	r->make_array = r->fn.createArray;
	r->fn.createArray = make_array;
	r->r->fn = &r->fn;
	r->r->privdata = r;
	return r;
}

void
redis_reader_free(struct redis_reader *r)
{
	if (r == NULL)
		return;
	redisReaderFree(r->r);
	free(r);
}

bool
redis_reader_feed(struct redis_reader *r, const char *bytes, size_t n)
{
	r->bytes += n;
	return r->bytes <= BYTES_MAX &&
	       redisReaderFeed(r->r, bytes, n) == REDIS_OK;
}

bool
redis_reader_next(struct redis_reader *r, redisReply **out)
{
	void *reply = NULL;
	bool ok = redisReaderGetReply(r->r, &reply) == REDIS_OK;

	*out = reply;
	if (reply != NULL)
		r->bytes = r->parts = 0;
	return ok;
}
