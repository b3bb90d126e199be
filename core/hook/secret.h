/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_SECRET_H
#define CORE_HOOK_SECRET_H

/* The secrets of webhooks and triggers between their rows and their use. */

#include "core/base/buf.h"
#include "core/base/uuid.h"
#include "core/hook/signature.h"
#include "core/store/store.h"

struct seal;

enum secret_of {
	SECRET_WEBHOOK = 1,
	SECRET_TRIGGER, /* of the scheme standard */
	SECRET_GITHUB /* a trigger's whose key is its text */
};

/* A new one: its text for the user, its sealed bytes for the row. */
void secret_make(const struct seal *s, enum secret_of of, struct uuid id,
    struct buf *text, struct buf *sealed);
void secret_wipe(struct buf *text); /* frees it, too */
/*
 * Keys from columns at (the secret), at + 1 (the one before), at + 2 (true: it
 * is still good); how many there are.  0: this process does not have the key
 * they are sealed with.
 */
int secret_keys(const struct seal *s, enum secret_of of, struct uuid id,
    const struct rows *r, int row, int at, struct signature_key keys[2]);

#endif
