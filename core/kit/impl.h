/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_KIT_IMPL_H
#define CORE_KIT_IMPL_H

/*
 * Inside core/kit, in the process of a case: the plugin, the script, the
 * operations that there are, and the world that a call meets.
 */

#include "core/base/buf.h"
#include "core/kit/kit.h"
#include "core/plug/call.h"
#include "core/plug/unit.h"

enum kit_rule {
#define RULE(name, holds, remedy) RULE_##name,
#include "core/kit/rules.def"
#undef RULE
	RULE_COUNT
};
const char *rule_name(enum kit_rule rule);
const char *rule_holds(enum kit_rule rule);
const char *rule_remedy(enum kit_rule rule);
const char *status_name(enum as_status st); /* "AS_OK" */

enum kit_what {
	KIT_TOOL,
	KIT_VERIFY,
	KIT_CHAT,
	KIT_EMBED,
	KIT_MODELS,
	KIT_SIGNUP,
	KIT_AUTH, /* login, verify, refresh, finish: an identity */
	KIT_BEGIN,
	KIT_UPDATE,
	KIT_VECTOR,
	KIT_SEARCH
};

struct kit_op {
	char *label; /* "tool roll" */
	enum kit_what what;
	struct msg op;
	struct json_object *value; /* behind op.value */
	struct json_object *expect; /* borrowed, or NULL */
	struct json_object *answers; /* of people, by key; the same */
	struct schema *result; /* of a tool, or NULL */
	uint32_t n_texts;
	/* Not of msg.h: called on the plugin's side, through start. */
	enum as_status (*direct)(struct as_call *call, const struct kit_op *op);
	const char *stage; /* of a vector store */
	int metric;
};

/* What a call has said. */
struct said {
	struct json_object *reply, *identity, *session, *models, *hits, *calls;
	struct buf text;
	char *redirect;
	unsigned ends;
	int why;
	const char *end_fault, *order_fault, *vector_fault;
	bool *vectors; /* which texts have one */
	size_t dim;
};

enum trouble {
	TROUBLE_NONE,
	TROUBLE_CANCEL,
	TROUBLE_DEADLINE
};

/* An answer of a server that is not as scripted. */
struct wrong {
	const char *name;
	int status; /* of HTTP; 0: what else says */
	bool garbage, lost, midway;
	enum as_status want;
};

/* What becomes of a service that is no HTTP. */
enum fault {
	FAULT_NONE,
	FAULT_GONE, /* it is not available */
	FAULT_CODE, /* the program ends with 1 and some words */
	FAULT_KILLED, /* it is killed half way */
	FAULT_EARLY /* the peer of a stream ends it half way */
};

struct guest_memory;
struct kit_file;
struct kit_program;
struct kit_stream;
struct kit_tcp;

struct world {
	struct kit *kit;
	const struct kit_op *op;
	enum trouble trouble;
	unsigned at; /* which suspension it happens at, from 1 */
	bool struck;
	unsigned waits, points; /* suspensions; with pieces of an answer */
	unsigned after; /* services asked for when it was over */
	const struct wrong *wrong;
	unsigned wrong_at, requests;
	enum fault fault;
	unsigned fault_at; /* of those of its kind, from 1 */
	unsigned services, programs_run, tcps_open; /* so far */
	unsigned alloc_at, allocs;
	uint64_t random;
	int64_t deadline;
	unsigned unscripted;
	struct kit_stream *streams;
	struct kit_program *programs;
	struct kit_tcp *tcps;
	int64_t last_stream;
	struct kit_file *files; /* that it writes */
	struct json_object *kept, *answers;
	unsigned asked; /* questions so far */
	unsigned park_at; /* the question that nobody answers yet, from 1 */
	bool parked;
	bool ignores; /* whoever is asked */
	struct said said;
};

struct kit {
	const struct kit_request *request;
	int report;
	struct plug plug;
	struct unit *unit;
	struct conf *conf;
	struct json_object *script;
	struct json_object *options; /* that the script gave */
	struct json_object *kv;
	struct guest_memory *db; /* NULL: nobody has used it */
	struct kit_file *files; /* of the thread */
	struct kit_op *ops;
	size_t n_ops;
	const char *label; /* what is being done, for findings */
	char *model, *embedder; /* the first that chats, and that embeds */
	enum as_status (*start)(struct as_call *call); /* the plugin's own */
};

/* ---- case.c: the report -------------------------------------------- */

void finding(struct kit *k, enum kit_rule rule, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void note(struct kit *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Where a crash would be. */
void doing(struct kit *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- setup.c: the plugin ------------------------------------------- */

/* The file, its options and its tools.  False: findings say why not. */
bool setup_load(struct kit *k);
void setup_free(struct kit *k);
bool setup_begin(struct kit *k); /* init and start */
void setup_end(struct kit *k);
void describe_rules(struct kit *k);

/* ---- link.c, serve.c: the world ------------------------------------ */

const struct as_host *kit_host(void); /* what plugins get here */
/* One operation; *failure is the caller's. */
enum as_status world_run(struct world *w, struct json_object **failure);
void world_clear(struct world *w);
/* One suspension: true if it is the one, or comes after it. */
bool world_point(struct world *w, bool wait);
enum as_status world_over(const struct world *w);
void world_serve(struct world *w, const struct msg *m, struct answer *out);
void world_streams_free(struct world *w);
void __attribute__((format(printf, 3, 4)))
answer_fail(struct answer *out, enum as_status st, const char *fmt, ...);
/* May it use this?  False: *out says no, and it is a finding. */
bool world_grants(struct world *w, const char *word, struct answer *out);
bool world_reaches(struct world *w, const char *host, struct answer *out);
/* The first entry of a list of the script whose member fits the text. */
struct json_object *scripted(struct world *w, const char *list,
    const char *member, const char *text);

/* ---- serve_host.c, serve_file.c, serve_program.c, serve_stream.c ---- */

void world_serve_host(struct world *w, const struct msg *m, struct answer *out);
void host_setup(struct kit *k); /* what the script says of secrets */
/* Of the tables; back: as it was at the mark. */
void tables_mark(struct kit *k);
void tables_back(struct kit *k, bool were_there);

void world_serve_file(struct world *w, const struct msg *m, struct answer *out);
void files_setup(struct kit *k);
void files_free(struct kit_file **list);
/* What that file has, as text; NULL: there is none. */
const char *file_text(const struct kit_file *list, const char *name);

void world_serve_program(struct world *w, const struct msg *m,
    struct answer *out);
void world_programs_free(struct world *w);
void world_serve_stream(struct world *w, const struct msg *m,
    struct answer *out);
void world_tcps_free(struct world *w);

void said_take(struct world *w, const struct msg *m);
bool secret_is_in(struct kit *k, const char *text);

/* ---- ops.c, sample.c, vectors.c ------------------------------------ */

void ops_make(struct kit *k);
void ops_free(struct kit *k);
struct kit_op *op_add(struct kit *k, enum kit_what what, enum msg_kind kind,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* A value that the schema accepts, as far as one can tell. */
struct json_object *sample_of(struct json_object *schema);
void vectors_add(struct kit *k);
/* What has to be there before: rows to search, an account to sign in. */
void op_prepare(struct kit *k, const struct kit_op *op);

/* ---- judge.c ------------------------------------------------------- */

void judge(struct world *w, enum as_status st, struct json_object *failure);
void judge_legal(struct world *w, enum as_status st,
    struct json_object *failure);
void judge_expect(struct world *w, enum as_status st,
    struct json_object *failure);
void judge_hits(struct world *w);

/* ---- trouble.c ----------------------------------------------------- */

/* name: "calls", "cancel", "deadline", "errors", "memory" or "leak". */
void trouble_run(struct kit *k, const char *name, const struct kit_op *op);

/* ---- probe.c ------------------------------------------------------- */

struct probe;
struct probe *probe_take(void);
void probe_free(struct probe *p);
void probe_compare(struct kit *k, struct probe *before); /* frees it */
size_t probe_memory(void); /* bytes in use */
unsigned probe_descriptors(void);

/* ---- file.c, in the parent as well ---------------------------------- */

typedef void file_finding(void *arg, enum kit_rule rule, const char *text);
void file_rules(const char *path, file_finding *fn, void *arg);

#endif
