/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/mem.h"
#include "core/cmd/settings.h"
#include "tests/tap.h"

/*
 * The program's own settings: defaults, what a table cannot check, and the
 * samples in conf.d, which must tell what the tables say.
 */

static void
test_defaults(void)
{
	struct conf *c = conf_new();
	struct settings s;

	CU_ASSERT_TRUE(settings_load(&s, c));
	CU_ASSERT_STRING_EQUAL(s.data_dir, "var");
	CU_ASSERT_STRING_EQUAL(s.server.host, "127.0.0.1");
	CU_ASSERT_EQUAL(s.server.port, 8080);
	CU_ASSERT_EQUAL(s.server.idle_timeout, 75000);
	CU_ASSERT_STRING_EQUAL(s.models.fallback, "auto");
	CU_ASSERT_EQUAL(s.auth.refresh_ttl, INT64_C(2592000000));
	CU_ASSERT_STRING_EQUAL(s.auth.signup, "auto");
	CU_ASSERT_EQUAL(s.runs.max_output, 262144);
	CU_ASSERT_TRUE(s.worker.embedded);
	CU_ASSERT_TRUE(s.store.migrations[0] != '\0');
	CU_ASSERT_TRUE(s.server.demo_dir[0] != '\0');
	conf_free(c);
}

static void
test_set(void)
{
	const char **dirs;
	struct conf *c = conf_new();
	struct settings s;

	conf_set(c, "models.default=openai/gpt");
	conf_set(c, "data_dir=/srv/x");
	conf_set(c, "server.trusted_proxies=10.0.0.7,10.0.0.0/8,::1,fd00::/8");
	conf_set(c, "plugins.dirs=/,/tmp");
	conf_set(c, "server.public_url=https://x.org");
	CU_ASSERT_TRUE(settings_load(&s, c));
	CU_ASSERT_STRING_EQUAL(s.models.fallback, "openai/gpt");
	CU_ASSERT_STRING_EQUAL(s.data_dir, "/srv/x");
	dirs = settings_plugin_dirs(&s);
	CU_ASSERT_STRING_EQUAL(dirs[0], "/");
	CU_ASSERT_STRING_EQUAL(dirs[1], "/tmp");
	CU_ASSERT_PTR_NOT_NULL(dirs[2]);
	CU_ASSERT_PTR_NULL(dirs[3]);
	free(dirs);
	conf_free(c);
}

static void
test_problems(void)
{
	static const char *const rows[][2] = {
		{ "redis.url=rediss://h",
		    "redis.url: expected redis://[USER@]HOST[:PORT][/DB], "
		    "unix:///PATH[?db=DB] or "
		    "redis+sentinel://[USER@]HOST[:PORT],.../MASTER[/DB]" },
		{ "redis.prefix=a b",
		    "redis.prefix: expected 1 to 64 characters without blanks "
		    "and none of :*?[]" },
		{ "redis.sentinel_user=12345678901234567890123456789012"
		  "34567890123456789012345678901234",
		    "redis.sentinel_user: expected at most 63 characters" },
		{ "server.public_url=x.org",
		    "server.public_url: expected an http or https URL, got "
		    "'x.org'" },
		{ "worker.beat=3s",
		    "worker.beat: expected at most a third of worker.lease, "
		    "8000 ms, got 3000 ms" },
		{ "log.level=loud",
		    "log.level: expected levels such as \"info\" or "
		    "\"info,net=debug\", got 'loud'" },
		{ "server.allowed_origins=app.example.org",
		    "server.allowed_origins: expected an origin such as "
		    "https://app.example.org, got 'app.example.org'" },
		{ "server.trusted_proxies=10.0.0.0/33",
		    "server.trusted_proxies: expected an address such as "
		    "10.0.0.7 or 10.0.0.0/8, got '10.0.0.0/33'" },
		{ "server.trusted_proxies=proxy",
		    "server.trusted_proxies: expected an address such as "
		    "10.0.0.7 or 10.0.0.0/8, got 'proxy'" },
		{ "webhooks.allow=http://x:80",
		    "webhooks.allow: expected host:port such as "
		    "10.0.0.7:8080, got 'http://x:80'" },
		{ "server.demo_dir=/no/such",
		    "server.demo_dir: there is no folder '/no/such'" },
		{ "plugins.dirs=/no/such",
		    "plugins.dirs: there is no folder '/no/such'" },
		{ "data_dir=", "data_dir: expected the path of a folder" },
		{ "nope.x=1", "nope: unknown section" },
		{ "server.port=65536",
		    "server.port: expected 0 to 65535, got '65536'" },
		{ "sever.port=1",
		    "sever: unknown section; did you mean 'server'?" },
		{ "server=1", "server: expected a group in braces, got '1'" },
		{ "data_dri=x",
		    "data_dri: unknown setting; did you mean 'data_dir'?" },
	};
	struct conf *c;
	struct settings s;
	size_t i;

	for (i = 0; i < N_ITEMS(rows); i++) {
		c = conf_new();
		conf_set(c, rows[i][0]);
		settings_load(&s, c);
		conf_finish(c);
		CU_ASSERT_EQUAL(conf_problem_count(c), 1);
		CU_ASSERT_STRING_EQUAL(conf_problem(c, 0)->text, rows[i][1]);
		conf_free(c);
	}
}

static char *
read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	struct buf b = { 0 };
	char part[4096];
	size_t n;

	if (f == NULL)
		return NULL;
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buf_add(&b, part, n);
	fclose(f);
	return buf_take(&b);
}

static void
test_samples(void)
{
	static const char *const files[][2] = { { "10-server", "server" },
		{ "20-store", "" }, { "20-store", "store" },
		{ "25-redis", "redis" }, { "30-auth", "auth" },
		{ "40-models", "models" }, { "50-runs", "runs" },
		{ "55-queue", "queue" }, { "60-worker", "worker" },
		{ "65-schedules", "schedules" }, { "65-webhooks", "webhooks" },
		{ "65-inbox", "inbox" }, { "65-files", "files" },
		{ "70-log", "log" }, { "80-plugins", "plugins" } };
	const struct settings_section *s;
	struct buf want = { 0 };
	char *path, *text;
	size_t i, j, n = 0;

	for (i = 0; (s = settings_section(i)) != NULL; i++) {
		for (j = 0; j < N_ITEMS(files); j++)
			if (strcmp(files[j][1], s->name) == 0)
				break;
		CU_ASSERT_FATAL(j < N_ITEMS(files));
		path = xasprintf("%s/conf.d/%s.conf", SRC_DIR, files[j][0]);
		text = read_file(path);
		buf_reset(&want);
		field_sample(s->fields, sizeof(struct as_field), s->name,
		    &want);
		if (text == NULL || strstr(text, want.data) == NULL) {
			tap_note("%s must have:\n%s", path, want.data);
			CU_FAIL("a sample that differs from its table");
		}
		n++;
		free(text);
		free(path);
	}
	CU_ASSERT_EQUAL(n, N_ITEMS(files));
	buf_free(&want);
}

/* The samples change nothing: all of our sections keep their defaults. */
static void
test_sample_folder(void)
{
	struct conf *c = conf_new();
	struct buf shown = { 0 };
	struct settings s;
	char *at;

	conf_load_dir(c, SRC_DIR "/conf.d", true);
	CU_ASSERT_TRUE(settings_load(&s, c));
	CU_ASSERT_EQUAL(conf_problem_count(c), 0);
	conf_show(c, &shown);
	for (at = strtok(shown.data, "\n"); at != NULL; at = strtok(NULL, "\n"))
		if (strstr(at, "(default)") == NULL)
			CU_FAIL("a sample sets something");
	buf_free(&shown);
	conf_free(c);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "defaults", test_defaults },
		{ "overrides", test_set },
		{ "problems", test_problems },
		{ "samples tell what the tables say", test_samples },
		{ "samples set nothing", test_sample_folder },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "settings", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
