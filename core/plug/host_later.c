/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/call.h"
#include "core/plug/host.h"

/*
 * Services that have their place in the table but nobody behind them yet.
 * Each says so in a sentence, so that a plugin's failure names its cause.
 */

static enum as_status
later(struct as_call *call, const char *what)
{
	return call_fail(call, AS_UNSUPPORTED,
	    "this version of agent-studio does not offer %s to plugins", what);
}

const struct as_account *
host_connection(struct as_call *call)
{
	(void)call;
	return NULL;
}

enum as_status
host_credential(struct as_call *call, const char *name, const char **value)
{
	(void)name, (void)value;
	return later(call, "credentials of connected accounts");
}

enum as_status
host_secret(struct as_call *call, const char *name, const char **value)
{
	(void)name, (void)value;
	return later(call, "secrets by name (an option of type secret works)");
}

enum as_status
host_ask(struct as_call *call, const char *key,
    const struct as_question *question, const struct as_answer **answer)
{
	(void)key, (void)question, (void)answer;
	return later(call, "questions to people");
}

enum as_status
host_keep(struct as_call *call, const char *key, const struct as_json *value)
{
	(void)key, (void)value;
	return later(call, "notes for a repeated call");
}

const struct as_json *
host_kept(struct as_call *call, const char *key)
{
	(void)call, (void)key;
	return NULL;
}

static enum as_status
process_open(struct as_call *call, const struct as_process_start *start,
    struct as_process **process)
{
	(void)start, (void)process;
	return later(call, "programs");
}

static enum as_status
process_read(struct as_call *call, struct as_process *process,
    enum as_process_pipe *pipe, struct as_bytes *piece)
{
	(void)process, (void)pipe, (void)piece;
	return later(call, "programs");
}

static enum as_status
process_write(struct as_call *call, struct as_process *process,
    struct as_bytes bytes)
{
	(void)process, (void)bytes;
	return later(call, "programs");
}

static enum as_status
process_wait(struct as_call *call, struct as_process *process, int32_t *code)
{
	(void)process, (void)code;
	return later(call, "programs");
}

static enum as_status
stream_open(struct as_call *call, const struct as_stream_address *address,
    struct as_stream **stream)
{
	(void)address, (void)stream;
	return later(call, "TCP streams");
}

static enum as_status
stream_start_tls(struct as_call *call, struct as_stream *stream)
{
	(void)stream;
	return later(call, "TCP streams");
}

static enum as_status
stream_read(struct as_call *call, struct as_stream *stream,
    struct as_bytes *piece)
{
	(void)stream, (void)piece;
	return later(call, "TCP streams");
}

static enum as_status
stream_write(struct as_call *call, struct as_stream *stream,
    struct as_bytes bytes)
{
	(void)stream, (void)bytes;
	return later(call, "TCP streams");
}

const struct as_process_host host_process_table = {
	.size = sizeof(host_process_table),
	.open = process_open,
	.read = process_read,
	.write = process_write,
	.wait = process_wait,
};

const struct as_stream_host host_stream_table = {
	.size = sizeof(host_stream_table),
	.open = stream_open,
	.start_tls = stream_start_tls,
	.read = stream_read,
	.write = stream_write,
};
