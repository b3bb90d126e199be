/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/hook/sender.h"
#include "core/hook/signature.h"
#include "core/hook/template.h"

/*
 * What comes in from outside with a webhook.  The first byte says what the rest
 * is: h, a header of signatures, a line end and a body, where each '$' of the
 * header stands for the right signature; g, the same in the way of GitHub; t, a
 * template, a line end and a body; r, a Retry-After.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define NOW INT64_C(1800000000000000)

/* The part before the first line end, and the one after it. */
static char *
split(const uint8_t *data, size_t len, const char **body, size_t *body_len)
{
	const uint8_t *nl = memchr(data, '\n', len);
	size_t n = nl != NULL ? (size_t)(nl - data) : len;
	char *text = xmalloc(n + 1);

	memcpy(text, data, n);
	text[n] = '\0';
	*body = nl != NULL ? (const char *)nl + 1 : "";
	*body_len = nl != NULL ? len - n - 1 : 0;
	return text;
}

/* As a reader of the specification would look, one word after the other. */
static bool
has_word(const char *header, const char *word)
{
	size_t len = strlen(word);

	for (int i = 0; i < 16 && *header != '\0'; i++) {
		header += strspn(header, " ");
		if (strncmp(header, word, len) == 0 &&
		    (header[len] == ' ' || header[len] == '\0'))
			return true;
		header += strcspn(header, " ");
	}
	return false;
}

static void
header_fuzz(const uint8_t *data, size_t len)
{
	struct signature_key k = { .p = { 1, 2, 3 }, .len = 32 };
	struct signed_message m = { .id = "msg_1", .timestamp = 1800000000 };
	struct buf right = { 0 }, header = { 0 };
	const char *body;
	char *text = split(data, len, &body, &m.len);

	m.body = body;
	signature_add(&right, &k, &m);
	buf_add(&header, "", 0);
	for (const char *p = text; *p != '\0'; p++)
		if (*p == '$')
			buf_add(&header, right.data, right.len);
		else
			buf_add_char(&header, *p);
	buf_reserve(&header, 1);
	header.data[header.len] = '\0';
	if (signature_is_of(header.data, &k, 1, &m) !=
	    has_word(header.data, right.data))
		abort();
	buf_free(&right);
	buf_free(&header);
	free(text);
}

static void
github_fuzz(const uint8_t *data, size_t len)
{
	struct signature_key k = { .p = { 1, 2, 3 }, .len = 32 };
	const char *body;
	size_t n;
	char *text = split(data, len, &body, &n);

	if (signature_github_is_of(text, &k, 1, body, n) && strlen(text) != 71)
		abort();
	(void)signature_key_parse(text, strlen(text), &k);
	free(text);
}

static void
template_fuzz(const uint8_t *data, size_t len)
{
	struct buf out = { 0 };
	const char *body, *at;
	size_t n;
	char *text = split(data, len, &body, &n);

	if (text_is_utf8(text, strlen(text)) &&
	    template_check(text, NULL) == AS_OK) {
		template_fill(&out, text, "msg_1", body, n);
		if (!text_is_utf8(out.data, out.len) ||
		    out.len > TEMPLATE_MAX + 16 * TEMPLATE_BODY_MAX)
			abort();
	}
	buf_reset(&out);
	/* Whatever came, none of its lines stands without its mark. */
	template_fill(&out, "{{body}}", "msg_1", body, n);
	for (at = out.data; at != NULL && *at != '\0'; at++) {
		if (strncmp(at, "> ", 2) != 0)
			abort();
		at = strchr(at, '\n');
		if (at == NULL)
			abort();
	}
	buf_free(&out);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *body;
	size_t n;
	char *text;

	if (len < 1)
		return 0;
	if (data[0] == 'h')
		header_fuzz(data + 1, len - 1);
	else if (data[0] == 'g')
		github_fuzz(data + 1, len - 1);
	else if (data[0] == 't')
		template_fuzz(data + 1, len - 1);
	else {
		text = split(data + 1, len - 1, &body, &n);
		if (hook_retry_after_ms(text, NOW) < 0 ||
		    hook_retry_after_ms(text, NOW) > 86400000)
			abort();
		free(text);
	}
	return 0;
}
