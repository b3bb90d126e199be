/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_ERROR_H
#define AS_SDK_ERROR_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * How anything can end.
 *
 * Every function of the contract that can fail returns an as_status, and the
 * details of the failure (text, code, retry hint) are kept in the call.  So a
 * failed host service is passed on with `return st;` and nothing is lost, and
 * a failure of your own is one line:
 *
 *	return as_fail(call, AS_NOTFOUND, "no city named '%s'", in->city);
 *
 * Messages are lower case, without a full stop, and name the thing and the
 * value.  The model, the user and the operator all read them: no secret, no
 * internal address.  What only the operator should know goes to as_log.
 */

#include <stdint.h>

struct as_json;

enum as_status {
	AS_OK = 0,

	/* The caller can do something about it. */
	AS_INVALID = 1,     /* 400  an argument is wrong */
	AS_AUTH = 2,        /* 401  no credential, or not a valid one */
	AS_FORBIDDEN = 3,   /* 403  a valid one that may not do this */
	AS_NOTFOUND = 4,    /* 404  no such thing, or not yours */
	AS_CONFLICT = 5,    /* 409  the thing has changed or exists */
	AS_LIMIT = 6,       /* 413  too large, too many, quota used up */
	AS_BUSY = 7,        /* 429  slow down; set retry_after_ms if known */

	/* Somebody else can. */
	AS_UPSTREAM = 8,    /* 502  the service answered nonsense or an error */
	AS_UNAVAILABLE = 9, /* 503  the service is not there just now */
	AS_TIMEOUT = 10,    /* 504  the deadline of the call has passed */

	/* The plugin's author can. */
	AS_INTERNAL = 11,    /* 500 */
	AS_NOMEM = 12,       /* 503 */
	AS_UNSUPPORTED = 13, /* 501  this plugin does not do that */

	/* Not failures.  Return them at once, as you got them. */
	AS_CANCELED = 14, /* nobody waits for the answer any more */
	AS_PARKED = 15,   /* waits for a human; see as_ask */
	AS_EOF = 16,      /* nothing more to read; never leaves a plugin */

	AS_STATUS_WIDTH_ = 0x7fffffff /* an int even under -fshort-enums */
};

/* Yes, no, or whatever is usual; zero is always "as usual". */
enum as_tristate {
	AS_DEFAULT = 0,
	AS_YES = 1,
	AS_NO = 2,
	AS_TRISTATE_WIDTH_ = 0x7fffffff
};

/*
 * The whole of a failure, for when as_fail's status and text do not say enough.
 * Everything but size and status may be left zero.
 */
struct as_error {
	uint32_t size;
	enum as_status status;
	const char *message;      /* for everyone, see above */
	const char *user_message; /* instead of it, for people */
	const char *code;         /* stable, machine-read: "card_declined" */
	const char *service;      /* who failed: "github" */
	int64_t retry_after_ms;
	enum as_tristate retryable;  /* default: BUSY, UPSTREAM, UNAVAILABLE */
	enum as_tristate maybe_done; /* the effect may have happened anyway */
	const struct as_json *details;
};

#endif
