/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOOP_PROGRAM_H
#define CORE_LOOP_PROGRAM_H

/*
 * A program that runs beside us: started without a shell, in a process group
 * and an empty folder of its own, with nothing of ours but three pipes.
 *
 * All functions on the loop's thread; those that suspend obey the fiber's
 * deadline and cancel.  What the program says is taken as it comes, so that it
 * may be written to while it speaks.
 */

#include "core/base/error.h"
#include "core/loop/fiber.h"

struct pool;
struct program;

#define PROGRAM_UNREAD_MAX ((size_t)8 << 20) /* that wait to be read */
#define PROGRAM_OUTPUT_MAX ((int64_t)64 << 20) /* that it may say at all */

struct program_start {
	const char *path; /* absolute */
	const char *const *argv; /* ends with NULL */
	const char *const *env; /* the same */
	int64_t memory; /* bytes of address space */
	int64_t cpu_ms;
};

/*
 * NOT_FOUND, FORBIDDEN: it cannot be executed.  pool: buries it afterwards,
 * which may take a moment; NULL: program_close does.
 */
SUSPENDS enum as_status program_open(struct pool *pool,
    const struct program_start *start, struct program **out, struct error *err);
/*
 * What it says next, malloc()ed, and on which descriptor (1 or 2); *len 0: both
 * are closed.
 */
SUSPENDS enum as_status program_read(struct program *p, int *from, char **bytes,
    size_t *len, struct error *err);
/* All of it; no bytes close its input.  CONFLICT: it does not listen any more. */
SUSPENDS enum as_status program_write(struct program *p, const void *bytes,
    size_t len, struct error *err);
/* Its exit code, or minus the signal that ended it. */
SUSPENDS enum as_status program_wait(struct program *p, int32_t *code,
    struct error *err);
/* Kills the whole group, removes the folder.  NULL does nothing. */
SUSPENDS void program_close(struct program *p);

#endif
