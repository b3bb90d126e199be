/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_CLOCK_H
#define CORE_BASE_CLOCK_H

/*
 * The two clocks.  Deadlines use the monotonic one, what people see the wall
 * clock.  Durable state compares only with now_us() of the store.  A test
 * freezes both with clock_fake and moves them with clock_advance; timers of
 * core/loop then fire by clock_advance alone.  Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
/* As clock_mono_us, but goes on while the machine sleeps. */
int64_t clock_boot_us(void);
int64_t clock_wall_us(void); /* since 1970, UTC */

/* Tests only, one thread. */
void clock_fake(int64_t mono_us, int64_t wall_us);
void clock_advance(int64_t us);
bool clock_is_fake(void);
void clock_real(void);

#endif
