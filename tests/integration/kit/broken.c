/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins that break one promise each, for tests/integration/kit_broken.py: the
 * rule is the macro that is defined.  KIND is toolkit unless it says otherwise.
 */
#include <agentstudio/auth.h>
#include <agentstudio/db.h>
#include <agentstudio/llm.h>
#include <agentstudio/process.h>
#include <agentstudio/stream.h>
#include <agentstudio/toolkit.h>
#include <agentstudio/vector.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef BREAK_exports
AS_EXPORT int one_too_many = 1;
#endif

#ifdef BREAK_undefined
/* Of a library that the host happens to have. */
void *json_object_new_object(void);
#endif

#ifdef BREAK_unique
__asm__(".globl broken_unique\n"
	".type broken_unique, @gnu_unique_object\n"
	".data\n"
	"broken_unique: .long 1\n"
	".size broken_unique, 4\n"
	".text\n");
#endif

struct conf {
	int64_t number;
	const char *key;
	const char *word;
};

static const struct as_field options[] = {
#ifdef BREAK_options
	AS_INT(struct conf, number, 7, 1, 5, 0, "A number."),
#else
	AS_INT(struct conf, number, 3, 1, 5, 0, "A number."),
#endif
	AS_SECRET(struct conf, key, 0, "A key."),
#ifdef BREAK_conf
	AS_STR(struct conf, word, NULL, AS_REQUIRED, "A word."),
#else
	AS_STR(struct conf, word, "word", 0, "A word."),
#endif
	AS_END
};

/* ---- What the host offers, used as it should be -------------------- */

static enum as_status
use_tables(struct as_call *call)
{
	static const char *const steps[] = { "CREATE TABLE {}notes (id BIGINT "
					     "PRIMARY KEY, text TEXT NOT NULL)",
		NULL };
	const struct as_json *rows;
	enum as_status st = as_db_migrate(call, steps);
	int64_t changed;

	if (st == AS_OK)
		st = as_db_exec(call,
		    "INSERT INTO {}notes (id, text) VALUES (1, 'one')", NULL,
		    &changed);
	if (st == AS_OK)
		st = as_db_query(call, "SELECT id, text FROM {}notes", NULL,
		    &rows);
	if (st == AS_OK && as_size(rows) != 1)
		return as_fail(call, AS_CONFLICT, "not one row");
	return st;
}

static enum as_status
use_files(struct as_call *call)
{
	static const char id[] = "00000000-0000-7000-8000-000000000001";
	struct as_bytes bytes;
	char room[64];
	enum as_status st;
	size_t got;

	st = as_file_read(call, id, 0, room, sizeof(room), &got);
	bytes.ptr = room;
	bytes.len = got;
	if (st == AS_OK)
		st = as_file_write(call, "copy.txt", "text/plain", bytes, NULL);
	return st;
}

static enum as_status
use_program(struct as_call *call)
{
	static const char *const argv[] = { "tool", "--all", NULL };
	struct as_process *program;
	struct as_bytes piece;
	enum as_status st;
	int32_t code = 0;

	st = as_process_open(call, AS_TABLE(as_process_start, .argv = argv),
	    &program);
	while (st == AS_OK)
		st = as_process_read(call, program, NULL, &piece);
	if (st == AS_EOF)
		st = as_process_wait(call, program, &code);
	if (st == AS_OK && code != 0)
		return as_fail(call, AS_UPSTREAM, "tool ended with %d",
		    (int)code);
	return st;
}

static enum as_status
use_stream(struct as_call *call)
{
	static const struct as_bytes bye = { "QUIT\r\n", 6 };
	struct as_stream *stream;
	struct as_bytes piece;
	enum as_status st;

	st = as_stream_open(call,
	    AS_TABLE(as_stream_address, .host = "peer.example.com", .port = 25),
	    &stream);
	if (st == AS_OK)
		st = as_stream_read(call, stream, &piece);
	if (st == AS_OK)
		st = as_stream_write(call, stream, bye);
	while (st == AS_OK)
		st = as_stream_read(call, stream, &piece);
	return st == AS_EOF ? AS_OK : st;
}

static enum as_status
use_people(struct as_call *call)
{
	const struct as_answer *answer;
	const char *token;
	enum as_status st = as_secret(call, "TOKEN", &token);

	if (st == AS_OK && as_kept(call, "begun") == NULL)
		st = as_keep(call, "begun", as_object(call));
	if (st == AS_OK)
		st = as_ask(call, "go", AS_TABLE(as_question, .title = "Go?"),
		    &answer);
	return st;
}

static enum as_status
use_services(struct as_call *call)
{
	enum as_status st = use_tables(call);

	if (st == AS_OK)
		st = use_files(call);
	if (st == AS_OK)
		st = use_program(call);
	if (st == AS_OK)
		st = use_stream(call);
	return st == AS_OK ? use_people(call) : st;
}

/* ---- The same, used otherwise -------------------------------------- */

static enum as_status
misuse(struct as_call *call)
{
	enum as_status st = AS_OK;

	(void)call;
#ifdef BREAK_services
	return use_services(call);
#endif
#ifdef BREAK_grants
	st = as_kv_put(call, AS_KV_USER, "key", NULL, 0);
#endif
#ifdef BREAK_sql
	const struct as_json *rows;

	st = as_db_query(call, "SELECT * FROM users", NULL, &rows);
#endif
#ifdef BREAK_ask
	if ((st = use_people(call)) == AS_PARKED)
		return AS_OK;
#endif
#ifdef BREAK_ask_on
	if ((st = use_people(call)) == AS_PARKED)
		as_sleep(call, 1);
#endif
#ifdef BREAK_ask_again
	if (as_kept(call, "begun") != NULL)
		return as_fail(call, AS_CONFLICT, "it has begun already");
	st = use_people(call);
#endif
#ifdef BREAK_cancel_file
	if ((st = use_files(call)) == AS_CANCELED)
		return as_fail(call, AS_UNAVAILABLE, "somebody stopped it");
#endif
#ifdef BREAK_deadline_program
	if ((st = use_program(call)) == AS_TIMEOUT)
		return as_fail(call, AS_UNAVAILABLE, "too slow");
#endif
#ifdef BREAK_errors_table
	if ((st = use_tables(call)) == AS_UNAVAILABLE)
		return as_fail(call, AS_CONFLICT, "it did not work");
#endif
#ifdef BREAK_leak_stream
	static void *volatile kept;

	if ((st = use_stream(call)) == AS_UNAVAILABLE)
		kept = malloc(100);
	(void)kept;
#endif
#ifdef BREAK_descriptor_program
	if ((st = use_program(call)) == AS_UPSTREAM)
		(void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
#endif
#ifdef BREAK_crash_alloc
	if ((st = use_stream(call)) == AS_OK)
		*(volatile char *)as_alloc(call, 1) = 1;
#endif
#ifdef BREAK_secret_said
	const char *token;

	if ((st = as_secret(call, "TOKEN", &token)) == AS_OK)
		return as_fail(call, AS_UPSTREAM, "%s is no key", token);
#endif
	return st;
}

/* What a tool does wrong. */
static enum as_status
misbehave(struct as_call *call)
{
	enum as_status st = misuse(call);

	(void)call;
#ifdef BREAK_undefined
	if (as_now_ms(call) == 0)
		json_object_new_object();
#endif
#ifdef BREAK_crash
	*(volatile int *)(intptr_t)as_get_int(NULL, "none", 8) = 1;
#endif
#ifdef BREAK_exit
	exit(3);
#endif
#ifdef BREAK_hang
	for (volatile int i = 0;; i++)
		continue;
#endif
#ifdef BREAK_status
	return AS_EOF;
#endif
#ifdef BREAK_message
	return AS_INVALID;
#endif
#ifdef BREAK_cancel
	if ((st = as_sleep(call, 10)) == AS_CANCELED)
		return as_fail(call, AS_UNAVAILABLE, "somebody stopped it");
#endif
#ifdef BREAK_deadline
	if ((st = as_sleep(call, 10)) == AS_TIMEOUT)
		return as_fail(call, AS_UNAVAILABLE, "too slow");
#endif
#ifdef BREAK_errors
	const struct as_http_response *res;

	if ((st = as_http(call,
		 AS_TABLE(as_http_request, .url = "https://api.example.com/"),
		 &res)) != AS_OK)
		return st;
	if (res->status != 200)
		return as_fail(call, AS_CONFLICT, "it did not work");
#endif
#ifdef BREAK_network
	const struct as_http_response *res;

	st = as_http(call,
	    AS_TABLE(as_http_request, .url = "https://example.net/"), &res);
#endif
#ifdef BREAK_leak
	static void *volatile kept;

	kept = malloc(100);
	(void)kept;
#endif
#ifdef BREAK_descriptor
	(void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
#endif
#ifdef BREAK_signal
	signal(SIGUSR1, SIG_IGN);
#endif
#ifdef BREAK_locale
	setlocale(LC_ALL, "C.UTF-8");
#endif
#ifdef BREAK_umask
	umask(0);
#endif
#ifdef BREAK_folder
	(void)!chdir("/");
#endif
#ifdef BREAK_environment
	setenv("BROKEN", "1", 1);
#endif
#ifdef BREAK_output
	puts("something");
	fflush(stdout);
#endif
#ifdef BREAK_secret
	const struct conf *conf = as_conf(call);

	as_log(call, AS_LOG_INFO, "the key is %s", conf->key);
#endif
	return st;
}

static enum as_status
run(struct as_call *call, const void *in)
{
	enum as_status st = misbehave(call);

	(void)in;
	return st == AS_OK ? as_reply_text(call, "done") : st;
}

static const struct as_tool tools[] = {
	{
	    .name = "do",
#ifndef BREAK_documented
	    .doc = "Does something.",
#endif
#ifdef BREAK_schema
	    .schema = "{\"type\": \"object\", \"properties\": 5}",
#endif
#ifdef BREAK_reply
	    .result_schema = "{\"type\": \"object\"}",
#endif
	    .run = run,
	},
	AS_END
};

#ifdef KIND_llm
static enum as_status
chat(struct as_call *call, const struct as_chat *in)
{
	enum as_status st = as_chat_text(call, "hello", 5);

	(void)in;
#ifdef BREAK_order
	if (st == AS_OK)
		st = as_chat_args(call, 0, "{}", 2);
#endif
#ifdef BREAK_end
	if (st == AS_OK)
		st = as_chat_end(call, AS_END_TURN);
#endif
	return st == AS_OK ? as_chat_end(call, AS_END_TURN) : st;
}

static enum as_status
embed(struct as_call *call, const struct as_texts *in)
{
	enum as_status st = AS_OK;
	float v[2] = { 1, 2 };
	uint32_t i = 0;

#ifdef BREAK_vectors
	i++;
#endif
	for (; i < in->n && st == AS_OK; i++)
		st = as_embedding(call, i, v, 2);
	return st;
}

static enum as_status
models(struct as_call *call)
{
	enum as_status st;

	st = as_offer_model(call, AS_TABLE(as_model, .name = "one"));
#ifdef BREAK_models
	if (st == AS_OK)
		st = as_offer_model(call, AS_TABLE(as_model, .name = "one"));
#endif
	if (st != AS_OK)
		return st;
	return as_offer_model(call,
	    AS_TABLE(as_model, .name = "two", .dim = 2));
}
#endif

#ifdef KIND_auth
static enum as_status
login(struct as_call *call, const struct as_json *credentials)
{
	(void)call, (void)credentials;
	return AS_OK;
}
#endif

#ifdef KIND_vector
static enum as_status
collection(struct as_call *call, const struct as_collection *in)
{
	(void)call, (void)in;
	return AS_OK;
}

static enum as_status
remove_rows(struct as_call *call, const struct as_collection *in,
    const char *const *ids, uint32_t n)
{
	(void)call, (void)in, (void)ids, (void)n;
	return AS_OK;
}

static enum as_status
put(struct as_call *call, const struct as_collection *in,
    const struct as_rows *rows)
{
	(void)call, (void)in, (void)rows;
	return AS_OK;
}

static enum as_status
search(struct as_call *call, const struct as_collection *in,
    const struct as_query *query)
{
	(void)in, (void)query;
	as_hit(call, "row-3", 0.5, NULL);
	as_hit(call, "row-4", 0.9, NULL);
	return as_hit(call, "row-5", 0.1, NULL);
}
#endif

#ifdef BREAK_thread
static void *
linger(void *arg)
{
	pause();
	return arg;
}
#endif

static enum as_status
init(struct as_call *call)
{
#ifdef BREAK_init
	return as_sleep(call, 10);
#elif defined(BREAK_thread)
	pthread_t thread;

	(void)call;
	return pthread_create(&thread, NULL, linger, NULL) == 0 ? AS_OK
								: AS_NOMEM;
#else
	(void)call;
	return AS_OK;
#endif
}

static const struct as_plugin plugin = {
#ifdef BREAK_load
	.magic = 1,
#else
	.magic = AS_ABI_MAGIC,
#endif
	.abi_major = AS_ABI_MAJOR,
	.abi_minor = AS_ABI_MINOR,
	.size = sizeof(plugin),
	.field_size = sizeof(struct as_field),
	.name = NAME,
	.summary = "Breaks a promise.",
	.version = "1.0.0",
	AS_OPTIONS(struct conf, options),
	.grants = "db files process:tool secret:TOKEN net:peer.example.com "
		  "net:api.example.com",
	.init = init,
#if defined(KIND_llm)
	.llm = AS_LLM(.chat = chat, .embed = embed, .models = models),
#elif defined(KIND_auth)
	.auth = AS_AUTH_BACKEND(.login = login),
#elif defined(KIND_vector)
	.vector = AS_VECTOR(.create = collection, .drop = collection,
	    .put = put, .remove = remove_rows, .search = search),
#else
	.toolkit = AS_TOOLKIT(.tools = tools),
#endif
};

#if defined(KIND_llm) || defined(KIND_auth) || defined(KIND_vector)
const void *broken_unused(void);
AS_LOCAL const void *
broken_unused(void)
{
	return tools;
}
#endif

AS_PLUGIN_ENTRY(&plugin);
