/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_REDIS_ENV_H
#define TESTS_INTEGRATION_REDIS_ENV_H

/*
 * A redis-server of the test's own, on a socket in a new folder, that it may
 * kill, stop for a while and start again.  It keeps nothing.
 */

#include <stdbool.h>

/* False: there is no redis-server; the running test is skipped. */
bool redis_env_start(const char *password); /* NULL: none */
void redis_env_kill(void);
void redis_env_signal(int sig);
void redis_env_again(const char *password); /* after kill */
void redis_env_stop(void); /* and the folder goes */
const char *redis_env_url(void);
/* What redis-cli answers, to be freed. */
char *redis_env_ask(const char *command);

#endif
