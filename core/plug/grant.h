/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_GRANT_H
#define CORE_PLUG_GRANT_H

/*
 * What a plugin may do: the words in its .grants, of which conf.d may leave
 * only some (plugins.X.grants), and the classes of effect that its tools may
 * have (plugins.X.effects).
 *
 * Services ask here on the host's side, because the plugin's side may be
 * another process.
 */

#include "core/plug/plug.h"

struct unit;

/* NULL, or what is wrong with the words of a file; the caller frees it. */
char *grants_refusal(const char *path, const char *grants);
/* Are these words, once more, all covered by others?  For narrowing. */
bool grant_covers(const char *declared, const char *word);

/*
 * Reads plugins.X.grants, plugins.X.effects and the secrets that are left;
 * mistakes become problems.
 */
bool unit_narrow(struct unit *u);

/* The words in force, separated by blanks; never NULL. */
const char *unit_grants(const struct unit *u);
/* Is this very word in force ("kv", "secret:NAME")? */
bool unit_is_granted(const struct unit *u, const char *word);
/* The same with a sentence: who has not given it, the plugin or the admin. */
enum as_status grant_check(const struct unit *u, const char *word,
    struct error *err);
/* Does "net:" reach this host? */
enum as_status grant_check_host(const struct unit *u, const char *host,
    struct error *err);

/* May a tool of this plugin do that? */
bool unit_allows(const struct unit *u, enum as_effect effect);
enum as_status unit_allows_call(const struct unit *u,
    const struct plug_tool_info *tool, struct json_object *args,
    struct error *err);
/* Can no call of it be made, whatever its arguments are? */
bool unit_bars(const struct unit *u, const struct plug_tool_info *tool);

/* {"grants": [...], "declared": [...], "effects": [...] | null} for admins. */
void grants_to_json(const struct unit *u, struct json_object *o);

#endif
