/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_ROUTES_H
#define CORE_API_ROUTES_H

/* The one table of routes: it dispatches, validates and documents. */

#include "core/net/router.h"

extern const struct route api_routes[];
extern const size_t api_route_count;

#endif
