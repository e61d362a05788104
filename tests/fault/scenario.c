#include "tests/fault/scenario.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "proto/crypto.h"
#include "tests/lib/books.h"

enum {
	STREAMS = 4,
	BYTES = 40000,
	MONTH = 12 * 2026 + 10,
	PATIENCE_MS = 20000,
};

/* ---- under fault.so ---- */

static void preload_again(char **argv)
{
	char self[PATH_MAX], library[PATH_MAX + 16], *slash;
	char dir[TEST_DIR], absolute[PATH_MAX], file[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fd;

	test_dir_make(dir);
	if (n < 0 || !realpath(dir, absolute))
		fatal("%s", dir);
	self[n] = '\0';
	slash = strrchr(self, '/');
	snprintf(library, sizeof(library), "%.*s/fault.so", (int)(slash - self), self);
	snprintf(file, sizeof(file), "%s.page", absolute);
	fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(struct fault_page)) < 0)
		fatal("%s", file);
	close(fd);
	setenv("LD_PRELOAD", library, 1);
	setenv("CULVERT_FAULT", file, 1);
	setenv("CULVERT_FAULT_DIR", absolute, 1);
	execv(self, argv);
	fatal("%s", self);
}

void scenario_preload(char **argv, struct fault_page **page, char dir[static SCENARIO_DIR])
{
	const char *file = getenv("CULVERT_FAULT");
	int fd;

	if (!file)
		preload_again(argv);
	if (access(getenv("LD_PRELOAD"), R_OK) < 0)
		fatal("%s", getenv("LD_PRELOAD"));
	fd = open(file, O_RDWR | O_CLOEXEC);
	*page = fd < 0 ? MAP_FAILED
		       : mmap(NULL, sizeof(**page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*page == MAP_FAILED)
		fatal("%s", file);
	close(fd);
	unlink(file);
	(*page)->exempt = getpid();
	snprintf(dir, SCENARIO_DIR, "%s", getenv("CULVERT_FAULT_DIR"));
	unsetenv("LD_PRELOAD"); /* for rm and others that we start */
}

struct fault_page *scenario_own_page(void)
{
	void (*use)(struct fault_page *) =
		(void (*)(struct fault_page *))(uintptr_t)dlsym(RTLD_DEFAULT, "fault_use");
	struct fault_page *own =
		mmap(NULL, sizeof(*own), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (!use || own == MAP_FAILED)
		fatalx("fault.so is not in front");
	own->exempt = getpid();
	use(own);
	return own;
}

void scenario_disarm(struct fault_page *page)
{
	page->classes = 0;
	page->at = page->kill_at = 0;
	page->trace[0] = '\0';
}

uint64_t scenario_number(const char *name, uint64_t standard)
{
	const char *text = getenv(name);
	uint64_t n = standard;

	if (text && !text_u64(text, 1, INT64_MAX, &n))
		fatalx("%s: not a number", name);
	return n;
}

void scenario_config(struct ledger_config *out, const char *dir)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		fatal("%s", dir);
	test_ledger_config(out, dir);
	snprintf(out->settlement, sizeof(out->settlement), "%s/settlement", dir);
	out->free_allowance = UINT64_C(1) << 40;
	out->price[ROLE_RELAY] = out->price[ROLE_EXIT] = 1 << 30;
}

/* ---- one who asks, whatever comes ---- */

struct stream {
	uint8_t id[SESSION_ID_LEN];
	uint64_t bytes, seq;
	bool has_offer;
	struct receipt_offer offer;
};

static struct ledger *ledger;
static struct identity payer;
static struct stream streams[STREAMS];
static unsigned waiting;
static pid_t child;
static int child_status;

pid_t __real_waitpid(pid_t pid, int *status, int options);

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
	int got = 0;
	pid_t p = __real_waitpid(pid, &got, options);

	if (p > 0) {
		child = p;
		child_status = got;
	}
	if (status)
		*status = got;
	return p;
}

static void on_done(void *arg, int err)
{
	(void)arg;
	(void)err;
	waiting--;
}

static void on_payer(void *arg, int err, const struct ledger_payer *now)
{
	(void)now;
	on_done(arg, err);
}

static void on_offer(void *arg, int err, const struct receipt_offer *offer)
{
	struct stream *s = arg;

	s->has_offer = !err;
	if (offer)
		s->offer = *offer;
	on_done(arg, err);
}

static void on_settled(void *arg, int err, const struct ledger_settled *settled)
{
	(void)settled;
	on_done(arg, err);
}

static bool making; /* a batch */

static void on_epochs(void *arg, int err, const struct query_rows *rows)
{
	const struct query_epoch *last = rows && rows->count ? &rows->epoch[rows->count - 1] : NULL;

	making = last && last->busy && last->err == 0;
	on_done(arg, err);
}

static void on_rows(void *arg, int err, const struct query_rows *rows)
{
	(void)rows;
	on_done(arg, err);
}

/* Until all that was asked is answered; false: the ledger is dead. */
static bool await(unsigned asked)
{
	uint64_t deadline = clock_ms() + PATIENCE_MS;

	waiting += asked;
	while (waiting) {
		struct pollfd wait = {.fd = ledger_fd(ledger), .events = POLLIN};

		if (ledger_wants_write(ledger))
			wait.events |= POLLOUT;
		poll(&wait, 1, 1000);
		if (ledger_dispatch(ledger) != 0)
			return false;
		if (clock_ms() > deadline)
			fatalx("the ledger neither answers nor ends");
	}
	return true;
}

static bool open_streams(uint64_t salt)
{
	uint8_t key[NONCE_LEN] = {0};

	memcpy(key, &salt, sizeof(salt));
	ledger_grant(ledger, payer.id, 1000, 0, key, on_done, NULL);
	if (!await(1))
		return false;
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &streams[i];

		*s = (struct stream){0};
		memcpy(s->id, &salt, sizeof(salt));
		s->id[SESSION_ID_LEN - 1] = (uint8_t)(i + 1);
		ledger_open(ledger, i % 2 ? ROLE_EXIT : ROLE_RELAY, s->id, payer.id, on_payer, s);
	}
	return await(STREAMS);
}

static void on_carried(void *arg, int err, const struct ledger_carried *carried)
{
	(void)carried;
	on_done(arg, err);
}

static bool bill_all(void)
{
	const struct ledger_carry carry = {.month = MONTH, .more = BYTES, .limit = UINT32_MAX};
	struct receipt r;
	unsigned asked = 0;

	ledger_carry(ledger, &carry, on_carried, NULL);
	for (size_t i = 0; i < STREAMS; i++) {
		streams[i].bytes += BYTES;
		ledger_issue(ledger, streams[i].id, streams[i].bytes, 7, on_offer, &streams[i]);
	}
	if (!await(STREAMS + 1))
		return false;
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &streams[i];

		if (!s->has_offer)
			continue;
		receipt_cosign(&r, &s->offer, &payer);
		s->seq = le64_get(s->offer.body.seq);
		/* Every so often twice at once, as when an answer was lost. */
		for (unsigned n = 0; n < 1 + (s->seq % 4 == 0); n++, asked++)
			ledger_cosign(ledger, s->id, s->seq, r.payer_signature, on_payer, s);
	}
	return await(asked);
}

static bool ask_all(void)
{
	struct query q = {.kind = QUERY_SESSIONS};

	ledger_query(ledger, &q, on_rows, NULL);
	q.kind = QUERY_CREDITS;
	ledger_query(ledger, &q, on_rows, NULL);
	ledger_payer_now(ledger, payer.id, on_payer, NULL);
	return await(3);
}

static bool end_all(void)
{
	struct stream *s = &streams[0];

	ledger_issue(ledger, s->id, s->bytes + BYTES, 7, on_offer, s);
	if (!await(1))
		return false;
	ledger_dispute(ledger, s->id, le64_get(s->offer.body.seq), 1, 2, on_done, NULL);
	for (size_t i = 1; i < STREAMS; i++)
		ledger_close(ledger, streams[i].id, streams[i].bytes + (i == 1 ? BYTES : 0), 7,
			     on_done, NULL);
	if (!await(STREAMS))
		return false;
	ledger_unpaid(ledger, payer.id, on_offer, s);
	return await(1);
}

static bool settle(void)
{
	const struct query q = {.kind = QUERY_EPOCHS};

	ledger_settle(ledger, 0, on_settled, NULL);
	if (!await(1))
		return false;
	do {
		ledger_query(ledger, &q, on_epochs, NULL);
		if (!await(1))
			return false;
	} while (making);
	return true;
}

static bool begin(const struct ledger_config *config)
{
	struct ledger_identity id;

	test_identity(&payer, 9);
	waiting = 0;
	child = 0;
	return ledger_start(&ledger, config, &id) == 0;
}

int scenario_settle(const struct ledger_config *config, uint64_t salt, unsigned epochs)
{
	bool alive;

	if (!begin(config))
		return child_status;
	alive = open_streams(salt);
	for (unsigned i = 0; alive && i < epochs; i++)
		alive = bill_all() && bill_all() && settle();
	alive = alive && ask_all() && end_all();
	ledger_stop(ledger);
	return child_status;
}

int scenario_receipts(const struct ledger_config *config, uint64_t salt, unsigned rounds)
{
	bool alive;

	if (!begin(config))
		return child_status;
	alive = open_streams(salt);
	for (unsigned i = 0; alive && i < rounds; i++)
		alive = bill_all();
	alive = alive && ask_all() && end_all();
	ledger_stop(ledger);
	return child_status;
}

bool scenario_parallel(unsigned processes,
		       void (*work)(uint64_t number, void *found, const void *arg), const void *arg,
		       void *found, size_t size)
{
	int pipes[2], status;
	bool ok = true;

	memset(found, 0, processes * size);
	if (pipe(pipes) < 0)
		fatal("pipe");
	for (unsigned i = 0; i < processes; i++) {
		if (fork() != 0)
			continue;
		work(i, found, arg);
		_exit(write(pipes[1], found, size) == (ssize_t)size ? 0 : 1);
	}
	close(pipes[1]);
	for (unsigned i = 0; i < processes; i++)
		ok = read(pipes[0], (char *)found + i * size, size) == (ssize_t)size && ok;
	for (unsigned i = 0; i < processes; i++)
		ok = wait(&status) > 0 && status == 0 && ok;
	close(pipes[0]);
	return ok;
}
