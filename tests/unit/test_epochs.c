/*
 * Settlement epochs: what is in a batch, that it is made again byte for byte, that no crash leaves
 * half of one, and what retention keeps. `test_epochs SESSIONS RECEIPTS [mixed]` measures instead.
 */
#include "tests/lib/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "accounting/batch.h"
#include "accounting/epochs.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/spawn.h"
#include "tests/lib/books.h"
#include "tests/lib/settling.h"

static char dir[TEST_DIR];
static struct identity node;
static struct store *store;

/* ---- what is wrapped: a clock that makes slices small, and calls that fail or are the last ----
 */

uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
int __real_fstatvfs(int fd, struct statvfs *out);
int __wrap_fstatvfs(int fd, struct statvfs *out);
int __real_db_commit(struct db *db);
int __wrap_db_commit(struct db *db);

static bool small_slices;
static uint64_t clock_added;
static unsigned calls, die_at; /* die_at 0: never */
static bool no_room, pwrite_full, fsync_fails;

/* Before and after each of these calls is a moment to die. */
static void moment(void)
{
	if (++calls == die_at)
		_exit(99);
}

uint64_t __wrap_clock_ms(void)
{
	if (small_slices)
		clock_added += 10;
	return __real_clock_ms() + clock_added;
}

int __wrap_fsync(int fd)
{
	int got;

	moment();
	if (fsync_fails) {
		errno = EIO;
		return -1;
	}
	got = __real_fsync(fd);
	moment();
	return got;
}

int __wrap_fdatasync(int fd)
{
	int got;

	moment();
	got = __real_fdatasync(fd);
	moment();
	return got;
}

int __wrap_rename(const char *from, const char *to)
{
	int got;

	moment();
	got = __real_rename(from, to);
	moment();
	return got;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
	ssize_t got;

	moment();
	if (pwrite_full) {
		errno = ENOSPC;
		return -1;
	}
	got = __real_pwrite(fd, data, len, at);
	moment();
	return got;
}

int __wrap_fstatvfs(int fd, struct statvfs *out)
{
	int got = __real_fstatvfs(fd, out);

	if (no_room)
		out->f_bavail = STORE_RESERVE / out->f_frsize;
	return got;
}

int __wrap_db_commit(struct db *db)
{
	int got;

	moment();
	got = __real_db_commit(db);
	moment();
	return got;
}

/* ---- helpers ---- */

static int setup(void **state)
{
	(void)state;
	test_dir_make(dir);
	store = settling_open(dir, &node, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	small_slices = no_room = pwrite_full = fsync_fails = false;
	store_close(store);
	test_dir_remove(dir);
	return 0;
}

static void reopen(uint64_t retention_days)
{
	store_close(store);
	store = settling_open(dir, &node, retention_days);
}

static void fill(uint64_t sessions, uint64_t from, uint64_t receipts)
{
	settling_fill(store, &(struct settling_plan){sessions, receipts, from, false});
}

static int64_t count_of(const char *sql)
{
	int64_t n;

	assert_int_equal(db_get_i64(store->db, sql, &n), 0);
	return n;
}

/* NULL: there is no such file. */
static uint8_t *read_whole(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *bytes;

	if (fd < 0)
		return NULL;
	assert_int_equal(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	bytes = xcalloc(1, *len + 1);
	assert_int_equal(read(fd, bytes, *len), *len);
	close(fd);
	return bytes;
}

static uint8_t *read_epoch(uint64_t epoch, size_t *len)
{
	uint8_t *bytes = read_whole(settling_path(dir, epoch), len);

	assert_non_null(bytes);
	return bytes;
}

static unsigned files_in(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static unsigned files(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/settlement", dir);
	return files_in(path);
}

static int ask(uint64_t epoch, struct ledger_settled *out)
{
	int err;

	assert_int_equal(store_begin(store, 1767225600), 0);
	err = store_settle(store, epoch, out);
	assert_int_equal(store_commit(store), 0);
	return err;
}

static struct query_epoch row_of(uint64_t epoch)
{
	struct query q = {.kind = QUERY_EPOCHS, .after = epoch - 1};
	static struct query_rows rows;

	assert_int_equal(store_query(store, &q, &rows), 0);
	assert_true(rows.count >= 1);
	assert_int_equal(rows.epoch[0].epoch, epoch);
	return rows.epoch[0];
}

static const struct batch_head *head_of(const uint8_t *bytes)
{
	return (const struct batch_head *)bytes;
}

/* The records of a kind in a whole file. */
static const void *records(const uint8_t *bytes, char kind)
{
	const struct batch_head_body *h = &head_of(bytes)->body;
	size_t at = sizeof(struct batch_head);

	if (kind == 't')
		return bytes + at;
	at += le32_get(h->terms) * sizeof(struct terms);
	if (kind == 's')
		return bytes + at;
	at += le32_get(h->sessions) * sizeof(struct batch_session);
	if (kind == 'r')
		return bytes + at;
	return bytes + at + le32_get(h->receipts) * sizeof(struct receipt);
}

/* ---- what is in a batch ---- */

static void check_receipts(const uint8_t *bytes, uint64_t first, uint64_t last)
{
	const struct receipt *r = records(bytes, 'r');
	const struct batch_session *s = records(bytes, 's');

	for (uint32_t i = 0; i < le32_get(head_of(bytes)->body.sessions); i++, s++) {
		assert_int_equal(le64_get(s->seq), last);
		for (uint64_t seq = first; seq <= last; seq++, r++) {
			assert_memory_equal(r->offer.body.session, s->session, SESSION_ID_LEN);
			assert_int_equal(le64_get(r->offer.body.seq), seq);
		}
		assert_int_equal(le64_get(s->paid), le64_get(r[-1].offer.body.amount) / 2);
	}
	assert_ptr_equal(r, records(bytes, 'a'));
}

static void test_a_batch_holds_what_was_signed_since_the_last(void **state)
{
	size_t len;
	uint8_t *one, *two;

	(void)state;
	fill(70, 1, 3);
	assert_int_equal(settling_settle(store), 1);
	fill(70, 4, 200);
	assert_int_equal(settling_settle(store), 2);
	one = read_epoch(1, &len);
	two = read_epoch(2, &len);
	assert_int_equal(le32_get(head_of(one)->body.sessions), 70);
	assert_int_equal(le32_get(head_of(one)->body.receipts), 210);
	assert_int_equal(le32_get(head_of(two)->body.receipts), 14000);
	check_receipts(one, 1, 3);
	check_receipts(two, 4, 203);
	/* One tree goes through both. */
	assert_int_equal(le64_get(head_of(one)->body.previous_size), 0);
	assert_int_equal(le64_get(head_of(two)->body.previous_size),
			 le64_get(head_of(one)->body.size));
	assert_memory_equal(head_of(two)->body.previous_root, head_of(one)->body.root, KEY_LEN);
	assert_true(identity_verify(head_of(two)->signature, &head_of(two)->body,
				    sizeof(head_of(two)->body), node.id));
	free(one);
	free(two);
}

static uint64_t spent_of(const uint8_t *bytes, const uint8_t *key, uint64_t *earned)
{
	const struct batch_account *a = records(bytes, 'a');

	*earned = 0;
	for (uint32_t i = 0; i < le32_get(head_of(bytes)->body.accounts); i++, a++)
		if (memcmp(a->key, key, KEY_LEN) == 0) {
			*earned = le64_get(a->earned);
			return le64_get(a->spent);
		}
	return 0;
}

static void test_totals_are_of_all_epochs_and_add_up(void **state)
{
	uint64_t paid, fees, earned, spent;
	struct db_stmt *q;
	size_t len;
	uint8_t *bytes, key[KEY_LEN];

	(void)state;
	for (uint64_t epoch = 1; epoch <= 3; epoch++) {
		fill(150, 1 + (epoch - 1) * 7, 7);
		assert_int_equal(settling_settle(store), epoch);
	}
	bytes = read_epoch(3, &len);
	paid = (uint64_t)count_of("SELECT sum(paid) FROM session");
	/* The division truncates as the fee does. */
	fees = (uint64_t)count_of("SELECT sum(paid * fee_ppm / 1000000) FROM session");
	assert_true(fees > 0);
	assert_int_equal(le64_get(head_of(bytes)->body.earned), paid);
	assert_int_equal(le64_get(head_of(bytes)->body.spent), paid);
	assert_int_equal(spent_of(bytes, node.id, &earned), 0);
	assert_int_equal(earned, paid - fees);
	q = db_prepare(store->db, "SELECT payer, sum(paid) FROM session GROUP BY payer");
	while (db_step(q) == 1) {
		assert_true(db_col_blob(q, key, sizeof(key)));
		spent = spent_of(bytes, key, &earned);
		assert_int_equal(spent, db_col_u64(q));
		assert_int_equal(earned, 0);
	}
	free(bytes);
}

/* A receipt that both sides have signed, for so many bytes in all. */
static void sign(const uint8_t *session, uint64_t bytes, const struct identity *payer)
{
	struct ledger_payer now;
	struct receipt_offer offer;
	struct receipt r;

	assert_int_equal(store_begin(store, 1767225600), 0);
	assert_int_equal(store_issue(store, session, bytes, 0, &offer), 0);
	receipt_cosign(&r, &offer, payer);
	assert_int_equal(
		store_cosign(store, session, le64_get(offer.body.seq), r.payer_signature, &now), 0);
	assert_int_equal(store_commit(store), 0);
}

static void test_all_that_is_signed_is_posted_at_the_closing(void **state)
{
	static const uint8_t session[SESSION_ID_LEN] = {1}, key[NONCE_LEN] = {1};
	const uint64_t gib = UINT64_C(1) << 30;
	struct identity alice;
	struct ledger_payer now;
	size_t len;
	uint64_t earned;
	uint8_t *bytes;

	(void)state;
	test_identity(&alice, 2);
	assert_int_equal(store_begin(store, 1767225600), 0);
	assert_int_equal(store_grant(store, alice.id, 10000000, 0, key), 0);
	assert_int_equal(store_session(store, ROLE_RELAY, session, alice.id, &now), 0);
	assert_int_equal(store_commit(store), 0);
	sign(session, gib, &alice);
	sign(session, 2 * gib, &alice);
	sign(session, 3 * gib, &alice);
	assert_true(count_of("SELECT posted FROM session") < 3000000);
	assert_int_equal(settling_settle(store), 1);
	assert_int_equal(count_of("SELECT posted FROM session"), 3000000);
	bytes = read_epoch(1, &len);
	assert_int_equal(spent_of(bytes, alice.id, &earned), 3000000);
	assert_int_equal(spent_of(bytes, node.id, &earned), 0);
	assert_int_equal(earned, 3000000);
	free(bytes);
	sign(session, 4 * gib, &alice);
	assert_int_equal(settling_settle(store), 2);
	bytes = read_epoch(2, &len);
	assert_int_equal(spent_of(bytes, alice.id, &earned), 4000000);
	free(bytes);
}

static void test_nothing_new_makes_no_batch(void **state)
{
	struct ledger_settled out;

	(void)state;
	assert_int_equal(ask(0, &out), 0);
	assert_false(out.fresh);
	assert_int_equal(out.epoch, 0);
	fill(3, 1, 3);
	assert_int_equal(settling_settle(store), 1);
	assert_int_equal(ask(0, &out), 0);
	assert_false(out.fresh);
	assert_int_equal(out.epoch, 1);
	settling_work(store);
	assert_int_equal(files(), 1);
	assert_int_equal(count_of("SELECT count(*) FROM epoch"), 1);
}

static void test_one_at_a_time(void **state)
{
	struct ledger_settled out, second;

	(void)state;
	fill(3, 1, 3);
	assert_int_equal(store_begin(store, 1767225600), 0);
	assert_int_equal(store_settle(store, 0, &out), 0);
	assert_int_equal(store_settle(store, 0, &second), -EBUSY);
	assert_int_equal(store_commit(store), 0);
	assert_true(row_of(1).busy);
	assert_int_equal(ask(0, &second), -EBUSY);
	assert_int_equal(ask(1, &second), -EBUSY);
	settling_work(store);
	assert_false(row_of(1).busy);
	assert_int_equal(ask(7, &second), -ENOENT);
	assert_int_equal(ask(1, &second), 0);
	assert_true(row_of(1).busy);
	assert_int_equal(ask(0, &second), -EBUSY);
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM epoch"), 1);
}

/* A request that fails is taken back, and with it the wish. */
static void test_a_wish_that_is_rolled_back_does_nothing(void **state)
{
	struct ledger_settled out;

	(void)state;
	fill(3, 1, 3);
	assert_int_equal(store_begin(store, 1767225600), 0);
	assert_int_equal(store_settle(store, 0, &out), 0);
	store_rollback(store);
	settling_work(store);
	assert_int_equal(files(), 0);
	assert_int_equal(settling_settle(store), 1);
}

static void test_receipts_during_the_closing_are_in_one_epoch_each(void **state)
{
	struct ledger_settled out;
	const struct receipt *r;
	size_t len;
	uint64_t receipts = 0;

	(void)state;
	fill(200, 1, 2);
	small_slices = true;
	assert_int_equal(ask(0, &out), 0);
	for (uint64_t seq = 3; seq < 6; seq++) {
		store_work(store, 1767225600);
		fill(200, seq, 1);
	}
	assert_int_equal(count_of("SELECT state FROM epoch"), EPOCH_CLOSING);
	settling_work(store);
	small_slices = false;
	assert_int_equal(settling_settle(store), 2);
	for (uint64_t epoch = 1; epoch <= 2; epoch++) {
		uint8_t *bytes = read_epoch(epoch, &len);

		receipts += le32_get(head_of(bytes)->body.receipts);
		r = records(bytes, 'r');
		/* Only the second continues where the first one ended. */
		assert_int_equal(le64_get(r->offer.body.seq) == 1, epoch == 1);
		free(bytes);
	}
	assert_int_equal(receipts, 200 * 5);
	assert_int_equal(count_of("SELECT count(*) FROM settled b JOIN settled a ON a.session = "
				  "b.session AND a.epoch < b.epoch WHERE b.first <> a.last + 1"),
			 0);
}

static void test_gaps_are_left_as_they_are(void **state)
{
	size_t len;
	uint8_t *bytes;

	(void)state;
	fill(4, 1, 20);
	assert_int_equal(db_exec(store->db, "DELETE FROM receipt WHERE seq BETWEEN 5 AND 9"), 0);
	assert_int_equal(settling_settle(store), 1);
	bytes = read_epoch(1, &len);
	assert_int_equal(le32_get(head_of(bytes)->body.receipts), 4 * 15);
	free(bytes);
}

/* What the operator signed as somebody else, or in another network, cannot be in this log. */
static void test_receipts_of_another_network_stay_out(void **state)
{
	size_t len;
	uint8_t *bytes;
	struct terms other = store->terms[ROLE_RELAY];
	uint8_t hash[KEY_LEN];

	(void)state;
	fill(4, 1, 2);
	other.body.network = le64_of(8);
	terms_hash(hash, &other);
	assert_int_equal(store_begin(store, 1767225600), 0);
	assert_int_equal(store_terms(store, &other), 0);
	assert_int_equal(store_commit(store), 0);
	{
		struct db_stmt *q =
			db_prepare(store->db, "UPDATE session SET terms = ? WHERE id = 2");

		db_bind_blob(q, hash, sizeof(hash));
		assert_int_equal(db_run(q), 0);
	}
	assert_int_equal(settling_settle(store), 1);
	bytes = read_epoch(1, &len);
	assert_int_equal(le32_get(head_of(bytes)->body.sessions), 3);
	free(bytes);
	assert_int_equal(settling_settle(store), 0);
}

/* ---- again ---- */

static void test_any_epoch_can_be_made_again_byte_for_byte(void **state)
{
	static const uint64_t order[] = {2, 1, 3, 2};
	struct ledger_settled out;
	uint8_t *old[4], *again;
	size_t len[4], len_again;

	(void)state;
	for (uint64_t epoch = 1; epoch <= 3; epoch++) {
		fill(40 + epoch * 10, 1 + (epoch - 1) * 5, 5);
		assert_int_equal(settling_settle(store), epoch);
		old[epoch] = read_epoch(epoch, &len[epoch]);
	}
	fill(40, 16, 5); /* what came later has no part in it */
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		uint64_t epoch = order[i];

		reopen(0);
		if (i == 0)
			assert_int_equal(unlink(settling_path(dir, epoch)), 0);
		else
			assert_int_equal(truncate(settling_path(dir, epoch), 100), 0);
		assert_int_equal(ask(epoch, &out), 0);
		settling_work(store);
		again = read_epoch(epoch, &len_again);
		assert_int_equal(len_again, len[epoch]);
		assert_memory_equal(again, old[epoch], len_again);
		free(again);
	}
	assert_int_equal(row_of(2).err, 0);
	for (int i = 1; i <= 3; i++)
		free(old[i]);
}

/* Signed once is signed for good: no other batch takes its place. */
static void test_rows_that_changed_make_no_second_truth(void **state)
{
	struct ledger_settled out;
	uint8_t *before, *after;
	size_t len, len_after;

	(void)state;
	fill(5, 1, 5);
	assert_int_equal(settling_settle(store), 1);
	before = read_epoch(1, &len);
	assert_int_equal(db_exec(store->db, "UPDATE settled SET paid = paid + 1"), 0);
	assert_int_equal(ask(1, &out), 0);
	settling_work(store);
	assert_int_equal(row_of(1).err, -EBADMSG);
	after = read_epoch(1, &len_after);
	assert_int_equal(len_after, len);
	assert_memory_equal(before, after, len);
	assert_int_equal(files(), 1);
	free(before);
	free(after);
}

/* Books restored from a backup do not sign an epoch a second time. */
static void test_a_file_the_books_do_not_know_is_not_contradicted(void **state)
{
	struct ledger_settled out;
	uint8_t *before, *after;
	size_t len, len_after;

	(void)state;
	fill(5, 1, 5);
	assert_int_equal(settling_settle(store), 1);
	before = read_epoch(1, &len);
	assert_int_equal(db_exec(store->db, "DELETE FROM settled; DELETE FROM epoch; "
					    "UPDATE session SET settled_seq = 0, settled = 0"),
			 0);
	fill(5, 6, 5);
	assert_int_equal(ask(0, &out), -EEXIST);
	settling_work(store);
	after = read_epoch(1, &len_after);
	assert_int_equal(len_after, len);
	assert_memory_equal(before, after, len);
	free(before);
	free(after);
}

/* ---- crashes ---- */

static char pristine[TEST_DIR];

/* Books to settle, the same every time, without the time it takes to fill them. */
static void crash_world(void)
{
	const char *const copy[] = {"cp", "-r", "--", pristine, dir, NULL};
	char out[256];

	test_dir_remove(dir);
	assert_int_equal(spawn_run(copy, NULL, out, sizeof(out)), 0);
}

static void crash_prepare(void)
{
	store_close(store);
	store = NULL;
	test_dir_make(pristine);
	store = settling_open(pristine, &node, 0);
	settling_fill(store, &(struct settling_plan){40, 3, 1, true});
	store_close(store);
}

/* In a child, so that nothing of it is cleaned up: its exit status. */
static int crash_child(unsigned at)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct ledger_settled out;

		small_slices = true;
		store = settling_open(dir, &node, 0);
		calls = 0;
		die_at = at;
		if (store_begin(store, 1767225600) || store_settle(store, 0, &out) ||
		    store_commit(store))
			_exit(1);
		settling_work(store);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Either there is no batch under its name, or the whole one. */
static void check_after_crash(const uint8_t *whole, size_t whole_len)
{
	size_t len;
	uint8_t *bytes = read_whole(settling_path(dir, 1), &len);

	if (!bytes)
		return;
	assert_int_equal(len, whole_len);
	assert_memory_equal(bytes, whole, len);
	free(bytes);
}

/* The batch as it is without a crash; how many moments there are until it is made. */
static uint8_t *crash_never(size_t *len, unsigned *moments)
{
	uint8_t *whole;

	crash_world();
	store = settling_open(dir, &node, 0);
	calls = 0;
	small_slices = true;
	assert_int_equal(settling_settle(store), 1);
	small_slices = false;
	*moments = calls;
	whole = read_epoch(1, len);
	store_close(store);
	return whole;
}

static void crash_once(unsigned at, const uint8_t *whole, size_t whole_len)
{
	uint8_t *bytes;
	size_t len;

	crash_world();
	assert_int_equal(crash_child(at), 99);
	check_after_crash(whole, whole_len);
	store = settling_open(dir, &node, 0);
	settling_work(store);
	if (count_of("SELECT count(*) FROM epoch") == 0) {
		assert_int_equal(at, 1); /* it died before the wish was committed */
		assert_int_equal(settling_settle(store), 1);
	}
	bytes = read_epoch(1, &len);
	assert_int_equal(len, whole_len);
	assert_memory_equal(bytes, whole, len);
	free(bytes);
	assert_int_equal(files(), 1);
	assert_int_equal(settling_settle(store), 0);
	store_close(store);
	store = NULL;
}

/* Each one at the beginning and at the end, and of the many alike in between every fifth. */
static void test_a_crash_at_any_moment_is_finished_by_the_next_start(void **state)
{
	unsigned moments;
	size_t len;
	uint8_t *whole;

	(void)state;
	crash_prepare();
	whole = crash_never(&len, &moments);
	assert_true(moments > 100);
	for (unsigned at = 1; at <= moments; at += at < 20 || at > moments - 30 ? 1 : 5)
		crash_once(at, whole, len);
	free(whole);
	test_dir_remove(pristine);
	store = NULL;
}

/* A crash while an old one was made again. */
static void test_what_was_left_unfinished_is_swept(void **state)
{
	const char *path;

	(void)state;
	fill(3, 1, 3);
	assert_int_equal(settling_settle(store), 1);
	path = settling_path(dir, 1);
	{
		char tmp[512];
		int fd;

		snprintf(tmp, sizeof(tmp), "%s.tmp", path);
		fd = open(tmp, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(files(), 2);
	reopen(0);
	assert_int_equal(files(), 1);
}

/* ---- no room ---- */

static void check_trouble(int err)
{
	struct ledger_settled out;

	fill(3, 1, 3);
	assert_int_equal(ask(0, &out), 0);
	settling_work(store);
	assert_int_equal(row_of(1).err, err);
	assert_true(row_of(1).busy);
	assert_int_equal(files(), 0);
	assert_true(store_idle_ms(store) > 0 && store_idle_ms(store) <= 60000);
	/* Receipts go on. */
	fill(3, 4, 2);
	no_room = pwrite_full = fsync_fails = false;
	clock_added += 61000;
	settling_work(store);
	assert_int_equal(row_of(1).err, 0);
	assert_false(row_of(1).busy);
	assert_int_equal(files(), 1);
	assert_int_equal(settling_settle(store), 2);
}

static void test_a_full_disk_is_waited_for(void **state)
{
	(void)state;
	pwrite_full = true;
	check_trouble(-ENOSPC);
}

/* The last of the disk is for receipts. */
static void test_the_reserve_is_not_touched(void **state)
{
	(void)state;
	no_room = true;
	check_trouble(-ENOSPC);
}

static void test_a_failed_fsync_is_no_batch(void **state)
{
	(void)state;
	fsync_fails = true;
	check_trouble(-EIO);
}

static void test_asking_again_does_not_wait_for_the_minute(void **state)
{
	struct ledger_settled out;

	(void)state;
	fill(3, 1, 3);
	no_room = true;
	assert_int_equal(ask(0, &out), 0);
	settling_work(store);
	no_room = false;
	assert_int_equal(ask(0, &out), -EBUSY);
	settling_work(store);
	assert_int_equal(files(), 1);
}

/* ---- retention ---- */

enum {
	DAYS = 10
};

/* All epochs so far are so many days older. */
static void age(unsigned days)
{
	char sql[96];

	snprintf(sql, sizeof(sql), "UPDATE epoch SET hour = hour - %u", days * 24);
	assert_int_equal(db_exec(store->db, sql), 0);
}

static void test_retention_keeps_each_session_s_newest(void **state)
{
	struct ledger_settled out;

	(void)state;
	reopen(DAYS);
	fill(30, 1, 200);
	assert_int_equal(settling_settle(store), 1);
	age(DAYS);
	reopen(DAYS);
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 6000); /* to the hour */
	age(1);
	reopen(0);
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 6000);
	reopen(DAYS);
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 30);
	assert_int_equal(count_of("SELECT count(*) FROM receipt WHERE seq <> 200"), 0);
	assert_int_equal(row_of(1).state, EPOCH_PRUNED);
	/* It goes on from there; and what was not settled since stays. */
	fill(30, 201, 5);
	assert_int_equal(settling_settle(store), 2);
	fill(30, 206, 5);
	age(DAYS + 1);
	reopen(DAYS);
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 150);
	assert_int_equal(count_of("SELECT min(seq) FROM receipt"), 206);
	assert_int_equal(settling_settle(store), 3);
	/* What is gone cannot be made again, and it says how much that is. */
	assert_int_equal(ask(2, &out), 0);
	settling_work(store);
	assert_int_equal(row_of(2).err, -ENODATA);
	assert_int_equal(row_of(2).missing, 150);
	assert_int_equal(files(), 3);
	assert_int_equal(ask(3, &out), 0);
	settling_work(store);
	assert_int_equal(row_of(3).err, 0);
}

/* What is not in a batch is not pruned, however old. */
static void test_retention_spares_what_is_not_written(void **state)
{
	struct ledger_settled out;

	(void)state;
	reopen(DAYS);
	fill(5, 1, 5);
	no_room = true;
	assert_int_equal(ask(0, &out), 0);
	settling_work(store);
	age(DAYS + 1);
	clock_added += 11 * 60 * 1000;
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 25);
	no_room = false;
	clock_added += 11 * 60 * 1000;
	settling_work(store);
	assert_int_equal(files(), 1);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 5);
}

static bool file_holds(const char *name, const void *needle, size_t needle_len)
{
	char path[256];
	size_t len;
	uint8_t *bytes;
	bool found;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	bytes = read_whole(path, &len);
	found = bytes && memmem(bytes, len, needle, needle_len);
	free(bytes);
	return found;
}

static void test_pruned_receipts_are_nowhere_on_the_disk(void **state)
{
	uint8_t old[SIGNATURE_LEN], head[SIGNATURE_LEN];

	(void)state;
	memset(old, 7, sizeof(old)); /* what settling_fill has for signatures */
	memset(head, 40, sizeof(head));
	reopen(DAYS);
	fill(10, 1, 40);
	assert_int_equal(settling_settle(store), 1);
	age(DAYS + 1);
	assert_true(file_holds("ledger.db-wal", old, sizeof(old)) ||
		    file_holds("ledger.db", old, sizeof(old)));
	clock_added += 11 * 60 * 1000;
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 10);
	assert_false(file_holds("ledger.db-wal", old, sizeof(old)));
	assert_false(file_holds("ledger.db", old, sizeof(old)));
	assert_true(file_holds("ledger.db", head, sizeof(head)));
}

/* ---- measuring ---- */

static long ms_of(const struct timeval *t)
{
	return t->tv_sec * 1000 + t->tv_usec / 1000;
}

static int measure(const struct settling_plan *plan)
{
	struct ledger_settled out;
	struct rusage use, before;
	uint64_t begun, longest;

	test_dir_make(dir);
	store = settling_open(dir, &node, 0);
	settling_fill(store, plan);
	reopen(0);
	settling_work(store);
	getrusage(RUSAGE_SELF, &before);
	begun = clock_ms();
	if (ask(0, &out))
		fatalx("settle");
	longest = settling_work(store);
	printf("%" PRIu64 " receipts settled in %" PRIu64 " ms, longest slice %" PRIu64 " ms, ",
	       plan->sessions * plan->receipts, clock_ms() - begun, longest);
	getrusage(RUSAGE_SELF, &use);
	printf("%ld MiB, processor %ld + %ld ms\n", use.ru_maxrss / 1024,
	       ms_of(&use.ru_utime) - ms_of(&before.ru_utime),
	       ms_of(&use.ru_stime) - ms_of(&before.ru_stime));
	store_close(store);
	test_dir_remove(dir);
	return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_batch_holds_what_was_signed_since_the_last),
		CASE(test_totals_are_of_all_epochs_and_add_up),
		CASE(test_all_that_is_signed_is_posted_at_the_closing),
		CASE(test_nothing_new_makes_no_batch),
		CASE(test_one_at_a_time),
		CASE(test_a_wish_that_is_rolled_back_does_nothing),
		CASE(test_receipts_during_the_closing_are_in_one_epoch_each),
		CASE(test_gaps_are_left_as_they_are),
		CASE(test_receipts_of_another_network_stay_out),
		CASE(test_any_epoch_can_be_made_again_byte_for_byte),
		CASE(test_rows_that_changed_make_no_second_truth),
		CASE(test_a_file_the_books_do_not_know_is_not_contradicted),
		CASE(test_a_crash_at_any_moment_is_finished_by_the_next_start),
		CASE(test_what_was_left_unfinished_is_swept),
		CASE(test_a_full_disk_is_waited_for),
		CASE(test_the_reserve_is_not_touched),
		CASE(test_a_failed_fsync_is_no_batch),
		CASE(test_asking_again_does_not_wait_for_the_minute),
		CASE(test_retention_keeps_each_session_s_newest),
		CASE(test_retention_spares_what_is_not_written),
		CASE(test_pruned_receipts_are_nowhere_on_the_disk),
	};
	struct settling_plan plan = {.from = 1};

	crypto_start();
	test_identity(&node, 1);
	if (argc >= 3) {
		plan.sessions = strtoull(argv[1], NULL, 10);
		plan.receipts = strtoull(argv[2], NULL, 10);
		plan.mixed = argc > 3;
		return measure(&plan);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
