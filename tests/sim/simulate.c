/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "tests/sim/sim.h"

/*
 * simulate [--seeds N] [--from S] [--trace SEED] [--replay FILE]: seeds as TAP.
 * A seed that fails is tried with ever fewer of its faults, and what is left is
 * printed; kept as a file in tests/sim/schedules, it is tried each time.
 */

#ifdef __SANITIZE_THREAD__
#define SEEDS 200 /* each takes ten times as long */
#else
#define SEEDS 2000
#endif
/*
 * Seeds in a second of a core: a tenth of what is demanded of a quiet machine,
 * and of a build with a sanitizer a tenth of that.
 */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define RATE_MIN 1.5
#else
#define RATE_MIN 15.0
#endif
#define SEEDS_COVER 1000 /* fewer need not reach every transition */
#define FAILURES_MAX 5

struct options {
	uint64_t from, seeds;
	uint64_t trace;
	bool has_trace;
	const char *replay;
};

static void
options_read(struct options *o, int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		uint64_t v = strtoull(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--seeds") == 0)
			o->seeds = v;
		else if (strcmp(argv[i], "--from") == 0)
			o->from = v;
		else if (strcmp(argv[i], "--trace") == 0) {
			o->trace = v;
			o->has_trace = true;
		} else if (strcmp(argv[i], "--replay") == 0)
			o->replay = argv[i + 1];
		else {
			fprintf(stderr, "simulate: unknown option %s\n",
			    argv[i]);
			exit(2);
		}
	}
}

/* ---- Fewer faults -------------------------------------------------- */

static bool
still_breaks(uint64_t seed, const struct fault_list *l, const char *broken)
{
	struct sim_config c = { .seed = seed, .faults = l };
	struct sim_result r;

	sim_run(&c, &r);
	return strcmp(r.broken, broken) == 0;
}

/* Leaves out ever smaller pieces as long as it breaks without them. */
static void
faults_reduce(uint64_t seed, struct fault_list *l, const char *broken)
{
	for (int size = l->n / 2 + 1; size > 0; size /= 2)
		for (int at = 0; at < l->n;) {
			struct fault_list less = { .n = 0 };

			for (int i = 0; i < l->n; i++)
				if (i < at || i >= at + size)
					less.f[less.n++] = l->f[i];
			if (still_breaks(seed, &less, broken))
				*l = less;
			else
				at += size;
		}
}

static void
failure_print(uint64_t seed, const struct sim_result *r)
{
	struct fault_list l;
	char text[200];

	printf("# seed %llu breaks %s: %s\n", (unsigned long long)seed,
	    r->broken, r->how);
	faults_make(&l, seed);
	faults_reduce(seed, &l, r->broken);
	printf("# with these faults alone:\n# seed %llu\n",
	    (unsigned long long)seed);
	for (int i = 0; i < l.n; i++) {
		fault_write(&l.f[i], text, sizeof(text));
		printf("# %s\n", text);
	}
}

/* ---- Seeds --------------------------------------------------------- */

/* Of this process, so others on the machine do not count. */
static double
cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int
seeds_run(const struct options *o, struct sim_coverage *cov)
{
	double began = cpu_s(), rate;
	uint64_t hash = 0;
	long runs = 0;
	int failed = 0;

	for (uint64_t i = 0; i < o->seeds && failed < FAILURES_MAX; i++) {
		struct sim_config c = { .seed = o->from + i, .coverage = cov };
		struct sim_result r;

		sim_run(&c, &r);
		hash = hash * 31 + r.hash;
		runs += r.n_runs;
		if (r.broken[0] == '\0')
			continue;
		failed++;
		failure_print(c.seed, &r);
	}
	rate = (double)o->seeds / (cpu_s() - began);
	printf("# %llu seeds, %ld runs, %.1f seeds/s of a core, hash %016llx\n",
	    (unsigned long long)o->seeds, runs, rate, (unsigned long long)hash);
	printf("%s 1 - %llu seeds from %llu\n", failed > 0 ? "not ok" : "ok",
	    (unsigned long long)o->seeds, (unsigned long long)o->from);
	/* What fails is tried again and again. */
	failed |= failed == 0 && rate < RATE_MIN;
	printf("%s 2 - at least %.1f seeds a second of a core\n",
	    failed > 0 ? "not ok" : "ok", RATE_MIN);
	return failed > 0;
}

static int
twice_run(const struct options *o)
{
	int failed = 0;

	for (uint64_t i = 0; i < 20 && i < o->seeds; i++) {
		struct sim_config c = { .seed = o->from + i };
		struct sim_result a, b;

		sim_run(&c, &a);
		sim_run(&c, &b);
		if (a.hash == b.hash)
			continue;
		failed = 1;
		printf("# seed %llu: %016llx, then %016llx\n",
		    (unsigned long long)c.seed, (unsigned long long)a.hash,
		    (unsigned long long)b.hash);
	}
	printf("%s 3 - the same seed, the same trace\n",
	    failed ? "not ok" : "ok");
	return failed;
}

static long
coverage_line(const long *hits, const char *name)
{
	long sum = 0;

	printf("# %-26s", name);
	for (int k = 0; k <= FAULT_KINDS; k++) {
		printf(" %5ld", hits[k]);
		sum += hits[k];
	}
	printf("\n");
	return sum;
}

/* Transitions by the faults around them. */
static int
coverage_print(const struct options *o, const struct sim_coverage *cov)
{
	int missing = 0;

	for (int k = 0; k <= FAULT_KINDS; k++)
		printf("# %c: %s\n", 'a' + k, fault_name((enum fault_kind)k));
	printf("# %-26s", "");
	for (int k = 0; k <= FAULT_KINDS; k++)
		printf(" %5c", 'a' + k);
	printf("\n");
	for (int i = 0; oracle_rule_name(i) != NULL; i++) {
		if (coverage_line(cov->hits[i], oracle_rule_name(i)) > 0 ||
		    oracle_rule_is_rare(i))
			continue;
		missing++;
		printf("# '%s' was never reached\n", oracle_rule_name(i));
	}
	if (o->seeds < SEEDS_COVER)
		printf("ok 4 - every transition was reached # SKIP only %llu "
		       "seeds\n",
		    (unsigned long long)o->seeds);
	else
		printf("%s 4 - every transition was reached\n",
		    missing > 0 ? "not ok" : "ok");
	return missing > 0 && o->seeds >= SEEDS_COVER;
}

/* ---- Schedules ----------------------------------------------------- */

/* "seed N", then a line for each fault; other lines are comments. */
static void
schedule_read(const char *path, uint64_t *seed, struct fault_list *l)
{
	FILE *f = fopen(path, "r");
	unsigned long long n;
	char line[256];

	if (f == NULL) {
		fprintf(stderr, "simulate: cannot read %s\n", path);
		exit(2);
	}
	*seed = 0;
	l->n = 0;
	while (fgets(line, sizeof(line), f) != NULL && l->n < SIM_FAULTS_MAX)
		if (sscanf(line, "seed %llu", &n) == 1)
			*seed = n;
		else if (fault_read(line, &l->f[l->n]))
			l->n++;
	fclose(f);
}

static int
schedules_run(void)
{
	int failed = 0, n = 0;
	glob_t files;

	if (glob(SRC_DIR "/tests/sim/schedules/*.sim", 0, NULL, &files) != 0)
		memset(&files, 0, sizeof(files));
	for (; n < (int)files.gl_pathc; n++) {
		struct fault_list l;
		struct sim_config c = { .faults = &l };
		struct sim_result r;

		schedule_read(files.gl_pathv[n], &c.seed, &l);
		sim_run(&c, &r);
		if (r.broken[0] == '\0')
			continue;
		failed = 1;
		printf("# %s breaks %s: %s\n", files.gl_pathv[n], r.broken,
		    r.how);
	}
	globfree(&files);
	printf("%s 5 - %d schedules that once broke something\n",
	    failed || n == 0 ? "not ok" : "ok", n);
	return failed || n == 0;
}

/* One seed, with everything that happens in it. */
static int
trace_print(uint64_t seed, const struct fault_list *faults)
{
	struct fault_list l;
	struct sim_config c = { .seed = seed, .faults = &l, .print = true };
	struct sim_result r;
	char text[200];

	if (faults != NULL)
		l = *faults;
	else
		faults_make(&l, seed);
	for (int i = 0; i < l.n; i++) {
		fault_write(&l.f[i], text, sizeof(text));
		printf("# %s\n", text);
	}
	sim_run(&c, &r);
	printf("# seed %llu, hash %016llx, %s %s\n", (unsigned long long)seed,
	    (unsigned long long)r.hash,
	    r.broken[0] != '\0' ? r.broken : "nothing broken", r.how);
	return r.broken[0] != '\0';
}

int
main(int argc, char **argv)
{
	struct options o = { .from = 1, .seeds = SEEDS };
	struct fault_list faults;
	struct sim_coverage *cov;
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	options_read(&o, argc, argv);
	if (o.has_trace)
		return trace_print(o.trace, NULL);
	if (o.replay != NULL) {
		schedule_read(o.replay, &o.trace, &faults);
		return trace_print(o.trace, &faults);
	}
	log_to_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
	cov = xcalloc(1, sizeof(*cov));
	failed |= seeds_run(&o, cov);
	failed |= twice_run(&o);
	failed |= coverage_print(&o, cov);
	failed |= schedules_run();
	printf("1..5\n");
	free(cov);
	return failed;
}
