/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>

/* Plugins that must be refused; BAD says for what. */

enum {
	MAGIC = 1,
	MAJOR,
	MINOR,
	SYMBOL,
	NOTHING,
	FIELD,
	NAME,
	SCHEMA,
	EFFECT,
	GRANT
};

struct conf {
	int64_t n;
};

static const struct as_field options[] = {
	{ "n", "A number.", AS_FIELD_INT, 0, BAD == FIELD ? 4 : 0,
	    sizeof(int64_t), NULL, 0, 0, 9 },
	AS_END,
};

static enum as_status
run(struct as_call *call, const void *in)
{
	(void)in;
	return as_reply_text(call, "never");
}

static const struct as_effect_case effects[] = {
	{ "read", AS_EFFECT_NONE },
	AS_END,
};

static const struct as_tool tools[] = {
	{ .name = "run",
	    .doc = "Never runs.",
	    .run = run,
	    .schema = BAD == SCHEMA ? "{\"type\": 7}" : NULL,
	    .effect_by = BAD == EFFECT ? "how" : NULL,
	    .effects = BAD == EFFECT ? effects : NULL },
	AS_END,
};

static const struct as_plugin plugin = {
	.magic = BAD == MAGIC ? 0x12345678 : AS_ABI_MAGIC,
	.abi_major = BAD == MAJOR ? AS_ABI_MAJOR + 1 : AS_ABI_MAJOR,
	.abi_minor = BAD == MINOR ? AS_ABI_MINOR + 1 : AS_ABI_MINOR,
	.size = sizeof(plugin),
	.field_size = sizeof(struct as_field),
	.name = BAD == NAME ? "toolkit_other" : BAD_NAME,
	.summary = "Is refused.",
	.version = "1.0.0",
	.conf_size = sizeof(struct conf),
	.options = options,
	.grants = BAD == GRANT ? "kv nets:a.com" : NULL,
	.toolkit = BAD == NOTHING ? NULL : AS_TOOLKIT(.tools = tools),
};

#if BAD == 4
AS_LOCAL const struct as_host *as_host_table;
AS_EXPORT const void *something_else(void);

const void *
something_else(void)
{
	return &plugin;
}
#else
AS_PLUGIN_ENTRY(&plugin);
#endif
