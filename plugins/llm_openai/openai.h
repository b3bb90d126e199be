/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LLM_OPENAI_OPENAI_H
#define LLM_OPENAI_OPENAI_H

/* What the files of this plugin share. */

#include <agentstudio/llm.h>

#define TRIES_MAX 3

struct conf {
	const char *base_url;
	const char *api_key;
	const char *organization;
	const char *project;
	const struct as_json *headers;
	const char *default_model;
	struct as_list models;
	struct as_list embedding_models;
	const char *max_tokens_member;
	bool include_usage;
	const char *embedding_format;
	int64_t idle;
};

/* A tool's name as the provider accepts it, and as the host knows it. */
struct name {
	const char *ours;
	char wire[65];
};

struct names {
	struct name *v;
	size_t n;
};

/* ---- llm_openai.c */

const char *openai_url(struct as_call *call, const char *path);
const char *const *openai_headers(struct as_call *call, const char *accept);
/* The failure that an answer other than 2xx means. */
enum as_status openai_failure(struct as_call *call,
    const struct as_http_response *res, const struct as_json *body);
/* The failure in an error object that came instead of an answer. */
enum as_status openai_error_object(struct as_call *call,
    const struct as_json *error);
/*
 * The n-th try has failed with st.  AS_OK: the pause is over, try again.
 * Otherwise what to return.
 */
AS_SUSPENDS enum as_status openai_retry(struct as_call *call, enum as_status st,
    int n, int64_t began_ms);

/* ---- request.c */

enum as_status names_init(struct as_call *call, struct names *names,
    const struct as_json *tools);
const char *names_ours(const struct names *names, const char *wire);
struct as_json *chat_request(struct as_call *call, const struct as_chat *chat,
    const struct names *names);

/* ---- chat.c, embed.c */

AS_SUSPENDS enum as_status openai_chat(struct as_call *call,
    const struct as_chat *chat);
AS_SUSPENDS enum as_status openai_embed(struct as_call *call,
    const struct as_texts *texts);

#endif
