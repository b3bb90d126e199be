/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_TEMPLATE_H
#define CORE_HOOK_TEMPLATE_H

/*
 * The task of a trigger: text in which {{body}} and {{id}} stand for what has
 * come.  Pure functions.
 *
 * What comes from outside is quoted: each of its lines gets "> " before it, so
 * nothing in it can look like the template's own words, and what is not text
 * becomes U+FFFD.  A body beyond TEMPLATE_BODY_MAX is cut, and said to be.
 */

#include <stddef.h>

#include "core/base/error.h"

struct buf;

#define TEMPLATE_MAX (16 * 1024) /* bytes of a template */
#define TEMPLATE_BODY_MAX (64 * 1024) /* of a body that are shown */
#define TEMPLATE_BODIES_MAX 1 /* places for it in one template */

/* INVALID, of the field "task": empty, too long, or a name there is not. */
enum as_status template_check(const char *text, struct error *err);
/* text has passed template_check. */
void template_fill(struct buf *out, const char *text, const char *id,
    const char *body, size_t len);

#endif
