/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/cmd/doctor.h"

/* Redis, if one is set: it may be lost, but it should not be by a setting. */

#define VERSION_MIN 5
#define PING_WARN_MS 20

void
doctor_redis_judge(struct doctor *d, const struct redis_facts *f)
{
	if (f->version == 0)
		doctor_say(d, DOCTOR_OK, "redis.version",
		    "this user may not see it (INFO)");
	else if (f->version < VERSION_MIN)
		doctor_say(d, DOCTOR_FAIL, "redis.version",
		    "Redis %s is too old: %d or later is needed",
		    f->version_text, VERSION_MIN);
	else
		doctor_say(d, DOCTOR_OK, "redis.version", "Redis %s",
		    f->version_text);
	if (f->maxmemory > 0 && strcmp(f->policy, "noeviction") == 0)
		doctor_say(d, DOCTOR_WARN, "redis.memory",
		    "maxmemory-policy is noeviction: when it is full, live "
		    "text is refused; set allkeys-lru, everything there may be "
		    "lost");
	else
		doctor_say(d, DOCTOR_OK, "redis.memory",
		    "it makes room by itself, or has no limit");
	if (f->ping_ms > PING_WARN_MS)
		doctor_say(d, DOCTOR_WARN, "redis.latency",
		    "it takes %.1f ms to answer: live text is as late; it "
		    "should be in the same network, and not be swapping",
		    f->ping_ms);
	else
		doctor_say(d, DOCTOR_OK, "redis.latency",
		    "it answers within %.1f ms", f->ping_ms);
}

void
doctor_redis(struct doctor *d, const struct settings *s)
{
	const struct redis_login sentinels = { s->redis.sentinel_user,
		s->redis.sentinel_password };
	struct redis_facts f;
	struct redis_url url;
	struct error err = { 0 };

	if (s->redis.url[0] == '\0') {
		doctor_say(d, s->store.url[0] == '\0' ? DOCTOR_OK : DOCTOR_WARN,
		    "redis.connect",
		    "redis.url is not set: processes that share a database "
		    "learn of each other by looking, once a second");
		return;
	}
	/* The settings have been checked. */
	(void)redis_url_parse(s->redis.url, &url, NULL);
	if (redis_look(&url, s->redis.password, &sentinels, &f, &err) ==
	    AS_OK) {
		doctor_say(d, DOCTOR_OK, "redis.connect",
		    "Redis answers; names begin with %s:%d:", s->redis.prefix,
		    url.db);
		doctor_redis_judge(d, &f);
	} else
		doctor_say(d, DOCTOR_FAIL, "redis.connect",
		    "%s: start it, or correct redis.url and redis.password",
		    err.detail);
	error_clear(&err);
}
