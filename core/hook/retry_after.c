/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <time.h>

#include "core/base/text.h"
#include "core/hook/sender.h"

/* How soon a message is sent again. */

#define CAP_MS (60 * 60 * 1000)
#define AFTER_MAX_S 86400

int64_t
hook_delay_ms(int64_t base_ms, int64_t failed, int64_t retry_after_ms,
    uint32_t (*random)(void *arg, uint32_t n), void *arg)
{
	int64_t cap = base_ms, delay;

	for (int64_t i = 1; i < failed && cap < CAP_MS; i++)
		cap *= 2;
	if (cap > CAP_MS)
		cap = CAP_MS;
	delay = 1 + random(arg, (uint32_t)cap);
	if (retry_after_ms > 0)
		return retry_after_ms + delay % (base_ms + 1);
	return delay;
}

int64_t
hook_retry_after_ms(const char *header, int64_t now_us)
{
	int64_t s = 0;
	struct tm tm;
	const char *end;

	memset(&tm, 0, sizeof(tm));
	if (header == NULL)
		return 0;
	if (!text_to_int(header, 0, INT64_MAX, &s)) {
		end = strptime(header, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		if (end == NULL || *end != '\0')
			return 0;
		s = (int64_t)timegm(&tm) - now_us / 1000000;
	}
	if (s <= 0)
		return 0;
	return (s < AFTER_MAX_S ? s : AFTER_MAX_S) * 1000;
}
