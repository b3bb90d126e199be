/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_MSG_H
#define CORE_PLUG_MSG_H

/*
 * What crosses the border between host and plugin, as values.
 *
 * Every operation, everything a plugin says, every service it asks for and
 * every answer is one struct msg.  On the same fiber it is passed as it is; to
 * another thread, and later to another process, as the bytes of msg_encode.
 * No member is a pointer that means anything to the other side.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

struct arena;
struct buf;
struct json_object;

enum msg_kind {
	/* What the host asks of a plugin. */
	OP_INIT = 1,
	OP_START,
	OP_STOP,
	OP_FINI,
	OP_TOOL, /* name, value: arguments, bytes: what as_keep has kept, as
		JSON */
	OP_VERIFY, /* the same */
	OP_LIST,
	OP_CHAT, /* name: model, value: {messages, tools, settings} */
	OP_EMBED, /* name: model, value: [text], n: is a query */
	OP_MODELS,
	OP_LOGIN, /* value: credentials */
	OP_SIGNUP,
	OP_UPDATE,
	OP_TOKEN, /* name: the token */
	/* Of vectors; name: the collection, index: dimension, n: metric. */
	OP_CREATE,
	OP_DROP,
	OP_PUT, /* value: {ids, metas}, bytes: floats, row by row */
	OP_REMOVE, /* value: [id] */
	OP_SEARCH, /* value: {limit, min_score, filter?}, bytes: floats */
	OP_LAST_ = OP_SEARCH,

	/* What a plugin says while it works. */
	EMIT_REPLY = 32, /* value */
	EMIT_PROGRESS, /* x, name */
	EMIT_OUTPUT, /* bytes */
	EMIT_OFFER, /* value */
	EMIT_OFFERS_CHANGED,
	EMIT_DELTA, /* n: type, index, end in x, id, name, bytes, value */
	EMIT_USAGE, /* value: {input, output, cached, reasoning} */
	EMIT_VECTOR, /* index, bytes: floats */
	EMIT_MODEL, /* value */
	EMIT_HIT, /* name: id, x: score, value: metadata */
	EMIT_IDENTITY, /* value */
	EMIT_SESSION, /* value */
	EMIT_REDIRECT, /* name: the URL */
	EMIT_LOG, /* n: level, name: text */
	EMIT_COUNT, /* name, x */

	/* What it asks for, and waits. */
	SERVE_HTTP = 64, /* value: the request, bytes: its body, n: stream */
	SERVE_HTTP_READ, /* n: which stream */
	SERVE_KV_GET, /* n: scope, name: key */
	SERVE_KV_PUT, /* the same, value: {value, ttl_ms} */
	SERVE_KV_SWAP, /* the same, value: {expected, value, ttl_ms} */
	SERVE_ASK, /* name: key, value: {title, text, value, schema, allow,
		expires_ms} */
	SERVE_KEEP, /* name: key, value */
	SERVE_CREDENTIAL, /* name */
	SERVE_SECRET, /* name */
	SERVE_DB, /* n: serve_db_kind, value: {texts, params} */
	SERVE_FILE_STAT, /* name: id */
	SERVE_FILE_READ, /* name: id, n: offset, index: bytes at most */
	SERVE_FILE_WRITE, /* name, id: media type, bytes */
	SERVE_PROCESS_OPEN, /* value: {argv, env, ...}, bytes: its input */
	SERVE_PROCESS_READ, /* n: which program */
	SERVE_PROCESS_WRITE, /* the same, bytes */
	SERVE_PROCESS_WAIT, /* the same */
	SERVE_TCP_OPEN, /* value: {host, port, server_name, tls, idle_ms} */
	SERVE_TCP_TLS, /* n: which stream */
	SERVE_TCP_READ, /* the same */
	SERVE_TCP_WRITE, /* the same, bytes */
	SERVE_OTHER, /* name: a service that is not bound */

	/* What comes back. */
	MSG_ANSWER = 96, /* n: status, and what the service gives */
	MSG_END /* n: status, value: the failure */
};

struct msg {
	enum msg_kind kind;
	uint32_t index;
	int64_t n;
	double x;
	const char *name;
	const char *id;
	struct json_object *value; /* borrowed */
	const void *bytes;
	size_t len;
};

/* No frame is longer; what would be is refused with AS_LIMIT. */
#define MSG_MAX ((size_t)64 << 20)

/* Appends the frame to b.  False: it would be too long. */
bool msg_encode(const struct msg *m, struct buf *b);

/*
 * The frame's text and value live in the arena, its bytes in the frame itself.
 * False: these bytes are not a frame (the other side is broken).
 */
bool msg_decode(const void *frame, size_t len, struct msg *m,
    struct arena *arena);

#endif
