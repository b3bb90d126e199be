/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/clock.h"

#include <stdatomic.h>
#include <time.h>

/*
 * The only file that asks the system for the time.  The fake is atomic so that
 * a pool thread may read it while a test moves it.
 */

static atomic_bool fake;
static atomic_int_fast64_t fake_mono, fake_wall;

static int64_t
system_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_mono_us(void)
{
	if (atomic_load_explicit(&fake, memory_order_relaxed))
		return atomic_load(&fake_mono);
	return system_us(CLOCK_MONOTONIC);
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t
clock_boot_us(void)
{
	if (atomic_load_explicit(&fake, memory_order_relaxed))
		return atomic_load(&fake_mono);
	return system_us(CLOCK_BOOTTIME);
}

int64_t
clock_wall_us(void)
{
	if (atomic_load_explicit(&fake, memory_order_relaxed))
		return atomic_load(&fake_wall);
	return system_us(CLOCK_REALTIME);
}

void
clock_fake(int64_t mono_us, int64_t wall_us)
{
	atomic_store(&fake_mono, mono_us);
	atomic_store(&fake_wall, wall_us);
	atomic_store(&fake, true);
}

void
clock_advance(int64_t us)
{
	atomic_fetch_add(&fake_mono, us);
	atomic_fetch_add(&fake_wall, us);
}

bool
clock_is_fake(void)
{
	return atomic_load_explicit(&fake, memory_order_relaxed);
}

void
clock_real(void)
{
	atomic_store(&fake, false);
}
