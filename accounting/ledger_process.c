#include "accounting/ledger_message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/undumpable.h"

enum {
	DAY = 24 * 3600,
	WAKE_MS = 60 * 1000,
	AGAIN_MS = 1000,     /* between two tries to write what is owed */
	TRIES = 5,           /* of a commit that met another writer's */
	SAY_MS = 60 * 1000,  /* between two lines on one trouble */
	UNCLOSED_MAX = 4096, /* ended sessions to write down once that works again */
	LEDGER_FD = 3,
};

/* The end of a session that the disk did not take. */
struct unclosed {
	uint8_t session[SESSION_ID_LEN];
	uint64_t up, down;
};

struct process {
	const struct ledger_config *config;
	int socket;
	struct identity *by; /* in locked memory */
	struct store *store;
	struct ledger_identity identity;
	struct ledger_request requests[LEDGER_BATCH];
	size_t lengths[LEDGER_BATCH];
	struct ledger_answer answers[LEDGER_BATCH];
	bool troubled;
	uint64_t said_ms, tried_ms;
	size_t unclosed_count;
	struct unclosed unclosed[UNCLOSED_MAX];
};

static volatile sig_atomic_t orphaned;

/* ---- one request ---- */

size_t ledger_answer_length(const struct ledger_answer *a)
{
	static const size_t row[] = {
		[QUERY_CREDITS] = sizeof(struct query_credit),
		[QUERY_SESSIONS] = sizeof(struct query_session),
		[QUERY_RECEIPTS] = sizeof(struct query_receipt),
		[QUERY_TERMS] = sizeof(struct terms),
		[QUERY_EXPLAIN] = sizeof(struct query_explain),
		[QUERY_BOOKINGS] = sizeof(struct query_booking),
		[QUERY_EARNINGS] = sizeof(struct query_earning),
		[QUERY_EPOCHS] = sizeof(struct query_epoch),
		[QUERY_PROMISES] = sizeof(struct query_promise),
		[QUERY_DISPUTES] = sizeof(struct query_dispute),
	};
	size_t header = offsetof(struct ledger_answer, payer);

	if (a->err)
		return header;
	switch ((enum ledger_kind)a->kind) {
	case LEDGER_READY:
		return header + sizeof(a->identity);
	case LEDGER_OPEN:
	case LEDGER_COSIGN:
	case LEDGER_PAYER:
		return header + sizeof(a->payer);
	case LEDGER_FORGIVE:
		return header + sizeof(a->key);
	case LEDGER_ISSUE:
	case LEDGER_UNPAID:
		return header + sizeof(a->offer);
	case LEDGER_SETTLE:
		return header + sizeof(a->settled);
	case LEDGER_PROMISE:
		return header + sizeof(a->promised);
	case LEDGER_ADOPT:
		return header + sizeof(a->adopted);
	case LEDGER_CARRY:
		return header + sizeof(a->carried);
	case LEDGER_QUERY:
		return header + offsetof(struct query_rows, credit) +
		       (size_t)a->rows.count * row[a->rows.kind];
	case LEDGER_DISPUTE:
	case LEDGER_CLOSE:
	case LEDGER_GRANT:
	case LEDGER_GRANT_EARNED:
	case LEDGER_KINDS:
		break;
	}
	return header;
}

static int answer_kind(struct store *store, const struct ledger_request *r, struct ledger_answer *a)
{
	switch ((enum ledger_kind)r->kind) {
	case LEDGER_OPEN:
		return store_session(store, (enum role)r->role, r->session, r->payer, &a->payer);
	case LEDGER_ISSUE:
		return store_issue(store, r->session, r->up, r->down, &a->offer);
	case LEDGER_COSIGN:
		return store_cosign(store, r->session, r->seq, r->signature, &a->payer);
	case LEDGER_DISPUTE:
		return store_dispute(store, r->session, r->seq, r->up, r->down);
	case LEDGER_FORGIVE:
		return store_forgive(store, r->session, a->key);
	case LEDGER_CLOSE:
		return store_end(store, r->session, r->up, r->down);
	case LEDGER_UNPAID:
		return store_unpaid(store, r->payer, &a->offer);
	case LEDGER_PAYER:
		return store_payer(store, r->payer, &a->payer);
	case LEDGER_GRANT:
		return store_grant(store, r->payer, r->amount, r->expires, r->key);
	case LEDGER_SETTLE:
		return store_settle(store, r->seq, &a->settled);
	case LEDGER_GRANT_EARNED:
		return store_grant_earned(store, r->payer, r->amount, r->key);
	case LEDGER_QUERY:
		return store_query(store, &r->query, &a->rows);
	case LEDGER_PROMISE:
		return store_promise(store, &r->grant, &a->promised);
	case LEDGER_ADOPT:
		return store_adopt(store, &r->held, &a->adopted);
	case LEDGER_CARRY:
		return store_carry(store, &r->carry, &a->carried);
	case LEDGER_READY:
	case LEDGER_KINDS:
		break;
	}
	return -EPROTO;
}

/* False, and the answer says so, unless it is a whole request. */
static bool request_read(struct ledger_request *r, const void *msg, size_t len,
			 struct ledger_answer *a)
{
	a->id = 0;
	a->kind = LEDGER_KINDS;
	a->err = -EPROTO;
	if (len != sizeof(*r))
		return false;
	memcpy(r, msg, sizeof(*r));
	a->id = r->id;
	a->kind = r->kind;
	return true;
}

void ledger_answer_request(struct store *store, const void *msg, size_t len,
			   struct ledger_answer *a)
{
	struct ledger_request r;
	int err;

	if (!request_read(&r, msg, len, a))
		return;
	err = store_mark(store);
	if (err) {
		a->err = err;
		return;
	}
	a->err = answer_kind(store, &r, a);
	err = store_unmark(store, a->err == 0);
	if (err)
		a->err = err;
}

/* The same without a savepoint. False: it failed and left changes behind, has no transaction, or
 * changes more than the database, so that it may be done only once. */
static bool answer_unmarked(struct store *store, const void *msg, size_t len,
			    struct ledger_answer *a)
{
	struct ledger_request r;
	uint64_t before = store_changes(store), after;

	if (!request_read(&r, msg, len, a))
		return true;
	if (r.kind == LEDGER_SETTLE)
		return false;
	a->err = answer_kind(store, &r, a);
	after = store_changes(store);
	return after != UINT64_MAX && (!a->err || after == before);
}

/* ---- a batch ---- */

/* Waits for one request, then takes what else is there. 0: the node closed its end. */
static size_t process_receive(struct process *p)
{
	size_t count = 0;

	while (count < LEDGER_BATCH) {
		ssize_t n = recv(p->socket, &p->requests[count], sizeof(p->requests[count]),
				 MSG_DONTWAIT | MSG_TRUNC);

		if (n > 0)
			p->lengths[count++] = (size_t)n;
		else if (n == 0 || (errno != EINTR && errno != ECONNRESET))
			break;
	}
	return count;
}

static void process_send(struct process *p, const struct ledger_answer *a)
{
	size_t len = ledger_answer_length(a);
	ssize_t n;

	do
		n = send(p->socket, a, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	/* A node that is gone needs no answer; the end of the stream is met at the next receive. */
	if (n < 0 && errno != EPIPE && errno != ECONNRESET)
		fatal("ledger: cannot answer the node");
}

/* ---- a disk that does not take it ---- */

static const char *trouble_advice(int err)
{
	switch (err) {
	case -ENOSPC:
		return "make room on its disk, 16 MiB at least";
	case -EROFS:
		return "mount its disk read-write again (the kernel's log says why it is not)";
	case -ENOMEM:
		return "give the machine more memory";
	case -ENOLCK:
		return "end the program that has it open";
	default:
		return "look for disk errors in the kernel's log";
	}
}

/* At most a line a minute; what depends on the ledger waits, and goes on by itself. */
static void process_trouble(struct process *p, int err)
{
	uint64_t now = clock_ms();

	if (store_lost(p->store))
		fatalx("%s: the database cannot be written safely any more; check the disk, then "
		       "start again",
		       p->config->database);
	if (!ledger_error_passes(err)) {
		if (p->troubled)
			log_info("%s: is written again", p->config->database);
		p->troubled = false;
		return;
	}
	if (p->said_ms && now - p->said_ms < SAY_MS)
		return;
	p->troubled = true;
	p->said_ms = now;
	log_warnx("%s: cannot be written (%s): no new sessions and receipts, traffic goes on "
		  "within its window; %s",
		  p->config->database, strerror(-err), trouble_advice(err));
}

/* Once a session, however often it is asked for. */
static void process_remember(struct process *p, const struct ledger_request *r)
{
	struct unclosed *u = p->unclosed;

	while (u < p->unclosed + p->unclosed_count &&
	       memcmp(u->session, r->session, SESSION_ID_LEN) != 0)
		u++;
	if (u == p->unclosed + UNCLOSED_MAX)
		return; /* ended at the next start, with what was known of it before */
	if (u == p->unclosed + p->unclosed_count)
		p->unclosed_count++;
	memcpy(u->session, r->session, SESSION_ID_LEN);
	u->up = r->up;
	u->down = r->down;
}

static int process_close_all(struct process *p)
{
	int err = store_begin(p->store, clock_wall());

	for (size_t i = 0; !err && i < p->unclosed_count; i++) {
		const struct unclosed *u = &p->unclosed[i];
		int refused;

		err = store_mark(p->store);
		if (err)
			break;
		refused = store_end(p->store, u->session, u->up, u->down);
		err = ledger_error_passes(refused) ? refused : store_unmark(p->store, refused == 0);
	}
	if (!err)
		return store_commit(p->store);
	store_rollback(p->store);
	return err;
}

/* Before anything new of a payer, what it owes. */
static void process_again(struct process *p)
{
	uint64_t now = clock_ms();
	int err;

	if (p->unclosed_count == 0 || now - p->tried_ms < AGAIN_MS)
		return;
	p->tried_ms = now;
	err = process_close_all(p);
	process_trouble(p, err);
	if (!err)
		p->unclosed_count = 0;
}

/* ---- a batch, continued ---- */

static bool process_only_asks(const struct process *p, size_t i)
{
	return p->lengths[i] == sizeof(p->requests[i]) && p->requests[i].kind == LEDGER_QUERY;
}

static bool process_answer_unmarked(struct process *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!process_only_asks(p, i) &&
		    !answer_unmarked(p->store, &p->requests[i], p->lengths[i], &p->answers[i]))
			return false;
	return true;
}

/*
 * Savepoints cost a fifth of all the work of SQL, and hardly ever is one needed: what a peer can
 * get wrong is found before anything is changed. So first without; if a request has failed half
 * done, all are taken back and done again, each with a savepoint around it.
 */
static int process_answer(struct process *p, size_t count)
{
	uint64_t now_s = clock_wall();
	int err = store_begin(p->store, now_s);

	if (!err && process_answer_unmarked(p, count))
		return 0;
	if (!err) {
		store_rollback(p->store);
		err = store_begin(p->store, now_s);
	}
	/* After a failed begin every savepoint fails too, and says so in its answer. */
	for (size_t i = 0; i < count; i++)
		if (!process_only_asks(p, i))
			ledger_answer_request(p->store, &p->requests[i], p->lengths[i],
					      &p->answers[i]);
	return err;
}

/* One commit for all that change something; an error of one that passes, or 0. */
static int process_write(struct process *p, size_t count)
{
	int err, passing = 0, tries = 0;

	do {
		err = process_answer(p, count);
		if (!err)
			err = store_commit(p->store);
	} while (err == -EAGAIN && ++tries < TRIES); /* another writer's doing (db.h) */
	for (size_t i = 0; i < count; i++) {
		struct ledger_answer *a = &p->answers[i];

		if (process_only_asks(p, i))
			continue;
		if (err)
			a->err = err;
		if (!ledger_error_passes(a->err))
			continue;
		passing = a->err;
		if (a->kind == LEDGER_CLOSE)
			process_remember(p, &p->requests[i]);
	}
	return passing;
}

/* After the commit, so that who changed something and then asks sees it. */
static void process_ask(struct process *p, size_t count)
{
	int err = store_begin_reading(p->store, clock_wall());

	for (size_t i = 0; i < count; i++) {
		const struct ledger_request *r = &p->requests[i];
		struct ledger_answer *a = &p->answers[i];

		if (!process_only_asks(p, i))
			continue;
		a->id = r->id;
		a->kind = r->kind;
		a->err = err ? err : answer_kind(p->store, r, a);
	}
	store_end_reading(p->store);
}

/* All answers wait for the one commit that makes them true. */
static void process_batch(struct process *p, size_t count)
{
	size_t asks = 0;

	for (size_t i = 0; i < count; i++)
		asks += process_only_asks(p, i);
	if (asks < count)
		process_trouble(p, process_write(p, count));
	if (asks)
		process_ask(p, count);
	if (store_lost(p->store))
		process_trouble(p, -EIO);
	for (size_t i = 0; i < count; i++)
		process_send(p, &p->answers[i]);
}

/* ---- terms and descriptor ---- */

static void describe_terms(struct terms *out, const struct ledger_config *c, enum role role,
			   uint64_t expires, const struct identity *by)
{
	const struct terms_values v = {
		.role = role,
		.network = c->network,
		.price = c->price[role],
		.window_start = c->window_start,
		.window_cap = c->window_cap,
		.receipt_seconds = c->receipt_seconds,
		.loss_ppm = c->loss_ppm,
		.loss_bytes = c->loss_bytes,
		.expires = expires,
	};

	terms_make(out, &v, by);
}

void ledger_describe(struct ledger_identity *out, const struct ledger_config *c,
		     const struct identity *by, uint64_t now_s)
{
	uint64_t issued = now_s - now_s % DAY, expires = issued + c->terms_days * DAY;
	struct descriptor *d = &out->descriptor;
	uint16_t port = c->announce4.port ? c->announce4.port : c->announce6.port;

	descriptor_begin(d, c->network, c->roles, c->name, issued, expires);
	memcpy(d->body.control, c->control_key, KEY_LEN);
	if (c->announce4.port)
		memcpy(d->body.ip4, c->announce4.ip + 12, sizeof(d->body.ip4));
	if (c->announce6.port)
		memcpy(d->body.ip6, c->announce6.ip, sizeof(d->body.ip6));
	d->body.port = le16_of(port);
	if (c->roles & ROLE_RELAY)
		describe_terms(&d->body.relay_terms, c, ROLE_RELAY, expires, by);
	if (c->roles & ROLE_EXIT) {
		memcpy(d->body.wg_key, c->wg_key, KEY_LEN);
		d->body.wg_port = le16_of(c->wg_port);
		describe_terms(&d->body.exit_terms, c, ROLE_EXIT, expires, by);
	}
	descriptor_sign(d, by);
}

static int process_store_terms(struct process *p, const struct ledger_identity *identity)
{
	const struct descriptor_body *d = &identity->descriptor.body;
	int err = store_begin(p->store, clock_wall());

	if (!err && (p->config->roles & ROLE_RELAY))
		err = store_terms(p->store, &d->relay_terms);
	if (!err && (p->config->roles & ROLE_EXIT))
		err = store_terms(p->store, &d->exit_terms);
	if (!err)
		return store_commit(p->store);
	store_rollback(p->store);
	return err;
}

static void process_publish(struct process *p)
{
	char text[DESCRIPTOR_TEXT_MAX];
	struct ledger_answer *a = &p->answers[0];
	int err = 0;

	if (p->config->descriptor_file[0]) {
		descriptor_to_text(text, sizeof(text), &p->identity.descriptor);
		err = file_replace(p->config->descriptor_file, text, strlen(text), 0644);
	}
	if (err) {
		errno = -err;
		log_warn("%s: the descriptor cannot be written", p->config->descriptor_file);
	}
	*a = (struct ledger_answer){.kind = LEDGER_READY, .identity = p->identity};
	process_send(p, a);
}

/* In good time: clients hold descriptors until they expire. */
static void process_renew(struct process *p)
{
	uint64_t now = clock_wall(), expires = le64_get(p->identity.descriptor.body.expires);
	struct ledger_identity next;
	int err;

	if (expires > now && expires - now >= p->config->terms_days * DAY / 2)
		return;
	ledger_describe(&next, p->config, p->by, now);
	err = process_store_terms(p, &next);
	process_trouble(p, err);
	/* On a full disk the old terms are offered on; the next wake tries again. */
	if (err)
		return;
	p->identity = next;
	process_publish(p);
}

/* ---- the process ---- */

static void process_orphaned(int sig)
{
	(void)sig;
	orphaned = 1;
}

/* Signals to the whole service stop the node, which then closes our socket: no commit is cut. */
static void process_signals(pid_t parent)
{
	struct sigaction orphan = {.sa_handler = process_orphaned};

	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write that fails says so by itself */
	sigaction(SIGUSR1, &orphan, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGUSR1) < 0)
		fatal("ledger: prctl");
	if (getppid() != parent)
		_exit(0);
}

static void process_isolate(int *socket)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* stdout and stdin are the node's; stderr is for log lines. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		fatal("/dev/null");
	if (*socket != LEDGER_FD && dup3(*socket, LEDGER_FD, O_CLOEXEC) < 0)
		fatal("ledger: dup3");
	*socket = LEDGER_FD;
	if (close_range(LEDGER_FD + 1, ~0u, 0) < 0)
		fatal("ledger: close_range");
	errno = -undumpable();
	if (errno)
		fatal("ledger: cannot forbid core files; set LimitCORE=0 for the service");
	prctl(PR_SET_NAME, "culvert-ledger");
	umask(077);
}

static void process_read_key(struct process *p)
{
	const char *path = p->config->identity_file;
	char *text = crypto_secret_alloc(256);
	uint8_t *seed = crypto_secret_alloc(KEY_LEN);
	ssize_t n = file_read_secret(path, text, 255);

	if (n == -EPERM)
		fatalx("%s: is open to group or others, or not yours; chmod 600 and chown it",
		       path);
	errno = (int)-n;
	if (n < 0)
		fatal("%s: cannot read the identity; `culvert init` makes one", path);
	text[strcspn(text, "\r\n")] = '\0';
	if (!key_from_base64(seed, text))
		fatalx("%s: is not one line of base64 with a 32-byte key; `culvert init` makes one",
		       path);
	p->by = crypto_secret_alloc(sizeof(*p->by));
	identity_from_seed(p->by, seed);
	crypto_secret_free(seed);
	crypto_secret_free(text);
}

static void process_start(struct process *p)
{
	const struct ledger_config *c = p->config;
	struct store_config books = {
		.network = c->network,
		.window = {.start = c->window_start, .cap = c->window_cap},
		.free_allowance = c->free_allowance,
		.settlement = c->settlement[0] ? c->settlement : NULL,
		.retention_days = c->retention_days,
		.fee_ppm = c->fee_ppm,
		.issuer_count = c->issuer_count,
	};
	int err;

	memcpy(books.fee_account, c->fee_account, KEY_LEN);
	memcpy(books.issuers, c->issuers, sizeof(books.issuers));
	process_read_key(p);
	err = store_open(&p->store, c->database, &books, p->by, clock_wall());
	if (err) {
		errno = -err;
		fatal("%s: the ledger cannot start", c->database);
	}
	ledger_describe(&p->identity, c, p->by, clock_wall());
	err = process_store_terms(p, &p->identity);
	if (err) {
		errno = -err;
		fatal("%s: the terms cannot be stored", c->database);
	}
	process_publish(p);
}

/* How long to wait for a request. */
static int process_patience(const struct process *p)
{
	uint64_t idle = store_idle_ms(p->store), most = p->unclosed_count ? AGAIN_MS : WAKE_MS;

	return orphaned ? 0 : (int)(idle < most ? idle : most);
}

/* What is owed still, then all of it home. */
static void process_finish(struct process *p)
{
	int err;

	p->tried_ms = 0;
	process_again(p);
	err = store_finish(p->store);
	if (err && store_lost(p->store))
		process_trouble(p, err);
	store_close(p->store);
}

void ledger_process(int socket, const struct ledger_config *config, pid_t parent)
{
	struct process *p = xcalloc(1, sizeof(*p));
	struct pollfd wait = {.events = POLLIN};
	size_t count;

	process_signals(parent);
	process_isolate(&socket);
	p->config = config;
	p->socket = wait.fd = socket;
	process_start(p);
	for (;;) {
		int ready = poll(&wait, 1, process_patience(p));

		process_again(p);
		count = ready > 0 ? process_receive(p) : 0;
		if (count)
			process_batch(p, count);
		else if (ready > 0 || orphaned)
			break;
		/* Requests first, and between any two batches of them at most one slice of this. */
		if (store_idle_ms(p->store) == 0)
			store_work(p->store, clock_wall());
		if (store_lost(p->store))
			process_trouble(p, -EIO);
		process_renew(p);
	}
	process_finish(p);
	crypto_secret_free(p->by);
	free(p);
	_exit(0);
}
