/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_ORIGIN_H
#define CORE_PLUG_ORIGIN_H

/*
 * Whose word an address is.  The origin of a URL is scheme://host:port, in
 * lower case, with the port always there.  Pure functions.
 */

#include <stdbool.h>
#include <stddef.h>

#define ORIGIN_LEN 320

struct unit;

/* False: not an absolute http or https URL, or one with a user in it. */
bool origin_of(const char *url, char out[ORIGIN_LEN]);
/* The host of an origin, without brackets. */
void origin_host(const char *origin, char out[ORIGIN_LEN]);

/* Does an option of the plugin name this origin? */
bool origin_is_configured(const struct unit *u, const char *origin);
/* Do the words in grants let it reach this host? */
bool grants_host(const char *grants, const char *host);

#endif
