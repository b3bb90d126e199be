/* SPDX-License-Identifier: Apache-2.0 */
#include "core/kit/impl.h"

#include "core/base/mem.h"

/*
 * The rules as a table, and the names of statuses as authors know them.
 */

static const struct {
	const char *name, *holds, *remedy;
} rules[] = {
#define RULE(name, holds, remedy) { #name, holds, remedy },
#include "core/kit/rules.def"
#undef RULE
};

const char *
rule_name(enum kit_rule rule)
{
	return rules[rule].name;
}

const char *
rule_holds(enum kit_rule rule)
{
	return rules[rule].holds;
}

const char *
rule_remedy(enum kit_rule rule)
{
	return rules[rule].remedy;
}

const char *
status_name(enum as_status st)
{
	static const char *const names[] = { "AS_OK", "AS_INVALID", "AS_AUTH",
		"AS_FORBIDDEN", "AS_NOTFOUND", "AS_CONFLICT", "AS_LIMIT",
		"AS_BUSY", "AS_UPSTREAM", "AS_UNAVAILABLE", "AS_TIMEOUT",
		"AS_INTERNAL", "AS_NOMEM", "AS_UNSUPPORTED", "AS_CANCELED",
		"AS_PARKED", "AS_EOF" };

	return (size_t)st < N_ITEMS(names) ? names[st] : "no status";
}
