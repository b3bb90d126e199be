/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/settings.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/bus/redis.h"

/*
 * The tables are the truth about settings: names, defaults, limits and
 * sentences.  conf.d/ holds what field_sample makes of them.
 */

static const struct as_field top_fields[] = {
	AS_STR(struct settings, data_dir, "var", 0,
	    "Folder of the database, the keys and the files of this "
	    "installation; it is made if it is not there."),
	AS_END
};

static const struct as_field server_fields[] = {
	AS_STR(struct server_settings, host, "127.0.0.1", 0,
	    "Address to listen on. Anything but loopback closes sign-up "
	    "unless auth.signup says otherwise."),
	AS_INT(struct server_settings, port, 8080, 0, 65535, 0,
	    "Port to listen on; 0 takes a free one."),
	AS_INT(struct server_settings, loops, 1, 0, 64, 0,
	    "Event loops, each a thread; 0 is one for each core."),
	AS_STR(struct server_settings, public_url, "", 0,
	    "How browsers reach this server, such as "
	    "https://studio.example.org; with https the session cookie is "
	    "marked Secure."),
	AS_LIST(struct server_settings, allowed_origins, 0, 100, 0,
	    "Other origins whose pages may call the API (CORS); \"*\" lets "
	    "any page call it without the cookie."),
	AS_LIST(struct server_settings, trusted_proxies, 0, 100, 0,
	    "Addresses of proxies whose X-Forwarded-For is believed."),
	AS_INT(struct server_settings, max_connections, 10000, 1, 1000000, 0,
	    "Connections at once on each loop; beyond them new ones wait in "
	    "the system's queue."),
	AS_INT(struct server_settings, max_fibers, 20000, 16, 30000, 0,
	    "Requests and runs at once on each loop; beyond them the answer "
	    "is 503."),
	AS_SIZE(struct server_settings, max_body, 1 << 20, 1 << 10, 1 << 30, 0,
	    "Largest body of a request."),
	AS_MS(struct server_settings, header_timeout, 10000, 100, 3600000, 0,
	    "Time to send the head of a request, as a whole."),
	AS_MS(struct server_settings, body_timeout, 30000, 100, 3600000, 0,
	    "Time to send the body of a request, as a whole."),
	AS_MS(struct server_settings, idle_timeout, 75000, 100, 3600000, 0,
	    "How long a connection may wait for its next request."),
	AS_MS(struct server_settings, request_timeout, 30000, 100, 3600000, 0,
	    "Deadline for answering a request; streams have none."),
	AS_MS(struct server_settings, drain_delay, 0, 0, 3600000, 0,
	    "How long a stopping server still serves while /readyz says "
	    "draining and each answer ends its connection, so that a balancer "
	    "takes it out; a second signal cuts it short. 0: nobody is in "
	    "front."),
	AS_MS(struct server_settings, drain_timeout, 30000, 0, 3600000, 0,
	    "How long a stopping server or worker waits for open requests and "
	    "runs."),
	AS_SIZE(struct server_settings, ws_max_message, 1 << 20, 1 << 10,
	    64 << 20, 0, "Largest message that a WebSocket takes."),
	AS_INT(struct server_settings, sockets_per_user, 100, 1, 1000000, 0,
	    "Live streams (WebSocket and SSE) of one user at once on this "
	    "server."),
	AS_BOOL(struct server_settings, ws_echo, false, AS_HIDDEN_FIELD,
	    "Serve /ws/echo, for conformance suites only."),
	AS_STR(struct server_settings, demo_dir, "", 0,
	    "Folder of the demo page; empty is the installed one."),
	AS_END
};

static const struct as_field store_fields[] = {
	AS_STR(struct store_settings, url, "", 0,
	    "Where data is kept: empty for SQLite in the data folder, or "
	    "postgresql://user@host/database; of several hosts with commas "
	    "the one that takes writes."),
	AS_STR(struct store_settings, migrations, "", 0,
	    "Folder of the migrations; empty is the installed one."),
	AS_BOOL(struct store_settings, migrate, true, 0,
	    "Bring the database up to date at start; otherwise run "
	    "agent-studio migrate."),
	AS_INT(struct store_settings, readers, 2, 1, 64, 0,
	    "Readers of each loop: connections to PostgreSQL, threads on "
	    "SQLite."),
	AS_INT(struct store_settings, writers, 2, 1, 64, 0,
	    "Writing connections of each loop to PostgreSQL; SQLite has one "
	    "writer."),
	AS_INT(struct store_settings, batch, 64, 1, 1000, 0,
	    "Writes that may share one commit."),
	AS_MS(struct store_settings, timeout, 10000, 100, 600000, 0,
	    "Deadline of one statement; a third of it is what one waits "
	    "for a lock."),
	AS_END
};

static const struct as_field redis_fields[] = {
	AS_STR(struct redis_settings, url, "", 0,
	    "Redis, by which processes that share a PostgreSQL wake each "
	    "other and pass on live text: redis://[USER@]HOST[:PORT][/DB] or "
	    "unix:///PATH[?db=DB] or, by sentinels, "
	    "redis+sentinel://[USER@]HOST[:PORT],.../MASTER[/DB]. Empty: each "
	    "process for itself."),
	AS_SECRET(struct redis_settings, password, 0,
	    "Its password; empty is none."),
	AS_STR(struct redis_settings, sentinel_user, "", 0,
	    "Whom its sentinels know, if they have users (ACL); empty is the "
	    "default one."),
	AS_SECRET(struct redis_settings, sentinel_password, 0,
	    "That of its sentinels; empty is none."),
	AS_STR(struct redis_settings, prefix, "agent-studio", 0,
	    "What names of channels and keys begin with; installations that "
	    "share a Redis need different ones."),
	AS_MS(struct redis_settings, lost_after, 1000, 0, 60000, 0,
	    "How long Redis may be away before WebSockets are closed with "
	    "REALTIME_UNAVAILABLE."),
	AS_END
};

static const struct as_field auth_fields[] = {
	AS_CHOICE(struct auth_settings, signup, "auto open invite closed", 0,
	    "Who may make an account; auto is open as long as the server "
	    "listens on loopback only and has no public_url, else closed. The "
	    "very first account may always be made and is the "
	    "administrator's."),
	AS_MS(struct auth_settings, access_ttl, 900000, 10000, 86400000, 0,
	    "How long an access token is valid."),
	AS_MS(struct auth_settings, grace, 30000, 0, 3600000, 0,
	    "How long a live stream (WebSocket, SSE) goes on after its "
	    "token has expired, so that its client can renew it."),
	AS_MS(struct auth_settings, refresh_ttl, 2592000000.0, 60000,
	    31536000000.0, 0, "How long a session lives after its last use."),
	AS_INT(struct auth_settings, attempts, 10, 1, 1000, 0,
	    "Wrong passwords for one account from one address before further "
	    "ones are refused; ten times as many for an account from "
	    "anywhere, and from an address for any accounts."),
	AS_MS(struct auth_settings, attempts_window, 900000, 1000, 86400000, 0,
	    "The time in which they are counted."),
	AS_STR(struct auth_settings, issuer, "agent-studio", 0,
	    "Issuer named in access tokens; servers that share a database "
	    "share it."),
	AS_SECRET(struct auth_settings, sealing_keys, 0,
	    "Keys that seal stored secrets: 64 hex digits each, with blanks "
	    "between, the first one seals; empty is the file sealing.key of "
	    "the data folder. Servers that share a database share them."),
	AS_END
};

/* The outside name of the first row is a word of C. */
static const struct as_field model_fields[] = {
	{ .name = "default",
	    .doc = "Model of agents that name none, as provider/model; auto "
		   "is the first enabled of openai, anthropic and demo.",
	    .type = AS_FIELD_STR,
	    .offset = AS_OFFSET_(struct model_settings, fallback, const char *),
	    .width = sizeof(const char *),
	    .text = "auto" },
	AS_MS(struct model_settings, call_timeout, 120000, 100, 3600000, 0,
	    "Deadline of one call of a model."),
	AS_INT(struct model_settings, tries, 3, 1, 20, 0,
	    "How often an answer is asked of one model before its run takes "
	    "the agent's next model, or waits for a person."),
	AS_LIST(struct model_settings, prices, 0, 1000, 0,
	    "Dollars a million tokens, \"provider/model=INPUT,OUTPUT\"; "
	    "a model that is not listed costs nothing."),
	AS_LIST(struct model_settings, windows, 0, 1000, 0,
	    "Tokens that a model can be told at once, "
	    "\"provider/model=TOKENS\", "
	    "where its provider does not say."),
	AS_END
};

static const struct as_field run_fields[] = {
	AS_INT(struct run_settings, max_steps, 50, 1, 1000, 0,
	    "Steps of one run before it stops with LIMIT_REACHED; a step is "
	    "one call of the model or one round of tools."),
	AS_INT(struct run_settings, max_tokens, 200000, 1, 1000000000, 0,
	    "Tokens of one run, input and output of all its calls."),
	AS_NUM(struct run_settings, max_cost, 0, 0, 1e6, 0,
	    "Dollars that one run may cost, by models.prices; 0: no limit."),
	AS_MS(struct run_settings, max_wall, 900000, 1000, 86400000, 0,
	    "Time of one run from its start."),
	AS_MS(struct run_settings, tool_timeout, 60000, 100, 3600000, 0,
	    "Deadline of one call of a tool that has none of its own."),
	AS_INT(struct run_settings, parallel_tools, 16, 1, 256, 0,
	    "Tools that one step calls at the same time."),
	AS_INT(struct run_settings, subagents, 8, 1, 64, 0,
	    "Subagents that one answer begins."),
	AS_INT(struct run_settings, subagent_depth, 3, 0, 5, 0,
	    "How deep subagents may begin subagents; 0: no subagents."),
	AS_SIZE(struct run_settings, max_output, 256 << 10, 1 << 10, 64 << 20,
	    0,
	    "Largest result of a tool; what is longer becomes a file of the "
	    "thread, and the model reads its beginning and its end."),
	AS_INT(struct run_settings, compact_percent, 75, 0, 95, 0,
	    "How much of its window a model may be told before the older part "
	    "is summarised; 0: never."),
	AS_INT(struct run_settings, ambient_steps, 200, 1, 1000, 0,
	    "The same as max_steps of runs that nobody watches."),
	AS_MS(struct run_settings, ambient_wall, 21600000, 1000, 86400000, 0,
	    "The same as max_wall of runs that nobody watches; what they wait "
	    "for people does not count."),
	AS_MS(struct run_settings, ambient_patience, 86400000, 100, 2592000000,
	    0,
	    "How long a run that nobody watches waits in recoverable_error "
	    "for a decision before it has failed."),
	AS_END
};

static const struct as_field queue_fields[] = {
	AS_INT(struct queue_settings, reserved, 25, 0, 90, 0,
	    "Percent of the slots of a loop, rounded down, that only runs of "
	    "class priority get: chat, and tasks of that class."),
	AS_INT(struct queue_settings, weight_priority, 4, 1, 16, 0,
	    "Turns of the class at the other slots while several classes "
	    "wait."),
	AS_INT(struct queue_settings, weight_standard, 2, 1, 16, 0,
	    "The same of class standard."),
	AS_INT(struct queue_settings, weight_bulk, 1, 1, 16, 0,
	    "The same of class bulk."),
	AS_MS(struct queue_settings, promote_standard, 60000, 0, 86400000, 0,
	    "After this a waiting run of class standard comes in the turns of "
	    "class priority, too; 0: never."),
	AS_MS(struct queue_settings, promote_bulk, 600000, 0, 86400000, 0,
	    "After this one of class bulk comes in those of standard; 0: "
	    "never."),
	AS_INT(struct queue_settings, max_tenant, 10000, 1, 100000000, 0,
	    "Runs of one tenant that may wait; one more is refused with 429."),
	AS_INT(struct queue_settings, max, 200000, 1, 100000000, 0,
	    "Runs of all tenants that may wait."),
	AS_END
};

static const struct as_field worker_fields[] = {
	AS_BOOL(struct worker_settings, embedded, true, 0,
	    "Runs are executed by the server itself, without a worker "
	    "process."),
	AS_INT(struct worker_settings, slots, 64, 1, 10000, 0,
	    "Runs that one process executes at the same time."),
	AS_MS(struct worker_settings, poll, 2000, 10, 600000, 0,
	    "How often a worker looks for work that nobody rang for."),
	AS_MS(struct worker_settings, lease, 8000, 500, 600000, 0,
	    "How long a process owns its runs after its last sign of life; "
	    "it begins nothing new in the last quarter of it."),
	AS_MS(struct worker_settings, beat, 1500, 50, 60000, 0,
	    "How often a process gives a sign of life; at most a third of "
	    "worker.lease."),
	AS_BOOL(struct worker_settings, lock, true, 0,
	    "On PostgreSQL: hold an advisory lock, so that others see at once "
	    "that this process has died. Not behind a pooler that lends "
	    "sessions by the transaction."),
	AS_MS(struct worker_settings, grace, 10000, 100, 600000, 0,
	    "How long whoever executes a run may take to end it when it is "
	    "cancelled; then another one ends it."),
	AS_STR(struct worker_settings, metrics_host, "127.0.0.1", 0,
	    "Address on which `agent-studio worker` answers /metrics, /healthz "
	    "and /readyz; a server has them on its own port."),
	AS_INT(struct worker_settings, metrics_port, 0, 0, 65535, 0,
	    "Its port; 0: it listens to nobody."),
	AS_END
};

static const struct as_field schedule_fields[] = {
	AS_STR(struct schedule_settings, zoneinfo, "/usr/share/zoneinfo", 0,
	    "Folder of the system's time zones (package tzdata)."),
	AS_MS(struct schedule_settings, poll, 60000, 100, 600000, 0,
	    "How often a process looks for schedules that others have "
	    "changed; what it knows of is on time without."),
	AS_END
};

static const struct as_field webhook_fields[] = {
	AS_LIST(struct webhook_settings, allow, 0, 100, 0,
	    "host:port of receivers in private networks that webhooks may "
	    "reach; all others must have a public address."),
	AS_INT(struct webhook_settings, tries, 12, 1, 100, 0,
	    "How often a message is sent before it is given up."),
	AS_MS(struct webhook_settings, retry, 5000, 1, 3600000, 0,
	    "Longest pause after the first failure; it doubles with each one, "
	    "up to an hour."),
	AS_MS(struct webhook_settings, timeout, 15000, 100, 120000, 0,
	    "How long a receiver may take to answer."),
	AS_MS(struct webhook_settings, poll, 500, 10, 60000, 0,
	    "How often a process looks for messages to send."),
	AS_INT(struct webhook_settings, parallel, 32, 1, 100, 0,
	    "Messages that a process sends at the same time."),
	AS_MS(struct webhook_settings, keep, 2592000000.0, 3600000,
	    31536000000.0, 0, "How long the list of deliveries goes back."),
	AS_INT(struct webhook_settings, rate, 120, 1, 100000, 0,
	    "Messages a minute that one trigger takes; and that one address "
	    "may send which are refused."),
	AS_END
};

static const struct as_field inbox_fields[] = {
	AS_MS(struct inbox_settings, keep, 604800000, 1000, 31536000000.0, 0,
	    "How long it is known what has happened to items of the inbox; a "
	    "reader of /api/inbox/events who was away for longer is told to "
	    "start over. The items themselves stay."),
	AS_END
};

static const struct as_field log_fields[] = {
	AS_STR(struct log_settings, level, "info", 0,
	    "debug, info, warning or error; areas may have their own, such as "
	    "\"info,net=debug\"."),
	AS_END
};

static const struct as_field file_fields[] = {
	AS_SIZE(struct file_settings, max_user, 1073741824, 1048576,
	    1099511627776, 0,
	    "Bytes that the files of all threads of a person may have."),
	AS_END
};

static const struct as_field plugin_fields[] = {
	AS_LIST(struct plugin_settings, dirs, 0, 32, 0,
	    "Folders searched for plugins before the installed one."),
	AS_INT(struct plugin_settings, child_uid, 64000, 0, 4000000000, 0,
	    "First of the users that processes of isolated plugins run as, "
	    "one each, if agent-studio runs as root; 0: as root, too."),
	AS_SIZE(struct plugin_settings, child_memory, 536870912, 33554432,
	    1099511627776, 0,
	    "Memory that the process of an isolated plugin may have."),
	AS_MS(struct plugin_settings, child_answer, 800, 100, 600000, 0,
	    "How long it may compute without meeting the host, while calls are "
	    "open; then it is taken for one that hangs, and replaced."),
	AS_INT(struct plugin_settings, generations, 16, 1, 1000, 0,
	    "How many generations of one plugin may be in memory, counted are "
	    "those that cannot be unmapped; a reload beyond it is refused."),
	AS_MS(struct plugin_settings, grace, 600000, 1000, 86400000, 0,
	    "How long calls of a generation that was replaced may go on before "
	    "they are ended."),
	AS_BOOL(struct plugin_settings, watch, false, 0,
	    "Whether a plugin is reloaded when its file or its group changes. "
	    "For development."),
	AS_END
};

static const struct settings_section sections[] = {
	{ "server", server_fields, offsetof(struct settings, server) },
	{ "store", store_fields, offsetof(struct settings, store) },
	{ "redis", redis_fields, offsetof(struct settings, redis) },
	{ "auth", auth_fields, offsetof(struct settings, auth) },
	{ "models", model_fields, offsetof(struct settings, models) },
	{ "runs", run_fields, offsetof(struct settings, runs) },
	{ "queue", queue_fields, offsetof(struct settings, queue) },
	{ "worker", worker_fields, offsetof(struct settings, worker) },
	{ "schedules", schedule_fields, offsetof(struct settings, schedules) },
	{ "webhooks", webhook_fields, offsetof(struct settings, webhooks) },
	{ "inbox", inbox_fields, offsetof(struct settings, inbox) },
	{ "files", file_fields, offsetof(struct settings, files) },
	{ "log", log_fields, offsetof(struct settings, log) },
	{ "plugins", plugin_fields, offsetof(struct settings, plugin) },
	/* Last: by then the names of all sections are known. */
	{ "", top_fields, 0 },
};

const struct settings_section *
settings_section(size_t i)
{
	return i < N_ITEMS(sections) ? &sections[i] : NULL;
}

static void
default_text(const char **setting, const char *text)
{
	if ((*setting)[0] == '\0')
		*setting = text;
}

static bool
is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* "scheme://host" or "scheme://host:port", as browsers send it, or "*". */
static bool
is_origin(const char *s)
{
	const char *host = strstr(s, "://");

	if (strcmp(s, "*") == 0)
		return true;
	return host != NULL && host != s && host[3] != '\0' &&
	       strpbrk(host + 3, "/?#@ *") == NULL;
}

/* "192.0.2.1", "2001:db8::/32" */
static bool
is_network(const char *s)
{
	size_t len = strcspn(s, "/");
	char text[INET6_ADDRSTRLEN], *end = NULL;
	unsigned char address[16];
	bool is_v6 = memchr(s, ':', len) != NULL;
	unsigned long bits = 0;

	if (len >= sizeof(text))
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	if (inet_pton(is_v6 ? AF_INET6 : AF_INET, text, address) != 1)
		return false;
	if (s[len] == '\0')
		return true;
	if (s[len + 1] >= '0' && s[len + 1] <= '9')
		bits = strtoul(s + len + 1, &end, 10);
	return end != NULL && *end == '\0' && bits <= (is_v6 ? 128 : 32);
}

/* Folders that somebody named; an empty one is the installed one. */
static void
check_folders(const struct settings *s, struct conf *conf)
{
	const struct as_list *dirs = &s->plugin.dirs;
	const char *const named[][2] = {
		{ "store.migrations", s->store.migrations },
		{ "server.demo_dir", s->server.demo_dir },
	};
	size_t i;

	for (i = 0; i < N_ITEMS(named); i++)
		if (named[i][1][0] != '\0' && !is_folder(named[i][1]))
			conf_problem_at(conf, named[i][0],
			    "%s: there is no folder '%.200s'", named[i][0],
			    named[i][1]);
	for (i = 0; i < dirs->n; i++)
		if (!is_folder(dirs->items[i]))
			conf_problem_at(conf, "plugins.dirs",
			    "plugins.dirs: there is no folder '%.200s'",
			    dirs->items[i]);
}

/* An entry that no address equals would open nothing, without a word. */
static void
check_allow(const struct as_list *allow, struct conf *conf)
{
	const char *item, *port;

	for (size_t i = 0; i < allow->n; i++) {
		item = allow->items[i];
		port = strrchr(item, ':');
		if (port == NULL || port == item || port[1] == '\0' ||
		    strspn(port + 1, "0123456789") != strlen(port + 1) ||
		    strstr(item, "//") != NULL)
			conf_problem_at(conf, "webhooks.allow",
			    "webhooks.allow: expected host:port such as "
			    "10.0.0.7:8080, got '%.100s'",
			    item);
	}
}

static void
check_redis(const struct redis_settings *s, struct conf *conf)
{
	struct redis_url url;
	struct error err = { 0 };

	if (s->url[0] != '\0' && redis_url_parse(s->url, &url, &err) != AS_OK)
		conf_problem_at(conf, "redis.url", "redis.url: %s", err.detail);
	error_clear(&err);
	if (strlen(s->sentinel_user) >= sizeof(url.user))
		conf_problem_at(conf, "redis.sentinel_user",
		    "redis.sentinel_user: expected at most %zu characters",
		    sizeof(url.user) - 1);
	if (s->prefix[0] == '\0' || strlen(s->prefix) > 64 ||
	    strpbrk(s->prefix, " :*?[]\r\n") != NULL)
		conf_problem_at(conf, "redis.prefix",
		    "redis.prefix: expected 1 to 64 characters without blanks "
		    "and none of :*?[]");
}

/* What a field table cannot say. */
static bool
check_rest(const struct settings *s, struct conf *conf)
{
	const struct as_list *origins = &s->server.allowed_origins;
	const struct as_list *proxies = &s->server.trusted_proxies;
	size_t before = conf_problem_count(conf), i;

	if (s->data_dir[0] == '\0')
		conf_problem_at(conf, "data_dir",
		    "data_dir: expected the path of a folder");
	check_folders(s, conf);
	check_allow(&s->webhooks.allow, conf);
	check_redis(&s->redis, conf);
	for (i = 0; i < proxies->n; i++)
		if (!is_network(proxies->items[i]))
			conf_problem_at(conf, "server.trusted_proxies",
			    "server.trusted_proxies: expected an address such "
			    "as 10.0.0.7 or 10.0.0.0/8, got '%.100s'",
			    proxies->items[i]);
	for (i = 0; i < origins->n; i++)
		if (!is_origin(origins->items[i]))
			conf_problem_at(conf, "server.allowed_origins",
			    "server.allowed_origins: expected an origin such "
			    "as https://app.example.org, got '%.100s'",
			    origins->items[i]);
	if (s->worker.beat * 3 > s->worker.lease)
		conf_problem_at(conf, "worker.beat",
		    "worker.beat: expected at most a third of worker.lease, "
		    "%lld ms, got %lld ms",
		    (long long)s->worker.lease, (long long)s->worker.beat);
	if (s->server.public_url[0] != '\0' &&
	    !text_has_prefix(s->server.public_url, "https://") &&
	    !text_has_prefix(s->server.public_url, "http://"))
		conf_problem_at(conf, "server.public_url",
		    "server.public_url: expected an http or https URL, "
		    "got '%.100s'",
		    s->server.public_url);
	if (!log_levels_ok(s->log.level))
		conf_problem_at(conf, "log.level",
		    "log.level: expected levels such as \"info\" or "
		    "\"info,net=debug\", got '%.100s'",
		    s->log.level);
	return conf_problem_count(conf) == before;
}

bool
settings_load(struct settings *out, struct conf *conf)
{
	const struct settings_section *s;
	bool ok = true;
	size_t i;

	memset(out, 0, sizeof(*out));
	out->conf = conf;
	for (i = 0; (s = settings_section(i)) != NULL; i++)
		if (!conf_section(conf, s->name, s->fields,
			sizeof(struct as_field), (char *)out + s->offset, NULL))
			ok = false;
	if (!check_rest(out, conf))
		ok = false;
	default_text(&out->store.migrations, DATA_DIR_MIGRATIONS);
	default_text(&out->server.demo_dir, DEMO_DIR);
	return ok;
}

const char **
settings_plugin_dirs(const struct settings *settings)
{
	const struct as_list *list = &settings->plugin.dirs;
	const char **dirs = xcalloc(list->n + 2, sizeof(*dirs));
	size_t i;

	for (i = 0; i < list->n; i++)
		dirs[i] = list->items[i];
	dirs[i] = PLUGIN_DIR;
	return dirs;
}
