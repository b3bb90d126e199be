/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_SETTINGS_H
#define CORE_CMD_SETTINGS_H

/*
 * Every setting of the program itself, one struct a section of conf.d.  The
 * tables in settings.c are the documentation: `agent-studio conf show` and the
 * sample files, and from these the list in agent-studio.conf(5), are made from
 * them.
 */

#include "core/base/conf.h"

struct server_settings {
	const char *host;
	int64_t port;
	int64_t loops; /* 0: one a core */
	const char *public_url;
	struct as_list allowed_origins;
	struct as_list trusted_proxies;
	int64_t max_connections;
	int64_t max_fibers;
	int64_t max_body;
	int64_t header_timeout;
	int64_t body_timeout;
	int64_t idle_timeout;
	int64_t request_timeout;
	int64_t drain_delay;
	int64_t drain_timeout;
	int64_t ws_max_message;
	int64_t sockets_per_user;
	bool ws_echo;
	const char *demo_dir; /* static files of /demo/ */
};

struct store_settings {
	const char *url; /* "": SQLite in the data folder */
	const char *migrations;
	bool migrate; /* at start */
	int64_t readers;
	int64_t writers;
	int64_t batch;
	int64_t timeout;
};

struct redis_settings {
	const char *url; /* "": one process, or readers who poll */
	const char *password;
	const char *sentinel_user; /* "": that of all */
	const char *sentinel_password;
	const char *prefix;
	int64_t lost_after;
};

struct auth_settings {
	const char *signup; /* open invite closed auto */
	int64_t access_ttl;
	int64_t grace;
	int64_t refresh_ttl;
	int64_t attempts; /* of a password, per account and address */
	int64_t attempts_window;
	const char *issuer;
	const char *sealing_keys; /* "" or keys; see core/auth/seal.h */
};

struct model_settings {
	const char *fallback; /* conf: models.default; "auto" */
	int64_t call_timeout;
	int64_t tries;
	struct as_list prices;
	struct as_list windows;
};

struct run_settings {
	int64_t max_steps;
	int64_t max_tokens;
	double max_cost; /* dollars */
	int64_t max_wall;
	int64_t tool_timeout;
	int64_t parallel_tools;
	int64_t subagents, subagent_depth;
	int64_t max_output; /* bytes of one tool result */
	int64_t compact_percent;
	int64_t ambient_steps;
	int64_t ambient_wall;
	int64_t ambient_patience;
};

struct queue_settings {
	int64_t reserved; /* percent of the slots */
	int64_t weight_priority, weight_standard, weight_bulk;
	int64_t promote_standard, promote_bulk;
	int64_t max_tenant;
	int64_t max;
};

struct worker_settings {
	bool embedded;
	int64_t slots;
	int64_t poll;
	int64_t lease;
	int64_t beat;
	bool lock; /* the advisory lock */
	int64_t grace; /* of a cancel */
	const char *metrics_host;
	int64_t metrics_port; /* 0: none */
};

struct schedule_settings {
	const char *zoneinfo; /* folder */
	int64_t poll;
};

struct inbox_settings {
	int64_t keep; /* of what has happened to items */
};

struct webhook_settings {
	struct as_list allow; /* host:port beyond the guard */
	int64_t tries, retry, timeout, poll, parallel, keep;
	int64_t rate; /* of one trigger, a minute */
};

struct log_settings {
	const char *level;
};

struct file_settings {
	int64_t max_user; /* bytes of all files of a person */
};

struct plugin_settings { /* plugins.dirs; the groups there are plugins */
	struct as_list dirs; /* searched before the installed folder */
	/* Of those with isolation. */
	int64_t child_uid, child_memory, child_answer;
	int64_t generations; /* of one plugin, in memory at once */
	int64_t grace; /* for calls of a generation that was replaced */
	bool watch;
};

struct settings {
	const char *data_dir;
	struct server_settings server;
	struct store_settings store;
	struct redis_settings redis;
	struct auth_settings auth;
	struct model_settings models;
	struct run_settings runs;
	struct queue_settings queue;
	struct worker_settings worker;
	struct schedule_settings schedules;
	struct webhook_settings webhooks;
	struct inbox_settings inbox;
	struct file_settings files;
	struct log_settings log;
	struct plugin_settings plugin;
	struct conf *conf;
};

/*
 * Reads every section.  False: problems were added to conf.  Empty folders are
 * replaced by the installed ones.
 */
bool settings_load(struct settings *out, struct conf *conf);

/* Folders to look for plugins in, NULL-terminated; the caller frees it. */
const char **settings_plugin_dirs(const struct settings *settings);

/* The i-th section, for samples and manuals; NULL beyond the last. */
struct settings_section {
	const char *name; /* "" is the top */
	const struct as_field *fields;
	size_t offset; /* of its struct in struct settings */
};
const struct settings_section *settings_section(size_t i);

#endif
