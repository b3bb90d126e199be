/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/plugin_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/kit/kit.h"

/*
 * "agent-studio plugin check": from words to the conformance kit, which starts
 * this program again with --case for each of its cases.
 */

#define SECONDS 20
#define REPORT 3 /* the descriptor that a case writes to */

int
plugin_check(const struct plugin_check *words)
{
	struct kit_request r = { .conf = words->conf,
		.script = words->script,
		.json = words->json,
		.seconds = SECONDS };
	int64_t seconds;
	char *file;
	int rc;

	if (words->seconds != NULL) {
		if (!text_to_int(words->seconds, 1, 3600, &seconds)) {
			fprintf(stderr,
			    "agent-studio plugin check: --seconds is 1 to "
			    "3600, not '%s'\n",
			    words->seconds);
			return 2;
		}
		r.seconds = (int)seconds;
	}
	/* With a slash, it is a file and not the name of a library. */
	file = strchr(words->file, '/') != NULL
		   ? xstrdup(words->file)
		   : xasprintf("./%s", words->file);
	r.file = file;
	rc = words->only != NULL ? kit_case(&r, words->only, REPORT)
				 : kit_check(&r);
	free(file);
	return rc;
}
