/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_CONTROL_IMPL_H
#define CORE_CMD_CONTROL_IMPL_H

/* Both ends of the control socket: control.c and control_ask.c. */

#include <sys/un.h>

#define CONTROL_FIRST "control.sock"
#define CONTROL_OTHER "control.%d.sock"
#define CONTROL_NAME 32
#define CONTROL_LINE_MAX ((size_t)64 << 10) /* of a request */

/* Paths of sockets are short, those of folders are not: by the descriptor. */
void control_address(int folder, const char *name, struct sockaddr_un *out);
/* A blocking descriptor, or -1: nobody listens to that name. */
int control_connect(int folder, const char *name);

#endif
