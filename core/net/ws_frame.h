/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_WS_FRAME_H
#define CORE_NET_WS_FRAME_H

/*
 * WebSocket frames as bytes arrive, put together to messages.  Pure: no
 * sockets.  wslay reads the frames; masks, reserved bits and opcodes,
 * fragments, UTF-8 (at once, not at the end), sizes and close codes are
 * checked here.
 *
 * A parser is some 5 KB.  A socket needs one only while a frame or a message
 * is incomplete; between messages one serves all sockets of a loop.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_parser;

enum ws_opcode {
	WS_OP_TEXT = 1,
	WS_OP_BINARY = 2,
	WS_OP_CLOSE = 8,
	WS_OP_PING = 9,
	WS_OP_PONG = 10
};

#define WS_CONTROL_MAX 125
#define WS_HEAD_MAX 10

/*
 * A message or a control frame, NUL-terminated beyond len.  code: of a close
 * frame, 1005 without one.  False: stop, the rest is not for the parser.
 */
typedef bool ws_frame_fn(void *arg, enum ws_opcode op, const char *p,
    size_t len, int code);

struct ws_limits {
	size_t max_message;
	unsigned max_parts;
};

struct ws_parser *ws_parser_new(void);
void ws_parser_free(struct ws_parser *p); /* NULL does nothing */
/*
 * 0, or the code to close with; after that the parser must be freed, as when
 * fn has said stop.
 */
int ws_parser_feed(struct ws_parser *p, const struct ws_limits *limits,
    const char *data, size_t len, ws_frame_fn *fn, void *arg);
/* Nothing is half there: it may serve another socket. */
bool ws_parser_is_clean(const struct ws_parser *p);

/* The head of a server's frame; returns its length. */
size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode op, size_t len);
/* May this code be in a close frame? */
bool ws_code_is_valid(int code);

#endif
