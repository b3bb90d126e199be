/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOOP_PROGRAM_IMPL_H
#define CORE_LOOP_PROGRAM_IMPL_H

#include "core/loop/program.h"

/* Each [0] to read and [1] to write; none is below 3. */
struct program_pipes {
	int in[2], out[2], err[2];
	int why[2]; /* an errno, if exec fails */
};

/* In the child; does not return. */
void program_child(const struct program_start *s, const char *dir,
    const struct program_pipes *p) __attribute__((noreturn));

#endif
