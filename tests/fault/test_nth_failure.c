/*
 * The n-th allocation, write, fsync, truncation, opening, read, mapping, renaming, or step of a
 * statement of a ledger fails, for every n until a whole life of a ledger has none left to fail: no
 * crash, every answer is true after a restart, the books and the batch are whole, and an fsync that
 * failed is the end of the process.
 *
 * FAULT_STRIDE: only every so-manieth n (of each kind; 1: all); FAULT_ONLY: this n alone, of the
 * kinds named as arguments, or of all.
 *
 * Seen to fail: a failed commit answered with success (80 of 230 lives that lose a write), a failed
 * fsync taken for one that passes (18 of 32), a journal mode that silently did not come about.
 */
#include "tests/lib/unit.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/fault/cut.h"
#include "tests/fault/facts.h"
#include "tests/fault/scenario.h"
#include "tests/lib/books.h"

enum {
	WORKERS = 2,
	ERRORS = 4,
};

/* Each kind of call, and how it may fail; the n-th takes the n-th of these. */
static const struct kind {
	const char *name;
	enum fault_class class;
	int errors[ERRORS];
	uint64_t stride; /* in steps of FAULT_STRIDE: there are many allocations */
} kinds[] = {
	{"allocation", FAULT_MALLOC, {ENOMEM, ENOMEM, ENOMEM, ENOMEM}, 16},
	{"write", FAULT_WRITE, {EIO, ENOSPC, EROFS, EDQUOT}, 1},
	{"fsync", FAULT_FSYNC, {EIO, ENOSPC, EIO, EROFS}, 1},
	{"truncation", FAULT_TRUNCATE, {EIO, EROFS, EIO, EROFS}, 1},
	{"opening", FAULT_OPEN, {EMFILE, EROFS, ENOSPC, EACCES}, 1},
	{"read", FAULT_READ, {EIO, EIO, EIO, EIO}, 1},
	{"mapping", FAULT_MMAP, {ENOMEM, ENOMEM, ENOMEM, ENOMEM}, 1},
	{"naming", FAULT_NAME, {EIO, EROFS, ENOSPC, EACCES}, 1},
	{"step", FAULT_STEP, {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_NOMEM, SQLITE_BUSY}, 4},
};

struct result {
	uint64_t runs, crashed, lied, unsound, survived;
};

static struct fault_page *page;
static char dir[SCENARIO_DIR];
static uint64_t stride, only;

/* ---- one life ---- */

static void arm(const struct kind *k, uint64_t n, const char *trace)
{
	snprintf(page->trace, sizeof(page->trace), "%s", trace);
	page->count = page->failed = page->files = 0;
	page->error = k->errors[n % ERRORS];
	page->sticky = n % 3 == 0;
	page->at = n;
	page->classes = 1u << k->class;
}

/* What it answered is in its books. */
static void check_books(const struct ledger_config *config, const char *trace, struct result *r)
{
	const struct store_config books = {.network = 7,
					   .window = {1 << 20, 64 << 20},
					   .free_allowance = UINT64_C(1) << 40,
					   .settlement = config->settlement};
	struct facts facts = {0};
	struct identity node;
	struct store *s;
	struct cut *c;

	test_identity(&node, 1);
	c = cut_load(trace, dir, dir);
	for (size_t i = 0; i < cut_count(c); i++) {
		const void *data;
		const struct trace_record *record = cut_record(c, i, &data);

		facts_message(&facts, i, record, data);
	}
	if (store_open(&s, config->database, &books, &node, clock_wall()) != 0) {
		r->unsound++;
	} else {
		r->lied += facts_missing(s, &facts, facts.count) != 0;
		r->unsound += facts_check_books(s) != 0 ||
			      facts_check_batches(s, config->settlement) != 0;
		store_close(s);
	}
	facts_free(&facts);
	cut_free(c);
}

/* False if there was no n-th call any more. */
static bool fail_nth(const struct kind *k, uint64_t n, struct result *r)
{
	uint64_t bad = r->crashed + r->lied + r->unsound + r->survived, failed, files;
	char place[PATH_MAX], trace[400];
	struct ledger_config config;
	int status;

	snprintf(place, sizeof(place), "%s/life-%d", dir, (int)getpid());
	snprintf(trace, sizeof(trace), "%s/life-%d.trace", dir, (int)getpid());
	scenario_config(&config, place);
	arm(k, n, trace);
	status = scenario_settle(&config, n, 1);
	failed = page->failed;
	files = page->files;
	scenario_disarm(page);
	r->runs++;
	if (!WIFEXITED(status))
		r->crashed++;
	if (k->class == FAULT_FSYNC && files && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		r->survived++;
	if (access(trace, R_OK) == 0)
		check_books(&config, trace, r);
	if (r->crashed + r->lied + r->unsound + r->survived != bad && bad < 5)
		fprintf(stderr, "%s %lu (error %d): status %x\n", k->name, (unsigned long)n,
			k->errors[n % ERRORS], (unsigned)status);
	if (!only)
		unlink(trace);
	if (!only)
		test_dir_remove(place);
	return failed != 0;
}

/* ---- all lives ---- */

static void work(uint64_t first, void *found, const void *arg)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS};
	const struct kind *k = arg;
	uint64_t step = stride == 1 ? 1 : stride * k->stride;

	/* Not cmocka's handlers: a ledger that crashes must be seen to. */
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		signal(crashes[i], SIG_DFL);
	/* Two in parallel count apart. */
	page = scenario_own_page();
	if (only && first == 0)
		fail_nth(k, only, found);
	for (uint64_t n = 1 + first * step; !only && fail_nth(k, n, found); n += WORKERS * step)
		continue;
}

static void test_kind(void **state)
{
	const struct kind *k = *state;
	struct result sum = {0}, found[WORKERS];

	assert_true(scenario_parallel(WORKERS, work, k, found, sizeof(*found)));
	for (int i = 0; i < WORKERS; i++) {
		sum.runs += found[i].runs;
		sum.crashed += found[i].crashed;
		sum.lied += found[i].lied;
		sum.unsound += found[i].unsound;
		sum.survived += found[i].survived;
	}
	print_message("%s: %lu lives, %lu crashes, %lu with untrue answers, %lu with wrong books, "
		      "%lu fsync failures outlived\n",
		      k->name, (unsigned long)sum.runs, (unsigned long)sum.crashed,
		      (unsigned long)sum.lied, (unsigned long)sum.unsound,
		      (unsigned long)sum.survived);
	assert_true(only || sum.runs > WORKERS);
	assert_int_equal(sum.crashed + sum.lied + sum.unsound + sum.survived, 0);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[ARRAY_SIZE(kinds)];
	int failed;

	size_t count = 0;

	scenario_preload(argv, &page, dir);
	log_init("test", getenv("FAULT_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	crypto_start();
	stride = scenario_number("FAULT_STRIDE", 5);
	only = scenario_number("FAULT_ONLY", 0);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (argc < 2 || strcmp(argv[1], kinds[i].name) == 0)
			tests[count++] = (struct CMUnitTest){kinds[i].name, test_kind, NULL, NULL,
							     (void *)(uintptr_t)&kinds[i]};
	failed = _cmocka_run_group_tests("faults", tests, count, NULL, NULL);
	if (!only)
		test_dir_remove(dir);
	return failed;
}
