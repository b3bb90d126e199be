/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/cmd.h"
#include "core/cmd/options.h"
#include "core/cmd/plugin_check.h"
#include "core/cmd/plugin_live.h"
#include "core/cmd/plugin_new.h"
#include "core/cmd/settings.h"
#include "core/loop/fiber.h"
#include "core/plug/plug.h"

/*
 * "agent-studio plugin": which plugins the configuration names, and what one
 * of them says of itself.  Nothing is started and no database is opened.
 */

static const char usage[] =
    "usage: agent-studio plugin list [--conf DIR] [--data DIR]\n"
    "       agent-studio plugin reload [NAME] [--conf DIR] [--data DIR]\n"
    "       agent-studio plugin describe NAME|FILE [--conf DIR]\n"
    "       agent-studio plugin check FILE [--conf FILE] [--script FILE]\n"
    "               [--seconds N] [--json]\n"
    "       agent-studio plugin new KIND NAME [FOLDER] [--templates DIR]\n"
    "list shows the plugins of the processes that run with this data folder,\n"
    "or, if there are none, those of the configuration.  reload has the "
    "running\n"
    "processes read the configuration and the files of plugins again, of one\n"
    "or of all.  describe shows the options, tools and models of one plugin, "
    "by\n"
    "its name or by the path of its file.  new writes a\n"
    "folder with a plugin of a kind (toolkit, llm, vector, auth) that builds "
    "and\n"
    "passes its tests, check sees whether one keeps the promises of the SDK.\n";

/* ---- list ---------------------------------------------------------- */

static const char *
joined(struct json_object *list, char *out, size_t size)
{
	size_t i, n = json_object_array_length(list), len = 0;

	out[0] = '\0';
	for (i = 0; i < n && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s",
		    i > 0 ? "," : "",
		    json_object_get_string(json_object_array_get_idx(list, i)));
	return out;
}

static void
print_row(struct json_object *o)
{
	const char *why = jget_str(o, "error", NULL);
	char kinds[64];

	printf("%-22s %-12s %-9s %-9s %s\n", jget_str(o, "name", ""),
	    joined(jget(o, "kinds"), kinds, sizeof(kinds)),
	    jget_str(o, "version", "-"),
	    strcmp(jget_str(o, "state", ""), "loaded") == 0 ? "enabled"
							    : "disabled",
	    why != NULL ? why : jget_str(o, "summary", ""));
}

static void
print_list(struct plug *plug)
{
	struct json_object *list = plug_list(plug);
	size_t i, n = json_object_array_length(list);

	printf("%-22s %-12s %-9s %-9s %s\n", "NAME", "KIND", "VERSION", "STATE",
	    "SUMMARY");
	for (i = 0; i < n; i++)
		print_row(json_object_array_get_idx(list, i));
	json_object_put(list);
}

/* ---- describe ------------------------------------------------------ */

/* Text over several lines, indented, broken between words. */
static void
print_wrapped(const char *indent, const char *text)
{
	size_t width = 78 - strlen(indent), len;

	while (*(text += strspn(text, " \n")) != '\0') {
		len = strlen(text);
		if (len > width) {
			for (len = width; len > 0 && text[len] != ' ';)
				len--;
			if (len == 0)
				len = strcspn(text, " ");
		}
		printf("%s%.*s\n", indent, (int)len, text);
		text += len;
	}
}

static void
print_option(struct json_object *o)
{
	struct json_object *dflt = jget(o, "default");
	const char *words = jget_str(o, "words", NULL);
	const char *type = jget_str(o, "type", ""), *unit = "";

	if (strcmp(type, "time") == 0)
		unit = " ms";
	else if (strcmp(type, "size") == 0)
		unit = " bytes";
	printf("  %s  (%s", jget_str(o, "name", ""), type);
	if (jget_bool(o, "required", false))
		printf(", required");
	else if (dflt != NULL)
		printf(", default %s%s", json_text(dflt), unit);
	if (words != NULL)
		printf(", one of: %s", words);
	if (jget(o, "max") != NULL)
		printf(", %s to %s%s", json_text(jget(o, "min")),
		    json_text(jget(o, "max")), unit);
	if (jget_bool(o, "reload", false))
		printf(", may change on reload");
	puts(")");
	print_wrapped("      ", jget_str(o, "doc", ""));
}

/* "effect  by method: GET none, PUT repeat, others once" */
static void
print_effects(struct json_object *o)
{
	struct json_object *list = jget(o, "effects"), *c;
	const char *by = jget_str(o, "effect_by", NULL);
	size_t i, n = json_object_array_length(list);

	if (by == NULL)
		return;
	printf("      effect  by %s: ", by);
	for (i = 0; i < n; i++) {
		c = json_object_array_get_idx(list, i);
		printf("%s %s, ", jget_str(c, "word", ""),
		    jget_str(c, "effect", ""));
	}
	printf("others %s\n", jget_str(o, "effect", ""));
}

static void
print_tool(struct json_object *o)
{
	struct json_object *output = jget(o, "output_schema");

	printf("  %s  (effect %s%s%s)\n", jget_str(o, "name", ""),
	    jget_str(o, "effect", ""),
	    jget_bool(o, "needs_approval", false) ? ", asks for approval" : "",
	    jget_bool(o, "needs_connection", false) ? ", needs a connection"
						    : "");
	print_wrapped("      ", jget_str(o, "doc", ""));
	print_effects(o);
	printf("      input   %s\n", json_text(jget(o, "input_schema")));
	if (output != NULL)
		printf("      output  %s\n", json_text(output));
}

static void
print_model(struct json_object *o)
{
	int64_t dim = jget_int(o, "dim", 0);

	printf("  %s  (%s", jget_str(o, "name", ""), jget_str(o, "title", ""));
	if (dim > 0)
		printf(", embeddings of dimension %lld", (long long)dim);
	if (jget_int(o, "window", 0) > 0)
		printf(", window %lld", (long long)jget_int(o, "window", 0));
	puts(")");
}

static void
print_section(const char *title, struct json_object *list,
    void (*print)(struct json_object *))
{
	size_t i, n = json_object_array_length(list);

	if (n == 0)
		return;
	printf("\n%s\n", title);
	for (i = 0; i < n; i++)
		print(json_object_array_get_idx(list, i));
}

static void
print_description(struct json_object *o)
{
	char words[128];

	printf("%s %s (%s, SDK %s)\n", jget_str(o, "name", ""),
	    jget_str(o, "version", "-"),
	    joined(jget(o, "kinds"), words, sizeof(words)),
	    jget_str(o, "abi", ""));
	print_wrapped("", jget_str(o, "summary", ""));
	if (json_object_array_length(jget(o, "flags")) > 0)
		printf("flags   %s\n",
		    joined(jget(o, "flags"), words, sizeof(words)));
	if (jget_str(o, "grants", NULL) != NULL)
		printf("grants  %s\n", jget_str(o, "grants", ""));
	print_section("Options", jget(o, "options"), print_option);
	print_section("Tools", jget(o, "tools"), print_tool);
	print_section("Models", jget(o, "models"), print_model);
}

/* A section of the configuration may be a second instance of a plugin. */
static char *
file_of(struct conf *conf, const char *const *dirs, const char *name)
{
	char *path, *setting;
	const char *plugin;

	if (strchr(name, '/') != NULL)
		return xstrdup(name);
	if ((path = plug_find_file(dirs, name)) != NULL)
		return path;
	setting = xasprintf("plugins.%s.plugin", name);
	plugin = conf_peek(conf, setting);
	free(setting);
	return plugin != NULL ? plug_find_file(dirs, plugin) : NULL;
}

struct description {
	const char *path;
	struct plug_services services;
	bool ok;
};

/* A plugin may wait while it names its models, so it is asked on a fiber. */
SUSPENDS static void
describe_fiber(void *arg)
{
	struct description *d = arg;
	struct json_object *o = NULL;
	struct error err = { 0 };

	d->ok = plug_describe_file(d->path, &d->services, &o, &err) == AS_OK;
	if (d->ok)
		print_description(o);
	else
		fprintf(stderr, "agent-studio: %s\n", err.detail);
	json_object_put(o);
	error_clear(&err);
	loop_stop(loop_self());
}

static int
describe(const struct settings *settings, struct conf *conf,
    const char *const *dirs, const char *name)
{
	char *path = file_of(conf, dirs, name);
	struct description d = { .path = path };
	struct loop *loop;

	if (path == NULL) {
		fprintf(stderr, "agent-studio: no plugin %s in", name);
		for (; *dirs != NULL; dirs++)
			fprintf(stderr, " %s", *dirs);
		fprintf(stderr, "\n");
		return EXIT_FAILURE;
	}
	isolation_settings(settings, &d.services);
	loop = loop_new();
	fiber_spawn(loop, "describe", describe_fiber, &d);
	loop_run(loop);
	loop_free(loop);
	free(path);
	return d.ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
list(const struct settings *settings, struct conf *conf,
    const char *const *dirs)
{
	struct plug_services services = { 0 };
	struct plug *plug = NULL;
	int status;
	bool ok;

	if (plugin_list_live(settings, &status))
		return status;
	fprintf(stderr,
	    "agent-studio: nothing runs with the data folder %s; this is what "
	    "the configuration says\n",
	    settings->data_dir);
	isolation_settings(settings, &services);
	ok = plug_new(conf, dirs, &services, &plug) == AS_OK;
	print_list(plug);
	if (conf_groups(conf, "plugins")[0] == NULL)
		fputs("agent-studio: the configuration has no group in "
		      "plugins, so none is loaded; see --conf\n",
		    stderr);
	plug_free(plug);
	if (!ok)
		options_problems(conf);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
cmd_plugin(int argc, char **argv)
{
	struct plugin_check check = { 0 };
	const char *templates = NULL;
	const struct option_own own[] = {
		{ .name = "templates", .value = &templates },
		{ .name = "script", .value = &check.script },
		{ .name = "seconds", .value = &check.seconds },
		{ .name = "case", .value = &check.only },
		{ .name = "json", .flag = &check.json },
		{ 0 },
	};
	struct settings settings;
	struct options options;
	int rc = 2;
	const char **dirs;
	struct conf *conf;
	const char *verb;

	if (!options_parse(&options, argc, argv, own, usage))
		return options.status;
	log_configure("error");
	verb = options.n_args > 0 ? options.args[0] : "";
	if (strcmp(verb, "check") == 0 && options.n_args == 2) {
		check.file = options.args[1];
		check.conf = options.conf_dir;
		rc = plugin_check(&check);
		options_free(&options);
		return rc;
	}
	conf = options_conf(&options);
	settings_load(&settings, conf);
	dirs = settings_plugin_dirs(&settings);
	if (strcmp(verb, "list") == 0 && options.n_args == 1)
		rc = list(&settings, conf, dirs);
	else if (strcmp(verb, "reload") == 0 && options.n_args <= 2)
		rc = plugin_reload(&settings, options.args[1]);
	else if (strcmp(verb, "describe") == 0 && options.n_args == 2)
		rc = describe(&settings, conf, dirs, options.args[1]);
	else if (strcmp(verb, "new") == 0 && options.n_args >= 3 &&
		 options.n_args <= 4)
		rc = plugin_new(options.args[1], options.args[2],
		    options.args[3], templates);
	else
		fprintf(stderr,
		    "agent-studio plugin: expected 'list', 'reload [NAME]', "
		    "'describe NAME', 'check FILE' or 'new KIND NAME'; "
		    "see --help\n");
	free(dirs);
	conf_free(conf);
	options_free(&options);
	return rc;
}
