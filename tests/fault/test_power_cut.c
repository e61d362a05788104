/*
 * The power goes at any moment of a ledger's life: first start, steady billing, a checkpoint, a
 * restart after kill -9, a settlement, bringing old books up to date. Out of a recorded trace, so
 * that any of what was not synced may be missing, torn or out of order (cut.h). Afterwards the
 * books open, all sums hold, and everything the ledger ever answered is in them.
 *
 * FAULT_CUTS: how many (300); FAULT_SEED: which.
 *
 * Seen to fail, of 1000 cuts: synchronous=NORMAL (228), the descriptor not synced (427) or its
 * directory not (111), no settling of the WAL at start (3); of 300, a batch not synced (55).
 */
#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "accounting/db.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "tests/fault/cut.h"
#include "tests/fault/facts.h"
#include "tests/fault/scenario.h"
#include "tests/lib/books.h"

enum {
	WORKERS = 2,
	PHASES_MAX = 16,
	KILLS = 20, /* of each kind, before a restart */
};

/* Cuts are made at these records of a trace. */
struct phase {
	const char *name;
	struct cut *cut;
	struct facts facts;
	size_t *at, count;
};

struct result {
	uint64_t cuts, unopened, unsound, lossy, lost;
};

static struct fault_page *page;
static char dir[SCENARIO_DIR];
static struct phase phases[PHASES_MAX];
static size_t phase_count;
static uint64_t seed, kills;

static void path_in(char out[static PATH_MAX], const char *name, const char *suffix)
{
	snprintf(out, PATH_MAX, "%s/%s%s", dir, name, suffix);
}

static void copy(const char *from, const char *to)
{
	const char *const argv[] = {"cp", "-a", "--", from, to, NULL};
	char out[256];

	if (spawn_run(argv, NULL, out, sizeof(out)) != 0)
		fatalx("%s: %s", to, out);
}

/* ---- phases ---- */

static struct phase *phase_of(const char *name, const struct phase *like)
{
	struct phase *p = &phases[phase_count++];

	*p = like ? *like : (struct phase){0};
	p->name = name;
	p->at = NULL;
	p->count = 0;
	return p;
}

static void phase_cut_at(struct phase *p, size_t at)
{
	if (!p->at)
		p->at = xcalloc(cut_count(p->cut) + 1, sizeof(*p->at));
	p->at[p->count++] = at;
}

/* Loads what was traced of books in dir/name, which were dir/name.before when it began. */
static struct phase *phase_load(const char *name)
{
	struct phase *p = phase_of(name, NULL);
	char place[PATH_MAX], before[PATH_MAX];

	path_in(place, name, "");
	path_in(before, name, ".before");
	p->cut = cut_load(page->trace, place, before);
	for (size_t i = 0; i < cut_count(p->cut); i++) {
		const void *data;
		const struct trace_record *r = cut_record(p->cut, i, &data);

		facts_message(&p->facts, i, r, data);
	}
	scenario_disarm(page);
	return p;
}

static void record_begin(const char *name)
{
	char place[PATH_MAX], before[PATH_MAX];

	path_in(place, name, "");
	path_in(before, name, ".before");
	copy(place, before);
	snprintf(page->trace, sizeof(page->trace), "%s/%s.trace", dir, name);
}

static void config_for(struct ledger_config *config, const char *name)
{
	char place[PATH_MAX];

	path_in(place, name, "");
	scenario_config(config, place);
}

static void record_start(void)
{
	struct ledger_config config;
	struct phase *p;

	config_for(&config, "start");
	record_begin("start");
	assert_int_equal(scenario_receipts(&config, 1, 2), 0);
	p = phase_load("start");
	for (size_t i = 0; i <= cut_count(p->cut); i++)
		phase_cut_at(p, i);
}

static void record_steady(void)
{
	struct ledger_config config;
	struct phase *p, *checkpoint;

	config_for(&config, "steady");
	assert_int_equal(scenario_receipts(&config, 2, 3), 0);
	record_begin("steady");
	assert_int_equal(scenario_receipts(&config, 3, 100), 0);
	p = phase_load("steady");
	checkpoint = phase_of("checkpoint", p);
	for (size_t i = 0; i < cut_count(p->cut); i++) {
		phase_cut_at(p, i);
		/* Between two writes home, and right after the last. */
		if (!cut_touches(p->cut, i, "ledger.db"))
			continue;
		phase_cut_at(checkpoint, i);
		if (i + 1 < cut_count(p->cut) && !cut_touches(p->cut, i + 1, "ledger.db"))
			for (size_t n = 1; n < 8 && i + n <= cut_count(p->cut); n++)
				phase_cut_at(checkpoint, i + n);
	}
}

/* A batch written, and one being written while the next receipts come. */
static void record_settle(void)
{
	struct ledger_config config;
	struct phase *p, *batch;

	config_for(&config, "settle");
	assert_int_equal(mkdir(config.settlement, 0700), 0);
	record_begin("settle");
	assert_int_equal(scenario_settle(&config, 7, 6), 0);
	p = phase_load("settle");
	batch = phase_of("batch", p);
	for (size_t i = 0; i < cut_count(p->cut); i++) {
		const void *data;
		const struct trace_record *r = cut_record(p->cut, i, &data);

		phase_cut_at(p, i);
		/* From the making of the file until a little after it has its name. */
		if (r->kind == TRACE_OPEN && r->offset && strstr(data, "/settlement/"))
			for (size_t n = 0; n < 60 && i + n <= cut_count(p->cut); n++)
				phase_cut_at(batch, i + n);
	}
	assert_true(batch->count >= 100);
}

static size_t trace_length(void)
{
	struct stat st;

	return stat(page->trace, &st) < 0 ? 0 : (size_t)st.st_size;
}

/* From the start of a run, which is so many bytes into the trace, to its fourth answer; and right
 * after the first one to a request. */
static void phase_cut_in_run(struct phase *p, struct phase *answered, size_t start)
{
	size_t answers = 0, offset = 0;

	for (size_t i = 0; i < cut_count(p->cut) && answers < 5; i++) {
		const struct trace_record *r = cut_record(p->cut, i, NULL);

		if (offset >= start) {
			phase_cut_at(p, i);
			answers += r->kind == TRACE_SEND;
			if (r->kind == TRACE_SEND && answers == 2)
				phase_cut_at(answered, i + 1);
		}
		offset += sizeof(*r) + r->length;
	}
}

/* kill -9 at any write or fsync, with what was not synced yet. What the next process answers may
 * not rest on that: it says yes at once to much that its predecessor wrote. */
static void record_killed(void)
{
	struct ledger_config config;
	size_t start[2 * KILLS];
	struct phase *p, *answered;

	config_for(&config, "killed");
	assert_int_equal(scenario_receipts(&config, 4, 1), 0);
	record_begin("killed");
	for (uint64_t n = 0; n < ARRAY_SIZE(start); n++) {
		page->classes = 1u << (n % 2 ? FAULT_FSYNC : FAULT_WRITE);
		page->count = 0;
		page->kill_at = 1 + n / 2;
		kills += WIFSIGNALED(scenario_receipts(&config, 100 + n, 12));
		page->classes = 0;
		page->kill_at = 0;
		start[n] = trace_length();
		assert_int_equal(scenario_receipts(&config, 100 + n, 1), 0);
	}
	p = phase_load("killed");
	answered = phase_of("answered after kill -9", p);
	for (size_t n = 0; n < ARRAY_SIZE(start); n++)
		phase_cut_in_run(p, answered, start[n]);
}

/* A dump of one statement a line. */
static void restore(const char *fixture, const char *database)
{
	static char line[1 << 16];
	FILE *f = fopen(fixture, "re");
	struct db *db;

	assert_non_null(f);
	assert_int_equal(db_open(&db, database, 0), 0);
	while (fgets(line, sizeof(line), f))
		assert_int_equal(db_exec(db, line), 0);
	db_close(db);
	fclose(f);
}

/* Books written by released versions. */
static void record_migration(const char *name)
{
	char fixture[64], place[PATH_MAX];
	struct ledger_config config;
	struct phase *p;
	size_t asked = 0;

	snprintf(fixture, sizeof(fixture), "tests/vectors/%s.sql", name);
	config_for(&config, name);
	path_in(place, name, "/ledger.db");
	restore(fixture, place);
	record_begin(name);
	assert_int_equal(scenario_receipts(&config, 6, 1), 0);
	p = phase_load(name);
	for (size_t i = 0; i < cut_count(p->cut) && asked < 3; i++) {
		phase_cut_at(p, i);
		asked += cut_record(p->cut, i, NULL)->kind == TRACE_RECV;
	}
}

/* ---- after a cut ---- */

static void count_facts(const struct phase *p, size_t at, struct store *s, struct result *r)
{
	size_t known = 0, missing;

	while (known < p->facts.count && p->facts.fact[known].record < at)
		known++;
	missing = facts_missing(s, &p->facts, known);
	r->lossy += missing != 0;
	r->lost += missing;
}

static void check_cut(const struct phase *p, size_t at, const char *place, struct result *r)
{
	char database[PATH_MAX + 16], settlement[PATH_MAX + 16];
	const struct store_config books = {.network = 7,
					   .window = {1 << 20, 64 << 20},
					   .free_allowance = UINT64_C(1) << 40,
					   .settlement = settlement};
	struct identity node;
	struct store *s;

	test_identity(&node, 1);
	snprintf(database, sizeof(database), "%s/ledger.db", place);
	snprintf(settlement, sizeof(settlement), "%s/settlement", place);
	r->cuts++;
	if (store_open(&s, database, &books, &node, clock_wall()) != 0) {
		r->unopened++;
		return;
	}
	count_facts(p, at, s, r);
	if (facts_check_books(s) != 0 || facts_check_batches(s, settlement) != 0)
		r->unsound++;
	store_close(s);
	snprintf(database, sizeof(database), "%s/node.descriptor", place);
	if (!facts_descriptor(&p->facts, at, database)) {
		r->lossy++;
		r->lost++;
	}
}

static void cut_once(uint64_t n, struct result *r)
{
	struct phase *p = &phases[n % phase_count];
	uint64_t mix = (seed + n) * UINT64_C(0x9e3779b97f4a7c15);
	size_t at = p->at[(mix >> 20) % p->count];
	uint64_t bad = r->unopened + r->unsound + r->lossy;
	char name[32], place[PATH_MAX];

	snprintf(name, sizeof(name), "cut-%d", (int)getpid());
	path_in(place, name, "");
	cut_make(p->cut, at, mix, place);
	check_cut(p, at, place, r);
	if (r->unopened + r->unsound + r->lossy != bad && bad < 5)
		fprintf(stderr, "%s, cut %lu after %zu of %zu records, FAULT_SEED=%lu\n", p->name,
			(unsigned long)n, at, cut_count(p->cut), (unsigned long)seed);
	test_dir_remove(place);
}

static void work(uint64_t first, void *found, const void *arg)
{
	for (uint64_t n = first; n < *(const uint64_t *)arg; n += WORKERS)
		cut_once(n, found);
}

static void test_cuts(void **state)
{
	uint64_t cuts = scenario_number("FAULT_CUTS", 300);
	struct result sum = {0}, found[WORKERS];

	(void)state;
	for (size_t i = 0; i < phase_count; i++)
		print_message("%s: %zu places for a cut, %zu facts\n", phases[i].name,
			      phases[i].count, phases[i].facts.count);
	page->no_sync = 1; /* nothing is to be proved about the process that looks afterwards */
	assert_true(scenario_parallel(WORKERS, work, &cuts, found, sizeof(*found)));
	for (int i = 0; i < WORKERS; i++) {
		sum.cuts += found[i].cuts;
		sum.unopened += found[i].unopened;
		sum.unsound += found[i].unsound;
		sum.lossy += found[i].lossy;
		sum.lost += found[i].lost;
	}
	print_message("%lu power cuts: %lu not to be opened, %lu with wrong books, %lu with losses "
		      "(%lu lost)\n",
		      (unsigned long)sum.cuts, (unsigned long)sum.unopened,
		      (unsigned long)sum.unsound, (unsigned long)sum.lossy,
		      (unsigned long)sum.lost);
	assert_int_equal(sum.cuts, cuts);
	assert_int_equal(sum.unopened + sum.unsound + sum.lossy, 0);
	assert_int_equal(kills, 2 * KILLS);
}

static int record_all(void **state)
{
	(void)state;
	record_start();
	record_steady();
	record_killed();
	record_settle();
	record_migration("ledger-v1");
	record_migration("ledger-v2");
	record_migration("ledger-v3");
	return 0;
}

static int remove_all(void **state)
{
	(void)state;
	test_dir_remove(dir);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts),
	};

	(void)argc;
	scenario_preload(argv, &page, dir);
	log_init("test", LOG_LEVEL_ERROR);
	crypto_start();
	seed = scenario_number("FAULT_SEED", clock_wall_ns());
	return cmocka_run_group_tests(tests, record_all, remove_all);
}
