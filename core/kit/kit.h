/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_KIT_KIT_H
#define CORE_KIT_KIT_H

/*
 * The conformance kit: does a plugin keep the promises of the SDK?
 *
 * The file is read first.  Then each case, an operation under one kind of
 * trouble, runs in a process of its own, which is this program again: a plugin
 * that crashes, hangs or exits is a finding like any other.  In there the
 * plugin meets the host's own tables over a link of the kit: the clock stands
 * still but for what the plugin sleeps, servers answer from a script, and what
 * it keeps is kept in memory.
 */

#include <stdbool.h>

struct kit_request {
	const char *file;
	const char *conf; /* a file or a folder of settings, or NULL */
	const char *script; /* check.json, or NULL: beside the plugin */
	bool json; /* the report */
	int seconds; /* of computing, for one case; four times that in all */
};

/* The exit code: 0, 1 with findings, 2 if there was nothing to check. */
int kit_check(const struct kit_request *r);

/* Inside a process of its own; name is what kit_check chose. */
int kit_case(const struct kit_request *r, const char *name, int report);

#endif
