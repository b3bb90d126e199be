/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "openai.h"

/*
 * Embeddings.  Vectors come as numbers or as base64 of little-endian floats,
 * whatever was asked for; each text must get exactly one.
 */

#define DIM_MAX 65536u

static int
digit64(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Returns the number of floats, or 0 if this is no such text. */
static uint32_t
from_base64(struct as_call *call, const char *s, size_t len, float **out)
{
	uint32_t bits = 0, word = 0, n = 0;
	int have = 0, filled = 0, d;

	while (len > 0 && s[len - 1] == '=')
		len--;
	if (len / 4 * 3 + 3 > DIM_MAX * 4 ||
	    (*out = as_alloc(call, len + 8)) == NULL)
		return 0;
	for (size_t i = 0; i < len; i++) {
		if ((d = digit64(s[i])) < 0)
			return 0;
		bits = bits << 6 | (uint32_t)d;
		if ((have += 6) < 8)
			continue;
		have -= 8;
		word |= (bits >> have & 0xff) << 8 * filled;
		if (++filled < 4)
			continue;
		memcpy(&(*out)[n++], &word, sizeof(word));
		word = 0;
		filled = 0;
	}
	return filled == 0 ? n : 0;
}

static uint32_t
from_numbers(struct as_call *call, const struct as_json *list, float **out)
{
	struct as_iter it = as_each(list);
	size_t dim = as_size(list);
	uint32_t n = 0;

	if (as_type(list) != AS_JSON_ARRAY || dim == 0 || dim > DIM_MAX ||
	    (*out = as_alloc(call, dim * sizeof(float))) == NULL)
		return 0;
	while (as_next(&it) && n < dim) {
		if (as_type(it.value) != AS_JSON_INT &&
		    as_type(it.value) != AS_JSON_NUM)
			return 0;
		(*out)[n++] = (float)as_host_table->json->num(it.value);
	}
	return n;
}

static enum as_status
give(struct as_call *call, const struct as_json *item, uint32_t i)
{
	const struct as_json *v = as_get(item, "embedding");
	size_t len;
	const char *text = as_str(v, &len);
	float *floats = NULL;
	uint32_t dim;

	dim = text != NULL ? from_base64(call, text, len, &floats)
			   : from_numbers(call, v, &floats);
	for (uint32_t k = 0; k < dim; k++) {
		if (!isfinite(floats[k]))
			dim = 0;
	}
	if (dim == 0)
		return as_fail(call, AS_UPSTREAM,
		    "the embedding of text %u is not a vector", (unsigned)i);
	return as_embedding(call, i, floats, dim);
}

static enum as_status
give_all(struct as_call *call, const struct as_json *data, uint32_t n)
{
	struct as_iter it = as_each(data);
	bool *seen = as_alloc(call, n + 1);
	enum as_status st;
	uint32_t got = 0;

	if (seen == NULL)
		return as_fail(call, AS_NOMEM, "no memory for embeddings");
	for (int64_t place = 0; as_next(&it); place++) {
		int64_t i = as_get_int(it.value, "index", place);

		if (i < 0 || i >= (int64_t)n || seen[i])
			return as_fail(call, AS_UPSTREAM,
			    "there is no text for an embedding with index %lld",
			    (long long)i);
		seen[i] = true;
		got++;
		if ((st = give(call, it.value, (uint32_t)i)) != AS_OK)
			return st;
	}
	if (got < n)
		return as_fail(call, AS_UPSTREAM,
		    "%u of %u texts have got no embedding", (unsigned)(n - got),
		    (unsigned)n);
	return AS_OK;
}

AS_SUSPENDS static enum as_status
ask_once(struct as_call *call, const struct as_json *body,
    const struct as_http_response **res)
{
	const struct conf *conf = as_conf(call);
	const struct as_json *error;
	enum as_status st;

	st = as_http(call,
	    AS_TABLE(as_http_request, .method = "POST",
		.url = openai_url(call, "/embeddings"),
		.headers = openai_headers(call, "application/json"),
		.json = body, .idle_ms = conf->idle),
	    res);
	if (st != AS_OK)
		return st;
	if ((*res)->status < 200 || (*res)->status >= 300)
		return openai_failure(call, *res, (*res)->json);
	error = as_get((*res)->json, "error");
	if (as_type(error) == AS_JSON_OBJECT)
		return openai_error_object(call, error);
	return AS_OK;
}

enum as_status
openai_embed(struct as_call *call, const struct as_texts *texts)
{
	const struct conf *conf = as_conf(call);
	const struct as_http_response *res;
	struct as_json *body = as_object(call), *input;
	int64_t began = as_now_ms(call), tokens;
	enum as_status st;

	as_put_str(body, "model", texts->model);
	input = as_put_array(body, "input");
	for (uint32_t i = 0; i < texts->n; i++)
		as_put_str(input, NULL, texts->texts[i]);
	as_put_str(body, "encoding_format", conf->embedding_format);
	for (int n = 1; (st = ask_once(call, body, &res)) != AS_OK; n++) {
		if ((st = openai_retry(call, st, n, began)) != AS_OK)
			return st;
	}
	tokens = as_get_int(res->json, "/usage/prompt_tokens", -1);
	if ((st = as_chat_usage(call, tokens, 0)) != AS_OK)
		return st;
	return give_all(call, as_get(res->json, "data"), texts->n);
}
