/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_KIT_SCRIPT_H
#define CORE_KIT_SCRIPT_H

struct json_object;
struct kit_request;

/*
 * check.json, parsed; NULL if there is none.  One that cannot be read or is not
 * JSON is told on standard error, and script_is_bad says so.
 */
struct json_object *script_read(const struct kit_request *r);
int script_is_bad(const struct kit_request *r);

#endif
