/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/principal.h"

#include <string.h>

/* The names of the roles, as the database and the wire have them. */

const char *
role_name(enum role role)
{
	switch (role) {
	case ROLE_OWNER:
		return "owner";
	case ROLE_ADMIN:
		return "admin";
	default:
		return "member";
	}
}

enum role
role_by_name(const char *name)
{
	if (name != NULL && strcmp(name, "owner") == 0)
		return ROLE_OWNER;
	if (name != NULL && strcmp(name, "admin") == 0)
		return ROLE_ADMIN;
	return ROLE_MEMBER;
}
