#include "accounting/ledger.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "accounting/ledger_message.h"
#include "base/log.h"

/* Who waits for an answer; the request's kind says which of the functions it is. */
struct waiter {
	bool used;
	uint32_t kind;
	uint32_t generation; /* so that an id is never reused */
	uint32_t next;       /* of the free ones, as ledger.free */
	union {
		ledger_opened opened;
		ledger_issued issued;
		ledger_signed cosigned;
		ledger_done done;
		ledger_settled settled;
		ledger_forgiven forgiven;
		ledger_rows rows;
		ledger_took_promise promised;
		ledger_took_receipt adopted;
		ledger_has_carried carried;
	};
	void *arg;
};

/* A request the socket had no room for. */
struct queued {
	struct queued *next;
	struct ledger_request request;
};

struct ledger {
	int fd;
	pid_t pid;
	struct waiter *waiters;
	uint32_t waiter_count;
	uint32_t free; /* one more than the number of a waiter not in use; 0: none */
	struct queued *first, **last;
	struct ledger_identity identity;
	struct ledger_answer answer; /* the one being read */
};

/* ---- starting and stopping ---- */

static void ledger_widen(int fd)
{
	const int size = LEDGER_SOCKET_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
		log_warn("ledger: SO_SNDBUF");
}

static int ledger_wait_ready(struct ledger *l)
{
	ssize_t n;

	do
		n = recv(l->fd, &l->answer, sizeof(l->answer), 0);
	while (n < 0 && errno == EINTR);
	if (n < (ssize_t)offsetof(struct ledger_answer, payer) || l->answer.kind != LEDGER_READY ||
	    (size_t)n != ledger_answer_length(&l->answer))
		return -ECHILD;
	l->identity = l->answer.identity;
	return 0;
}

static void ledger_reap(struct ledger *l)
{
	while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

static void ledger_free(struct ledger *l)
{
	while (l->first) {
		struct queued *q = l->first;

		l->first = q->next;
		free(q);
	}
	free(l->waiters);
	free(l);
}

int ledger_start(struct ledger **out, const struct ledger_config *config,
		 struct ledger_identity *id)
{
	struct ledger *l;
	int pair[2], err;
	pid_t parent = getpid(), pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ledger_widen(pair[0]);
	ledger_widen(pair[1]);
	fflush(NULL); /* or the child might write it a second time */
	pid = fork();
	if (pid < 0) {
		err = -errno;
		close(pair[0]);
		close(pair[1]);
		return err;
	}
	if (pid == 0)
		ledger_process(pair[1], config, parent);
	close(pair[1]);
	l = xcalloc(1, sizeof(*l));
	l->fd = pair[0];
	l->pid = pid;
	l->last = &l->first;
	err = ledger_wait_ready(l);
	if (err) {
		close(l->fd);
		ledger_reap(l);
		ledger_free(l);
		return err;
	}
	*id = l->identity;
	*out = l;
	return 0;
}

/* True unless the socket is broken; what it has no room for stays queued. */
static bool ledger_flush(struct ledger *l)
{
	while (l->first) {
		struct queued *q = l->first;
		ssize_t n =
			send(l->fd, &q->request, sizeof(q->request), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		l->first = q->next;
		if (!l->first)
			l->last = &l->first;
		free(q);
	}
	return true;
}

/* What was asked for is still done: give the rest away, throw the answers away, see it end. */
void ledger_stop(struct ledger *l)
{
	bool said = false;
	ssize_t n;

	do {
		struct pollfd wait = {.fd = l->fd, .events = POLLIN};

		if (!ledger_flush(l))
			break;
		if (l->first)
			wait.events |= POLLOUT;
		else if (!said)
			said = shutdown(l->fd, SHUT_WR) == 0;
		(void)poll(&wait, 1, -1);
		n = recv(l->fd, &l->answer, sizeof(l->answer), MSG_DONTWAIT);
	} while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	close(l->fd);
	ledger_reap(l);
	ledger_free(l);
}

int ledger_fd(const struct ledger *l)
{
	return l->fd;
}

bool ledger_wants_write(const struct ledger *l)
{
	return l->first != NULL;
}

pid_t ledger_pid(const struct ledger *l)
{
	return l->pid;
}

const struct ledger_identity *ledger_identity_now(const struct ledger *l)
{
	return &l->identity;
}

/* ---- asking ---- */

static void waiter_free(struct ledger *l, uint32_t i)
{
	l->waiters[i].used = false;
	l->waiters[i].next = l->free;
	l->free = i + 1;
}

static uint32_t waiter_take(struct ledger *l)
{
	uint32_t old = l->waiter_count, i;

	if (!l->free) {
		struct waiter *more;

		l->waiter_count = old ? old * 2 : 64;
		more = xcalloc(l->waiter_count, sizeof(*more));
		if (old)
			memcpy(more, l->waiters, old * sizeof(*more));
		free(l->waiters);
		l->waiters = more;
		for (i = l->waiter_count; i > old; i--)
			waiter_free(l, i - 1);
	}
	i = l->free - 1;
	l->free = l->waiters[i].next;
	return i;
}

/* Fills in the id and sends, or queues behind what waits already. */
static void ledger_ask(struct ledger *l, struct ledger_request *r, const struct waiter *from)
{
	uint32_t i = waiter_take(l), generation = l->waiters[i].generation + 1;
	struct queued *q = xcalloc(1, sizeof(*q));

	l->waiters[i] = *from;
	l->waiters[i].used = true;
	l->waiters[i].kind = r->kind;
	l->waiters[i].generation = generation;
	r->id = (uint64_t)generation << 32 | i;
	q->request = *r;
	*l->last = q;
	l->last = &q->next;
	/* A broken socket is met again, and reported, by ledger_dispatch. */
	(void)ledger_flush(l);
}

static struct ledger_request request_of(enum ledger_kind kind, const uint8_t *session,
					const uint8_t *payer)
{
	struct ledger_request r = {.kind = kind};

	if (session)
		memcpy(r.session, session, SESSION_ID_LEN);
	if (payer)
		memcpy(r.payer, payer, KEY_LEN);
	return r;
}

void ledger_open(struct ledger *l, enum role role, const uint8_t session[static SESSION_ID_LEN],
		 const uint8_t payer[static KEY_LEN], ledger_opened done, void *arg)
{
	struct ledger_request r = request_of(LEDGER_OPEN, session, payer);

	r.role = role;
	ledger_ask(l, &r, &(struct waiter){.opened = done, .arg = arg});
}

void ledger_issue(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		  uint64_t down, ledger_issued done, void *arg)
{
	struct ledger_request r = request_of(LEDGER_ISSUE, session, NULL);

	r.up = up;
	r.down = down;
	ledger_ask(l, &r, &(struct waiter){.issued = done, .arg = arg});
}

void ledger_cosign(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		   const uint8_t signature[static SIGNATURE_LEN], ledger_signed done, void *arg)
{
	struct ledger_request r = request_of(LEDGER_COSIGN, session, NULL);

	r.seq = seq;
	memcpy(r.signature, signature, SIGNATURE_LEN);
	ledger_ask(l, &r, &(struct waiter){.cosigned = done, .arg = arg});
}

void ledger_dispute(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		    uint64_t up, uint64_t down, ledger_done done, void *arg)
{
	struct ledger_request r = request_of(LEDGER_DISPUTE, session, NULL);

	r.seq = seq;
	r.up = up;
	r.down = down;
	ledger_ask(l, &r, &(struct waiter){.done = done, .arg = arg});
}

void ledger_forgive(struct ledger *l, const uint8_t session[static SESSION_ID_LEN],
		    ledger_forgiven done, void *arg)
{
	struct ledger_request r = request_of(LEDGER_FORGIVE, session, NULL);

	ledger_ask(l, &r, &(struct waiter){.forgiven = done, .arg = arg});
}

void ledger_close(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		  uint64_t down, ledger_done done, void *arg)
{
	struct ledger_request r = request_of(LEDGER_CLOSE, session, NULL);

	r.up = up;
	r.down = down;
	ledger_ask(l, &r, &(struct waiter){.done = done, .arg = arg});
}

void ledger_unpaid(struct ledger *l, const uint8_t payer[static KEY_LEN], ledger_issued done,
		   void *arg)
{
	struct ledger_request r = request_of(LEDGER_UNPAID, NULL, payer);

	ledger_ask(l, &r, &(struct waiter){.issued = done, .arg = arg});
}

void ledger_payer_now(struct ledger *l, const uint8_t payer[static KEY_LEN], ledger_opened done,
		      void *arg)
{
	struct ledger_request r = request_of(LEDGER_PAYER, NULL, payer);

	ledger_ask(l, &r, &(struct waiter){.opened = done, .arg = arg});
}

void ledger_grant(struct ledger *l, const uint8_t payer[static KEY_LEN], uint64_t amount,
		  uint64_t expires, const uint8_t key[static NONCE_LEN], ledger_done done,
		  void *arg)
{
	struct ledger_request r = request_of(LEDGER_GRANT, NULL, payer);

	r.amount = amount;
	r.expires = expires;
	memcpy(r.key, key, NONCE_LEN);
	ledger_ask(l, &r, &(struct waiter){.done = done, .arg = arg});
}

void ledger_settle(struct ledger *l, uint64_t epoch, ledger_settled done, void *arg)
{
	struct ledger_request r = request_of(LEDGER_SETTLE, NULL, NULL);

	r.seq = epoch;
	ledger_ask(l, &r, &(struct waiter){.settled = done, .arg = arg});
}

void ledger_grant_earned(struct ledger *l, const uint8_t payer[static KEY_LEN], uint64_t amount,
			 const uint8_t key[static NONCE_LEN], ledger_done done, void *arg)
{
	struct ledger_request r = request_of(LEDGER_GRANT_EARNED, NULL, payer);

	r.amount = amount;
	memcpy(r.key, key, NONCE_LEN);
	ledger_ask(l, &r, &(struct waiter){.done = done, .arg = arg});
}

void ledger_query(struct ledger *l, const struct query *q, ledger_rows done, void *arg)
{
	struct ledger_request r = request_of(LEDGER_QUERY, NULL, NULL);

	r.query = *q;
	ledger_ask(l, &r, &(struct waiter){.rows = done, .arg = arg});
}

void ledger_promise(struct ledger *l, const struct grant *g, ledger_took_promise done, void *arg)
{
	struct ledger_request r = request_of(LEDGER_PROMISE, NULL, NULL);

	r.grant = *g;
	ledger_ask(l, &r, &(struct waiter){.promised = done, .arg = arg});
}

void ledger_adopt(struct ledger *l, const struct body_held *held, ledger_took_receipt done,
		  void *arg)
{
	struct ledger_request r = request_of(LEDGER_ADOPT, NULL, NULL);

	r.held = *held;
	ledger_ask(l, &r, &(struct waiter){.adopted = done, .arg = arg});
}

void ledger_carry(struct ledger *l, const struct ledger_carry *c, ledger_has_carried done,
		  void *arg)
{
	struct ledger_request r = request_of(LEDGER_CARRY, NULL, NULL);

	r.carry = *c;
	ledger_ask(l, &r, &(struct waiter){.carried = done, .arg = arg});
}

/* ---- answers ---- */

static void waiter_call(const struct waiter *w, const struct ledger_answer *a)
{
	switch ((enum ledger_kind)w->kind) {
	case LEDGER_OPEN:
	case LEDGER_PAYER:
		w->opened(w->arg, a->err, a->err ? NULL : &a->payer);
		break;
	case LEDGER_COSIGN:
		w->cosigned(w->arg, a->err, a->err ? NULL : &a->payer);
		break;
	case LEDGER_ISSUE:
	case LEDGER_UNPAID:
		w->issued(w->arg, a->err, a->err ? NULL : &a->offer);
		break;
	case LEDGER_SETTLE:
		w->settled(w->arg, a->err, a->err ? NULL : &a->settled);
		break;
	case LEDGER_QUERY:
		w->rows(w->arg, a->err, a->err ? NULL : &a->rows);
		break;
	case LEDGER_PROMISE:
		w->promised(w->arg, a->err, a->err ? NULL : &a->promised);
		break;
	case LEDGER_ADOPT:
		w->adopted(w->arg, a->err, a->err ? NULL : &a->adopted);
		break;
	case LEDGER_CARRY:
		w->carried(w->arg, a->err, a->err ? NULL : &a->carried);
		break;
	case LEDGER_FORGIVE:
		w->forgiven(w->arg, a->err, a->err ? NULL : a->key);
		break;
	case LEDGER_DISPUTE:
	case LEDGER_CLOSE:
	case LEDGER_GRANT:
	case LEDGER_GRANT_EARNED:
		w->done(w->arg, a->err);
		break;
	case LEDGER_READY:
	case LEDGER_KINDS:
		break;
	}
}

/* The ledger is this very binary: an answer that does not fit is a broken invariant. */
static void ledger_answered(struct ledger *l, size_t len)
{
	const struct ledger_answer *a = &l->answer;
	uint32_t i = (uint32_t)a->id;
	struct waiter w;

	if (len < offsetof(struct ledger_answer, payer) || len != ledger_answer_length(a))
		fatalx("ledger: an answer of %zu bytes", len);
	if (a->kind == LEDGER_READY) {
		l->identity = a->identity;
		return;
	}
	if (i >= l->waiter_count || !l->waiters[i].used ||
	    l->waiters[i].generation != (uint32_t)(a->id >> 32) || l->waiters[i].kind != a->kind)
		fatalx("ledger: an answer nobody waits for");
	w = l->waiters[i];
	waiter_free(l, i); /* before the call, which may ask again */
	waiter_call(&w, a);
}

int ledger_dispatch(struct ledger *l)
{
	if (!ledger_flush(l))
		return -EPIPE;
	/* A bounded share of the loop's time. */
	for (int i = 0; i < 4 * LEDGER_BATCH; i++) {
		ssize_t n = recv(l->fd, &l->answer, sizeof(l->answer), MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		ledger_answered(l, (size_t)n);
	}
	return ledger_flush(l) ? 0 : -EPIPE;
}
