/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_SERVE_H
#define CORE_PLUG_SERVE_H

/*
 * The host's side of single services, a file each (serve_X.c); serve.c chooses.
 * Each checks what the plugin was granted, and answers or fails with err.
 */

#include "core/plug/call.h"

/* n of SERVE_DB. */
enum serve_db_kind {
	SERVE_DB_QUERY = 1,
	SERVE_DB_EXEC,
	SERVE_DB_MIGRATE
};

SUSPENDS enum as_status serve_db(struct exchange *x, const struct msg *m,
    struct answer *out, struct error *err);

#define SERVE_FILES_MAX 32 /* that a call writes */
SUSPENDS enum as_status serve_file(struct exchange *x, const struct msg *m,
    struct answer *out, struct error *err);
/*
 * One more file, of the host itself: kept with those of the call, or, if there
 * is no room for it, left out.  False: it cannot even be tried.
 */
SUSPENDS bool serve_file_spill(struct exchange *x, const char *name,
    const char *media_type, const char *bytes, size_t len);
/* The call has succeeded: what it wrote is there from now on. */
SUSPENDS enum as_status serve_files_keep(struct exchange *x,
    struct json_object **failure);
void serve_files_drop(struct exchange *x);

SUSPENDS enum as_status serve_process(struct exchange *x, const struct msg *m,
    struct answer *out, struct error *err);
SUSPENDS void serve_processes_close(struct exchange *x);

SUSPENDS enum as_status serve_tcp(struct exchange *x, const struct msg *m,
    struct answer *out, struct error *err);
void serve_tcps_close(struct exchange *x);

#endif
