/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_PROCESS_H
#define AS_SDK_PROCESS_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * Programs that a plugin runs, with pipes and limits.
 *
 * The host starts the program without a shell, with an empty environment but
 * for what is named, in an empty folder of its own, and when the call ends,
 * however it does, kills the program and its children and removes the folder.
 * What it says is taken as it comes, so write and read may be mixed freely; 64
 * MiB in all, 8 MiB that nobody has read, else AS_LIMIT.
 *
 * Needs .grants "process:NAME", where NAME is what argv[0] says, and the path
 * of the program in the configuration, where the admin chooses it:
 *
 *	plugins : { toolkit_x : { programs : { NAME = "/usr/bin/..."; }; }; };
 *
 * AS_FORBIDDEN without either.  Each function but the first takes a program of
 * the same call.
 *
 * Since 1.0.
 */

#include <agentstudio/host.h>

#ifdef __cplusplus
extern "C" {
#endif

struct as_process; /* one that runs; ends with the call */

struct as_process_start {
	uint32_t size;
	uint32_t reserved;
	const char *const *argv; /* ends with NULL */
	const char *const *env;  /* "NAME=value", ends with NULL; or NULL */
	struct as_bytes input;   /* the first bytes of its standard input */
	int64_t memory;          /* bytes at most; 0: 512 MiB */
	int64_t cpu_ms;          /* of computing; 0: a minute */
};

enum as_process_pipe {
	AS_PIPE_OUTPUT = 1,
	AS_PIPE_ERROR = 2,
	AS_PIPE_WIDTH_ = 0x7fffffff
};

struct as_process_host {
	uint32_t size;
	uint32_t reserved;
	enum as_status (*open)(struct as_call *,
	    const struct as_process_start *, struct as_process **);
	enum as_status (*read)(struct as_call *, struct as_process *,
	    enum as_process_pipe *, struct as_bytes *);
	enum as_status (*write)(struct as_call *, struct as_process *,
	    struct as_bytes);
	enum as_status (*wait)(struct as_call *, struct as_process *,
	    int32_t *);
};

/*
 * AS_NOTFOUND: there is no such file.  At most 8 in a call.
 * Fails with AS_FORBIDDEN, AS_INVALID, AS_NOTFOUND, AS_LIMIT,
 * AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_process_open(struct as_call *call, const struct as_process_start *start,
    struct as_process **process)
{
	return as_host_table->process->open(call, start, process);
}

/*
 * What it says next, valid until the next read, and where (pipe may be NULL);
 * AS_EOF when both pipes are closed.
 * Fails with AS_EOF, AS_INVALID, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_process_read(struct as_call *call, struct as_process *process,
    enum as_process_pipe *pipe, struct as_bytes *piece)
{
	return as_host_table->process->read(call, process, pipe, piece);
}

/*
 * To its standard input; no bytes at all close it.  AS_CONFLICT: the program
 * does not read any more.
 * Fails with AS_CONFLICT, AS_INVALID, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_process_write(struct as_call *call, struct as_process *process,
    struct as_bytes bytes)
{
	return as_host_table->process->write(call, process, bytes);
}

/*
 * Waits for its end; *code is the exit code, or minus the signal.
 * Fails with AS_INVALID, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_process_wait(struct as_call *call, struct as_process *process,
    int32_t *code)
{
	return as_host_table->process->wait(call, process, code);
}

#ifdef __cplusplus
}
#endif

#endif
