/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_RUN_DUMP_H
#define TESTS_INTEGRATION_RUN_DUMP_H

/*
 * The tables of the run engine as text, a sorted line for each row: of the
 * database of store_env.h, and of a model (tests/sim/model_store.h).  What is
 * equal is equal byte for byte.
 */

#include "core/base/buf.h"
#include "tests/sim/model_store.h"

void run_dump_sql(struct buf *out);
void run_dump_model(const struct model *m, struct buf *out);

#endif
