/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_SYSTEMD_H
#define CORE_CMD_SYSTEMD_H

/*
 * What a service manager hands over, and what it wants to hear: the protocols
 * of sd_listen_fds(3) and sd_notify(3), which are variables of the environment
 * and a datagram, and JOURNAL_STREAM of systemd.exec(5).  Without such a
 * manager all of it does nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

/*
 * The listening TCP socket of this process and its address, or *fd = 0.
 * BAD_REQUEST: what was handed over is something else.  Before there are
 * threads; the variables are removed, so that no child takes them for its own.
 */
enum as_status systemd_listener(int *fd, char *host, size_t host_len,
    struct error *err);
/* Such as "READY=1"; any thread. */
void systemd_notify(const char *state);
/* How often the manager wants to hear WATCHDOG=1; 0: it does not. */
int64_t systemd_watchdog_ms(void);
/* Does what is written to fd go to the journal? */
bool systemd_has_journal(int fd);

#endif
