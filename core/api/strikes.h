/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_STRIKES_H
#define CORE_API_STRIKES_H

/*
 * Who asks again and again for what he is refused waits longer and longer, so
 * that refusing him costs the others nothing.  Kept by person, or by address of
 * those whom nobody knows; of this process; any thread.
 *
 * Some are free, and forgiven evenly; beyond them each attempt waits until the
 * debt is paid, whatever the number of connections that it comes from.
 */

#include <stdint.h>

#include "core/base/uuid.h"

#define STRIKES_FREE 50
#define STRIKE_MS 250 /* until one is forgiven */
#define STRIKES_WAIT_MAX_MS 5000

struct strikes;

struct strikes *strikes_new(void);
void strikes_free(struct strikes *s); /* NULL does nothing */
/* An IPv6 address counts with its first 64 bits: all others are one client's. */
struct uuid strikes_key_of_address(const char *address);
void strikes_add(struct strikes *s, struct uuid who, unsigned n,
    uint64_t now_ms);
/* How long he has to wait, 0: not at all.  now_ms is monotonic. */
int64_t strikes_wait_ms(struct strikes *s, struct uuid who, uint64_t now_ms);

#endif
