/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_OPTION_H
#define AS_SDK_OPTION_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * Field tables: a C struct, described once.
 *
 * The same table serves options (what conf.d says) and tool parameters (what
 * the model says).  From it the host parses, fills in defaults, checks ranges,
 * writes the JSON Schema, the sample configuration and the manual page, and
 * redacts secrets; the plugin gets the struct, filled and valid:
 *
 *	struct weather {
 *		const char *city;
 *		int64_t days;
 *	};
 *
 *	static const struct as_field weather_params[] = {
 *		AS_STR(struct weather, city, NULL, AS_REQUIRED,
 *		    "Name of a city, such as Oslo."),
 *		AS_INT(struct weather, days, 3, 1, 14, 0,
 *		    "How many days to look ahead."),
 *		AS_END
 *	};
 *
 * The macros check the member's type at compile time.  The name in the outside
 * world is the member's name.  Docs are sentences: people and models read them.
 * Filled structs belong to the host and are valid as long as the call; strings
 * are never NULL unless their default is NULL and they are not required.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct as_json;

enum as_field_type {
	AS_FIELD_STR = 1,    /* const char *, UTF-8 */
	AS_FIELD_INT = 2,    /* int64_t */
	AS_FIELD_NUM = 3,    /* double, finite */
	AS_FIELD_BOOL = 4,   /* bool */
	AS_FIELD_MS = 5,     /* int64_t; conf: "20ms", "3s", "5m" */
	AS_FIELD_SIZE = 6,   /* int64_t; conf: "64k", "8M" */
	AS_FIELD_CHOICE = 7, /* const char *, one word of a list */
	AS_FIELD_LIST = 8,   /* struct as_list of strings */
	AS_FIELD_JSON = 9,   /* const struct as_json *, any value */
	/*
	 * const char *; options only.  conf.d says where it is: "file:/path",
	 * "env:NAME", "cred:NAME"; the value itself only in a file that nobody
	 * else can read.  The plugin gets the secret, no log and no manual does.
	 */
	AS_FIELD_SECRET = 10
};

enum as_field_flags {
	AS_REQUIRED = 1u << 0,
	AS_RELOAD = 1u << 1, /* may change without a new generation */
	AS_HIDDEN_FIELD = 1u << 2 /* not shown in manuals and samples */
};

struct as_list {
	const char *const *items;
	size_t n;
};

/* Written by the macros below; arrays end with AS_END. */
struct as_field {
	const char *name;
	const char *doc;
	uint32_t type;
	uint32_t flags;
	uint32_t offset;
	uint32_t width;
	const char *text; /* default of textual types; words of a choice */
	double num;       /* default of the numeric types */
	double min;
	double max;
};

/* offsetof, and a complaint if the member is not of the given type. */
#define AS_OFFSET_(type, member, want)                                        \
	(uint32_t)(offsetof(type, member) +                                   \
	    0 * sizeof(&((type *)0)->member == (want *)0))
#define AS_FIELD_(type, member, want, kind, flags, doc, text, num, min, max)  \
	{ #member, doc, kind, flags, AS_OFFSET_(type, member, want),          \
	    (uint32_t)sizeof(want), text, num, min, max }

#define AS_STR(type, member, dflt, flags, doc)                                \
	AS_FIELD_(type, member, const char *, AS_FIELD_STR, flags, doc, dflt, \
	    0, 0, 0)
#define AS_INT(type, member, dflt, min, max, flags, doc)                      \
	AS_FIELD_(type, member, int64_t, AS_FIELD_INT, flags, doc, NULL,      \
	    dflt, min, max)
#define AS_NUM(type, member, dflt, min, max, flags, doc)                      \
	AS_FIELD_(type, member, double, AS_FIELD_NUM, flags, doc, NULL, dflt, \
	    min, max)
#define AS_BOOL(type, member, dflt, flags, doc)                               \
	AS_FIELD_(type, member, bool, AS_FIELD_BOOL, flags, doc, NULL, dflt,  \
	    0, 1)
#define AS_MS(type, member, dflt, min, max, flags, doc)                       \
	AS_FIELD_(type, member, int64_t, AS_FIELD_MS, flags, doc, NULL, dflt, \
	    min, max)
#define AS_SIZE(type, member, dflt, min, max, flags, doc)                     \
	AS_FIELD_(type, member, int64_t, AS_FIELD_SIZE, flags, doc, NULL,     \
	    dflt, min, max)
/* words: "metric imperial"; the first is the default unless required. */
#define AS_CHOICE(type, member, words, flags, doc)                            \
	AS_FIELD_(type, member, const char *, AS_FIELD_CHOICE, flags, doc,    \
	    words, 0, 0, 0)
#define AS_LIST(type, member, min, max, flags, doc)                           \
	AS_FIELD_(type, member, struct as_list, AS_FIELD_LIST, flags, doc,    \
	    NULL, 0, min, max)
#define AS_ANY(type, member, flags, doc)                                      \
	AS_FIELD_(type, member, const struct as_json *, AS_FIELD_JSON, flags, \
	    doc, NULL, 0, 0, 0)
#define AS_SECRET(type, member, flags, doc)                                   \
	AS_FIELD_(type, member, const char *, AS_FIELD_SECRET, flags, doc,    \
	    NULL, 0, 0, 0)

/* Ends every table of the contract. */
#ifdef __cplusplus
#define AS_END {}
#else
#define AS_END { 0 }
#endif

#endif
