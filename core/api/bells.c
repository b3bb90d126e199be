/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/bells.h"

/* Topics that are no thread's and no session's: their version is 0. */
const struct uuid bell_work_topic = { "work\0\0\0\0\0\0\0\0\0\0\0" };
const struct uuid bell_cancel_topic = { "cancel\0\0\0\0\0\0\0\0\0" };
