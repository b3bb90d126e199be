/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_OPENAPI_H
#define CORE_API_OPENAPI_H

/* The OpenAPI 3.1 document of a route table, as JSON text; malloc()ed. */

#include "core/net/router.h"

char *openapi_text(const struct route_table *routes);

#endif
