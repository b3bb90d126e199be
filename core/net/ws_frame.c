/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/ws_frame.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/net/ws.h"

/*
 * fed counts the bytes that wslay has taken, used those of whole pieces that
 * it gave back.  When they are equal between messages, nothing is left inside
 * of it.
 */

#define KEEP_BYTES 65536

struct ws_parser {
	wslay_frame_context_ptr ctx;
	const char *data; /* of the feed that runs */
	size_t left;
	uint64_t fed, used;
	struct buf msg; /* the data frames of the message so far */
	struct buf control; /* the payload of the control frame so far */
	enum ws_opcode msg_op; /* 0: no message is open */
	unsigned parts;
	bool in_frame;
	bool fin;
	enum ws_opcode op; /* of this frame; a continuation has msg_op */
	uint64_t frame_left;
	unsigned utf8_need; /* continuation bytes that must follow */
	uint8_t utf8_lo, utf8_hi; /* range of the next one */
};

static ssize_t
on_recv(uint8_t *buf, size_t len, int flags, void *arg)
{
	struct ws_parser *p = arg;

	(void)flags;
	if (len > p->left)
		len = p->left;
	if (len == 0)
		return -1; /* wants more */
	memcpy(buf, p->data, len);
	p->data += len;
	p->left -= len;
	p->fed += len;
	return (ssize_t)len;
}

struct ws_parser *
ws_parser_new(void)
{
	static const struct wslay_frame_callbacks callbacks = {
		.recv_callback = on_recv
	};
	struct ws_parser *p = xcalloc(1, sizeof(*p));

	MUST(wslay_frame_context_init(&p->ctx, &callbacks, p) == 0);
	return p;
}

void
ws_parser_free(struct ws_parser *p)
{
	if (p == NULL)
		return;
	wslay_frame_context_free(p->ctx);
	buf_free(&p->msg);
	buf_free(&p->control);
	free(p);
}

bool
ws_parser_is_clean(const struct ws_parser *p)
{
	return p->fed == p->used && !p->in_frame && p->msg_op == 0;
}

/* ---- UTF-8, byte by byte ------------------------------------------- */

static bool
utf8_lead(struct ws_parser *p, uint8_t b)
{
	p->utf8_lo = 0x80;
	p->utf8_hi = 0xbf;
	if (b < 0x80)
		p->utf8_need = 0;
	else if (b >= 0xc2 && b <= 0xdf)
		p->utf8_need = 1;
	else if (b >= 0xe0 && b <= 0xef)
		p->utf8_need = 2;
	else if (b >= 0xf0 && b <= 0xf4)
		p->utf8_need = 3;
	else
		return false;
	if (b == 0xe0)
		p->utf8_lo = 0xa0;
	else if (b == 0xed)
		p->utf8_hi = 0x9f;
	else if (b == 0xf0)
		p->utf8_lo = 0x90;
	else if (b == 0xf4)
		p->utf8_hi = 0x8f;
	return true;
}

static bool
utf8_feed(struct ws_parser *p, const uint8_t *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (p->utf8_need == 0) {
			if (s[i] >= 0x80 && !utf8_lead(p, s[i]))
				return false;
			continue;
		}
		if (s[i] < p->utf8_lo || s[i] > p->utf8_hi)
			return false;
		p->utf8_lo = 0x80;
		p->utf8_hi = 0xbf;
		p->utf8_need--;
	}
	return true;
}

/* ---- Frames -------------------------------------------------------- */

static size_t
head_len(const struct wslay_frame_iocb *f)
{
	size_t n = 2 + 4; /* with the mask */

	if (f->payload_length > 65535)
		n += 8;
	else if (f->payload_length > 125)
		n += 2;
	return n;
}

static int
frame_open_data(struct ws_parser *p, const struct ws_limits *limits,
    const struct wslay_frame_iocb *f)
{
	if (f->opcode == WSLAY_CONTINUATION_FRAME) {
		if (p->msg_op == 0)
			return WS_PROTOCOL;
	} else {
		if (p->msg_op != 0)
			return WS_PROTOCOL;
		p->msg_op = (enum ws_opcode)f->opcode;
		p->parts = 0;
		p->utf8_need = 0;
		buf_reset(&p->msg);
	}
	p->op = p->msg_op;
	if (++p->parts > limits->max_parts ||
	    f->payload_length > limits->max_message ||
	    p->msg.len + f->payload_length > limits->max_message)
		return WS_TOO_BIG;
	return 0;
}

static int
frame_open(struct ws_parser *p, const struct ws_limits *limits,
    const struct wslay_frame_iocb *f)
{
	if (!f->mask || f->rsv != 0)
		return WS_PROTOCOL;
	p->in_frame = true;
	p->fin = f->fin;
	p->frame_left = f->payload_length;
	p->used += head_len(f);
	switch (f->opcode) {
	case WSLAY_CONTINUATION_FRAME:
	case WSLAY_TEXT_FRAME:
	case WSLAY_BINARY_FRAME:
		return frame_open_data(p, limits, f);
	case WSLAY_CONNECTION_CLOSE:
	case WSLAY_PING:
	case WSLAY_PONG:
		p->op = (enum ws_opcode)f->opcode;
		buf_reset(&p->control);
		return 0;
	default:
		return WS_PROTOCOL;
	}
}

static int
frame_data(struct ws_parser *p, const struct wslay_frame_iocb *f)
{
	p->used += f->data_length;
	p->frame_left -= f->data_length;
	if (p->op >= WS_OP_CLOSE) {
		buf_add(&p->control, f->data, f->data_length);
		return 0;
	}
	if (p->op == WS_OP_TEXT && !utf8_feed(p, f->data, f->data_length))
		return WS_BAD_DATA;
	buf_add(&p->msg, f->data, f->data_length);
	return 0;
}

bool
ws_code_is_valid(int code)
{
	return (code >= 1000 && code <= 1003) ||
	       (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/* Returns the code to fail with, or 0 and the code of the frame. */
static int
close_check(const struct buf *b, int *code)
{
	*code = WS_NO_STATUS;
	if (b->len == 0)
		return 0;
	if (b->len == 1)
		return WS_PROTOCOL;
	*code = (uint8_t)b->data[0] << 8 | (uint8_t)b->data[1];
	if (!ws_code_is_valid(*code))
		return WS_PROTOCOL;
	if (!text_is_utf8(b->data + 2, b->len - 2))
		return WS_BAD_DATA;
	return 0;
}

static int
frame_close_control(struct ws_parser *p, ws_frame_fn *fn, void *arg, bool *stop)
{
	const struct buf *b = &p->control;
	int code = 0, fail;

	if (p->op == WS_OP_CLOSE && (fail = close_check(b, &code)) != 0)
		return fail;
	*stop = !fn(arg, p->op, b->data, b->len, code);
	return 0;
}

/* The frame is whole. */
static int
frame_close(struct ws_parser *p, ws_frame_fn *fn, void *arg, bool *stop)
{
	p->in_frame = false;
	if (p->op >= WS_OP_CLOSE)
		return frame_close_control(p, fn, arg, stop);
	if (!p->fin)
		return 0;
	if (p->utf8_need != 0)
		return WS_BAD_DATA;
	p->msg_op = 0;
#ifdef FUZZ_PLANT
	if (p->parts > 1 && p->op == WS_OP_BINARY)
		abort();
#endif
	*stop = !fn(arg, p->op, p->msg.data, p->msg.len, 0);
	if (p->msg.cap > KEEP_BYTES)
		buf_free(&p->msg);
	return 0;
}

static int
frame_piece(struct ws_parser *p, const struct ws_limits *limits,
    const struct wslay_frame_iocb *f, ws_frame_fn *fn, void *arg, bool *stop)
{
	int code = 0;

	if (!p->in_frame)
		code = frame_open(p, limits, f);
	if (code == 0)
		code = frame_data(p, f);
	if (code == 0 && p->frame_left == 0)
		code = frame_close(p, fn, arg, stop);
	return code;
}

int
ws_parser_feed(struct ws_parser *p, const struct ws_limits *limits,
    const char *data, size_t len, ws_frame_fn *fn, void *arg)
{
	bool stop = false;
	int code = 0;

	p->data = data;
	p->left = len;
	while (code == 0 && !stop) {
		struct wslay_frame_iocb f = { 0 };
		ssize_t n = wslay_frame_recv(p->ctx, &f);

		if (n == WSLAY_ERR_WANT_READ) {
			if (p->left == 0)
				break;
			continue;
		}
		if (n < 0)
			return WS_PROTOCOL;
		code = frame_piece(p, limits, &f, fn, arg, &stop);
	}
	p->data = NULL;
	return code;
}

size_t
ws_frame_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode op, size_t len)
{
	size_t n = 2, i;

	out[0] = (uint8_t)(0x80 | op);
	if (len <= 125) {
		out[1] = (uint8_t)len;
		return 2;
	}
	out[1] = len <= 65535 ? 126 : 127;
	for (i = len <= 65535 ? 2 : 8; i-- > 0;)
		out[n++] = (uint8_t)((uint64_t)len >> (8 * i));
	return n;
}
