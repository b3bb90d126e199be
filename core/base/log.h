/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

/*
 * The log: one JSON object a line on standard error or in a file,
 * {"ts","level","area","msg","correlation_id", ...}.  Never suspends; a line
 * is one write(2).  Any thread.
 */

#include <stdbool.h>
#include <stddef.h>

enum log_level {
	LOG_DEBUG = 1,
	LOG_INFO,
	LOG_WARNING,
	LOG_ERROR
};

/* "debug" ...; also "info,plugin.x=debug": the default and single areas. */
bool log_configure(const char *levels);
bool log_levels_ok(const char *levels); /* would log_configure take them? */
void log_to_fd(int fd);
/* Lines begin with their priority, such as "<4>", which the journal takes off. */
void log_for_journal(bool yes);
bool log_enabled(enum log_level level, const char *area);

/*
 * correlation_id may be NULL: then the running fiber's is used, if there is
 * one (see log_correlation).  Text is cut at 8 KiB.
 */
void log_line(enum log_level level, const char *area,
    const char *correlation_id, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Gives the correlation id of what runs just now, or NULL; set by core/loop. */
extern const char *(*log_correlation)(void);

/*
 * A secret that must never appear in a line: it is replaced by "***".  One of
 * fewer than 4 bytes hides nothing and is ignored.
 */
void log_redact(const char *secret);

#define log_debug(area, ...) log_line(LOG_DEBUG, area, NULL, __VA_ARGS__)
#define log_info(area, ...) log_line(LOG_INFO, area, NULL, __VA_ARGS__)
#define log_warn(area, ...) log_line(LOG_WARNING, area, NULL, __VA_ARGS__)
#define log_err(area, ...) log_line(LOG_ERROR, area, NULL, __VA_ARGS__)

#endif
