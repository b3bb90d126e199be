/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_CONTROL_H
#define CORE_CMD_CONTROL_H

/*
 * The control socket: how commands talk to a process that is running.
 *
 * A Unix socket in the data folder, for the user that the process runs as and
 * for root, nobody else: mode 0600, and the kernel says who has connected.  A
 * client sends one line with a JSON object, {"command": "plugin.reload", ...},
 * and gets one line: {"ok": true, "result": ...} or {"ok": false, "error":
 * {"code", "message"}}.
 *
 * The name is control.sock; a further process with the same data folder, such
 * as a worker, has control.PID.sock.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/error.h"
#include "core/loop/fiber.h"
#include "core/loop/loop.h"

struct control;
struct json_object;

/* *result is the caller's to put; NULL stands for null. */
typedef enum as_status (*control_fn)(void *arg, struct json_object *request,
    struct json_object **result, struct error *err);

/*
 * Each request has a fiber of this loop, on which fn may suspend; a client
 * that goes away does not end it.  UNAVAILABLE: somebody keeps the folder
 * locked.
 */
SUSPENDS enum as_status control_listen(struct loop *loop, const char *folder,
    control_fn fn, void *arg, struct control **out, struct error *err);
const char *control_name(const struct control *c); /* in the folder */
/* Takes the name away and no more requests; NULL does nothing. */
void control_close(struct control *c);
void control_free(struct control *c); /* after the loop was drained */

/* ---- The other end, for commands; they block ----------------------- */

/*
 * Asks every process that listens in the folder, one after another, and calls
 * `each` with its answer, which is borrowed; NULL if it gave none, which *err
 * explains.  How many there are.
 */
typedef void (*control_answer_fn)(void *arg, pid_t pid,
    struct json_object *answer, const struct error *err);
unsigned control_ask_all(const char *folder, struct json_object *request,
    control_answer_fn each, void *arg);

#endif
