/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_HOST_H
#define CORE_PLUG_HOST_H

/* The functions behind the host table; agentstudio/host.h says what they do. */

#include <agentstudio/auth.h>
#include <agentstudio/db.h>
#include <agentstudio/llm.h>
#include <agentstudio/process.h>
#include <agentstudio/stream.h>
#include <agentstudio/toolkit.h>
#include <agentstudio/vector.h>

#include "core/loop/loop.h"

extern const struct as_json_host host_json_table;
extern const struct as_toolkit_host host_toolkit_table;
extern const struct as_llm_host host_llm_table;
extern const struct as_vector_host host_vector_table;
extern const struct as_auth_host host_auth_table;
extern const struct as_db_host host_db_table;
extern const struct as_process_host host_process_table;
extern const struct as_stream_host host_stream_table;

SUSPENDS enum as_status host_http(struct as_call *call,
    const struct as_http_request *given, bool stream,
    const struct as_http_response **out);
SUSPENDS enum as_status host_http_read(struct as_call *call,
    struct as_http_stream *s, struct as_bytes *piece);
SUSPENDS enum as_status host_http_event(struct as_call *call,
    struct as_http_stream *s, const struct as_event **event);

SUSPENDS enum as_status host_kv_get(struct as_call *call,
    enum as_kv_scope scope, const char *key, const struct as_json **value);
SUSPENDS enum as_status host_kv_put(struct as_call *call,
    enum as_kv_scope scope, const char *key, const struct as_json *value,
    int64_t ttl_ms);
SUSPENDS enum as_status host_kv_swap(struct as_call *call,
    enum as_kv_scope scope, const char *key, const struct as_json *expected,
    const struct as_json *value, int64_t ttl_ms);

/* Not bound yet; see host_later.c. */
const struct as_account *host_connection(struct as_call *call);
SUSPENDS enum as_status host_credential(struct as_call *call, const char *name,
    const char **value);
SUSPENDS enum as_status host_secret(struct as_call *call, const char *name,
    const char **value);
SUSPENDS enum as_status host_file_stat(struct as_call *call, const char *id,
    const struct as_file **file);
SUSPENDS enum as_status host_file_read(struct as_call *call, const char *id,
    int64_t offset, void *buf, size_t n, size_t *got);
SUSPENDS enum as_status host_file_write(struct as_call *call, const char *name,
    const char *media_type, struct as_bytes bytes, const struct as_file **file);
SUSPENDS enum as_status host_ask(struct as_call *call, const char *key,
    const struct as_question *question, const struct as_answer **answer);
SUSPENDS enum as_status host_keep(struct as_call *call, const char *key,
    const struct as_json *value);
const struct as_json *host_kept(struct as_call *call, const char *key);

#endif
