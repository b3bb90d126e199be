/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/base/uuid.h"
#include "core/cmd/client.h"
#include "core/cmd/cmd.h"
#include "core/cmd/options.h"

/* "agent-studio runs": what became of runs, and what people decide for them. */

static const char usage[] =
    "usage: agent-studio runs COMMAND [--url URL] --email EMAIL\n"
    "       [--password PASSWORD]\n"
    "  list [--status STATUS] [--limit N]   my runs, newest first\n"
    "  show RUN                             its state, error and calls\n"
    "  resume RUN [retry | extend | switch_model --model MODEL]\n"
    "  cancel RUN [--rollback]\n"
    "and for an admin:\n"
    "  items [--kind KIND] [--all] [--limit N]\n"
    "                                       what waits for a decision\n"
    "  resolve ITEM OUTCOME [--result JSON]\n"
    "OUTCOME is happened, not_happened or skip for a call, retry, extend or\n"
    "cancel for an error, requeue or dismiss for a dead letter.  The password\n"
    "may also be in AGENT_STUDIO_PASSWORD.\n";

struct runs {
	struct client client;
	const char *status, *kind, *limit, *model, *result;
	bool all, rollback;
	const struct verb *verb;
	const char *id, *word; /* what follows the verb */
	struct json_object *value; /* --result */
};

struct verb {
	const char *name;
	size_t min, max; /* words after it */
	SUSPENDS bool (*act)(struct runs *r);
};

/* ---- Lines --------------------------------------------------------- */

static const char *
str_or(struct json_object *o, const char *key, const char *otherwise)
{
	const char *s = jget_str(o, key, NULL);

	return s != NULL && s[0] != '\0' ? s : otherwise;
}

static void
print_error(struct json_object *run)
{
	struct json_object *error = jget(run, "error");

	if (error == NULL)
		return;
	printf("error    %s: %s\n", jget_str(error, "code", ""),
	    jget_str(error, "message", ""));
	printf("actions  ");
	client_print_list(jget(error, "actions"));
	printf("\n");
}

static void
print_run(struct json_object *run)
{
	printf("run      %s\n", jget_str(run, "id", ""));
	printf("status   %s\n", jget_str(run, "status", ""));
	printf("thread   %s\n", jget_str(run, "thread_id", ""));
	printf("model    %s\n", str_or(run, "model", "-"));
	printf("step     %lld\n", (long long)jget_int(run, "step", 0));
	printf("created  %s\n", jget_str(run, "created_at", ""));
	printf("ended    %s\n", str_or(run, "completed_at", "-"));
	print_error(run);
}

static void
print_run_line(struct json_object *run)
{
	printf("%s  %-17s  %s  %s\n", jget_str(run, "id", ""),
	    jget_str(run, "status", ""), jget_str(run, "created_at", ""),
	    jget_str(jget(run, "error"), "code", ""));
}

static void
print_call(struct json_object *call)
{
	const char *result = jget_str(call, "result", NULL);

	printf("call     %s: %s, effect %s\n", jget_str(call, "name", ""),
	    jget_str(call, "state", ""), jget_str(call, "effect", ""));
	printf("  key    %s\n", jget_str(call, "idempotency_key", ""));
	printf("  args   %s\n", json_text(jget(call, "args")));
	if (result != NULL)
		printf("  result %s\n", result);
}

static void
print_item(struct json_object *item)
{
	struct json_object *request = jget(item, "action_request");

	printf("%s  %-11s  %-10s  %s\n", jget_str(item, "id", ""),
	    jget_str(item, "kind", ""), jget_str(item, "status", ""),
	    jget_str(item, "title", ""));
	printf("  run      %s\n", jget_str(item, "run_id", ""));
	printf("  request  %s %s\n", jget_str(request, "action", ""),
	    json_text(jget(request, "args")));
	if (jget_str(item, "response_type", NULL) != NULL)
		printf("  decided  %s, %s\n",
		    jget_str(item, "response_type", ""),
		    jget_str(item, "responded_at", ""));
}

static void
print_page(struct json_object *page, void (*line)(struct json_object *one))
{
	struct json_object *items = jget(page, "items");

	for (size_t i = 0; i < json_object_array_length(items); i++)
		line(json_object_array_get_idx(items, i));
	if (jget_str(page, "next_cursor", NULL) != NULL)
		fputs("There are more; see --limit.\n", stderr);
}

/* ---- Commands ------------------------------------------------------ */

static void
query_add(struct buf *path, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_printf(path,
	    "%c%s=", memchr(path->data, '?', path->len) != NULL ? '&' : '?',
	    name);
	text_percent_encode(path, value, strlen(value));
}

/* Reads what a path leads to and prints it; false: it has been told why not. */
static SUSPENDS bool
show_page(struct runs *r, const char *path,
    void (*line)(struct json_object *one))
{
	struct json_object *page = client_call(&r->client, "GET", path, NULL);

	if (page == NULL)
		return false;
	print_page(page, line);
	json_object_put(page);
	return true;
}

static SUSPENDS bool
runs_list(struct runs *r)
{
	struct buf path = { 0 };
	bool ok;

	buf_add_str(&path, "/api/runs");
	query_add(&path, "status", r->status);
	query_add(&path, "limit", r->limit);
	ok = show_page(r, path.data, print_run_line);
	buf_free(&path);
	return ok;
}

/* The answer to a request about one run or item. */
static SUSPENDS bool
show_one(struct runs *r, const char *method, const char *kind,
    const char *action, struct json_object *body,
    void (*print)(struct json_object *one))
{
	char *path = xasprintf("/api/%s/%s%s", kind, r->id, action);
	struct json_object *one = client_call(&r->client, method, path, body);

	free(path);
	if (one == NULL)
		return false;
	print(one);
	json_object_put(one);
	return true;
}

static void
print_calls(struct json_object *page)
{
	print_page(page, print_call);
}

static SUSPENDS bool
runs_show(struct runs *r)
{
	return show_one(r, "GET", "runs", "", NULL, print_run) &&
	       show_one(r, "GET", "runs", "/calls", NULL, print_calls);
}

static SUSPENDS bool
runs_items(struct runs *r)
{
	struct buf path = { 0 };
	bool ok;

	buf_add_str(&path, "/api/operator/items");
	query_add(&path, "status", r->all ? NULL : "pending");
	query_add(&path, "kind", r->kind);
	query_add(&path, "limit", r->limit);
	ok = show_page(r, path.data, print_item);
	buf_free(&path);
	return ok;
}

static SUSPENDS bool
runs_resolve(struct runs *r)
{
	struct json_object *body = jobj();

	jput_str(body, "outcome", r->word);
	if (r->value != NULL)
		jput(body, "result", json_object_get(r->value));
	return show_one(r, "POST", "operator/items", "/resolve", body,
	    print_item);
}

static SUSPENDS bool
runs_resume(struct runs *r)
{
	struct json_object *body = jobj();

	if (r->word != NULL)
		jput_str(body, "action", r->word);
	if (r->model != NULL)
		jput_str(body, "model", r->model);
	return show_one(r, "POST", "runs", "/resume", body, print_run);
}

static SUSPENDS bool
runs_cancel(struct runs *r)
{
	struct json_object *body = jobj();

	jput_str(body, "action", r->rollback ? "rollback" : "interrupt");
	return show_one(r, "POST", "runs", "/cancel", body, print_run);
}

static const struct verb verbs[] = {
	{ "list", 0, 0, runs_list },
	{ "show", 1, 1, runs_show },
	{ "items", 0, 0, runs_items },
	{ "resolve", 2, 2, runs_resolve },
	{ "resume", 1, 2, runs_resume },
	{ "cancel", 1, 1, runs_cancel },
};

static SUSPENDS bool
runs_main(void *arg)
{
	struct runs *r = arg;

	return r->verb->act(r);
}

/* ---- The command line ---------------------------------------------- */

static bool
mistake(const char *what, const char *word)
{
	fprintf(stderr, "agent-studio runs: %s%s; see --help\n", what, word);
	return false;
}

static bool
words_read(struct runs *r, const struct options *o)
{
	size_t n = o->n_args;
	struct uuid id;

	if (n == 0)
		return mistake("a command is missing", "");
	for (size_t i = 0; i < N_ITEMS(verbs); i++)
		if (strcmp(verbs[i].name, o->args[0]) == 0)
			r->verb = &verbs[i];
	if (r->verb == NULL)
		return mistake("no command ", o->args[0]);
	if (n - 1 < r->verb->min || n - 1 > r->verb->max)
		return mistake("wrong number of words for ", r->verb->name);
	r->id = n > 1 ? o->args[1] : NULL;
	r->word = n > 2 ? o->args[2] : NULL;
	if (r->id != NULL && !uuid_parse(r->id, &id))
		return mistake("not an id: ", r->id);
	if (r->result != NULL &&
	    json_parse(r->result, strlen(r->result), &r->value, NULL) != AS_OK)
		return mistake("--result is not JSON: ", r->result);
	return true;
}

int
cmd_runs(int argc, char **argv)
{
	struct runs r = { .client.url = CLIENT_URL };
	const struct option_own own[] = { CLIENT_OPTIONS(&r.client),
		{ "status", &r.status, NULL }, { "kind", &r.kind, NULL },
		{ "limit", &r.limit, NULL }, { "model", &r.model, NULL },
		{ "result", &r.result, NULL }, { "all", NULL, &r.all },
		{ "rollback", NULL, &r.rollback }, { NULL, NULL, NULL } };
	struct options options;
	int status = 2;

	if (!options_parse(&options, argc, argv, own, usage))
		return options.status;
	if (words_read(&r, &options) && client_is_ready(&r.client, argv[0]))
		status = client_run(&r.client, runs_main, &r);
	json_object_put(r.value);
	options_free(&options);
	return status;
}
