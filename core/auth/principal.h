/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTH_PRINCIPAL_H
#define CORE_AUTH_PRINCIPAL_H

/* Who a request, a socket or a run acts for.  Passed by value. */

#include <stdint.h>

#include "core/base/uuid.h"

enum role {
	ROLE_MEMBER = 1,
	ROLE_ADMIN,
	ROLE_OWNER
};

struct principal {
	struct uuid user_id;
	struct uuid tenant_id;
	struct uuid session_id; /* nil for API keys */
	enum role role;
	int64_t expires_us; /* of the credential, wall clock; 0: never */
};

const char *role_name(enum role role); /* "member" ... */
enum role role_by_name(const char *name); /* ROLE_MEMBER if unknown */

#endif
