/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/log.h"

/*
 * What a node that has started says on standard output.
 */

static void
print_listening(struct node *n)
{
	const char *host = n->p.host;
	bool any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;

	printf("listening on http://%s:%u\n", any ? "127.0.0.1" : host,
	    n->port);
	fflush(stdout);
}

static void
print_working(struct node *n)
{
	printf("working as node epoch %lld\n", (long long)n->epoch);
	fflush(stdout);
}

static void
print_model(struct node *n)
{
	const char *wanted = n->p.settings->models.fallback;
	char model[512];

	if (plug_model_resolve(n->plug, NULL, model, sizeof(model))) {
		printf("model: %s\n", model);
		return;
	}
	printf("model: none\n");
	log_warn("serve",
	    "no model answers agents that name none: models.default is '%s', "
	    "and no enabled plugin has it; see agent-studio plugin list",
	    wanted);
}

static void
print_what_runs(struct node *n)
{
	struct json_object *list = plug_list(n->plug), *o;
	const char *state;

	printf("data folder: %s\n", n->p.settings->data_dir);
	print_model(n);
	printf("plugins:");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		o = json_object_array_get_idx(list, i);
		state = jget_str(o, "state", "");
		if (strcmp(state, "disabled") == 0)
			continue;
		printf(" %s", jget_str(o, "name", ""));
		if (strcmp(state, "serving") != 0)
			printf(" (%s)", state);
	}
	printf("\n");
	json_object_put(list);
}

void
node_report(struct node *n)
{
	print_what_runs(n);
	if (n->p.api != NULL)
		print_listening(n);
	else
		print_working(n);
}
