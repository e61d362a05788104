#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "exit/role.h"

/* ---- counters ---- */

/* What the device hears while a client is held is dropped behind it, and nobody pays for that. What
 * it sends was let through before: it is billed, held or not. */
static void count(void *arg, const struct tunnel_stat *stat)
{
	struct exit_role *e = arg;
	struct exit_peer *p = peers_by_key(e->peers, stat->key);
	uint64_t rx, tx;

	if (!p || p->state != PEER_LIVE)
		return;
	rx = stat->rx - p->rx;
	tx = stat->tx - p->tx;
	p->rx = stat->rx;
	p->tx = stat->tx;
	p->last_handshake = stat->last_handshake;
	if (p->held) {
		p->base_rx += rx;
		p->ignored += rx;
		rx = 0;
	}
	p->up = p->rx - p->base_rx;
	p->down = p->tx - p->base_tx;
	e->up += rx;
	e->down += tx;
	if (rx + tx)
		p->active_ms = clock_ms();
}

int metering_read(struct exit_role *e)
{
	if (e->device_down)
		return -ENODEV;
	return tunnel_read(e->tunnel, count, e);
}

/* ---- receipts ---- */

void metering_push(struct exit_peer *p)
{
	struct control_server *control = p->exit->control;

	p->pushed_ms = clock_ms();
	if (control && p->outstanding)
		control_server_push(control, p->owner, VERB_RECEIPT, &p->offer, sizeof(p->offer));
	if (control && p->has_debt)
		control_server_push(control, p->owner, VERB_RECEIPT, &p->debt, sizeof(p->debt));
}

static void issued(void *arg, int err, const struct receipt_offer *offer)
{
	struct exit_peer *p = arg;
	uint64_t now = clock_ms();

	p->pending--;
	if (err == -EACCES || (err && p->state == PEER_CLOSING))
		p->frozen = true;
	if (ledger_error_passes(err))
		p->again_ms = now + EXIT_AGAIN_MS;
	if (!err) {
		p->outstanding = true;
		p->offer = *offer;
		p->issued_ms = now;
		p->issued_bytes = le64_get(offer->body.bytes_up) + le64_get(offer->body.bytes_down);
		p->exit->receipts_issued++;
		metering_push(p);
	}
	if (p->frozen)
		session_close(p, CLOSE_DISPUTE);
	session_closing(p, now);
}

void metering_issue(struct exit_peer *p)
{
	p->pending++;
	ledger_issue(p->exit->ledger, p->session, p->up, p->down, issued, p);
}

void metering_issue_due(struct exit_peer *p, uint64_t now)
{
	uint64_t ahead = peer_unsigned(p);

	if (p->state != PEER_LIVE || p->outstanding || p->pending || p->frozen || !ahead ||
	    now < p->again_ms)
		return;
	if (ahead >= p->window / 4 || now - p->issued_ms >= p->receipt_ms)
		metering_issue(p);
}

static void send_window(struct exit_peer *p)
{
	struct body_window body = {
		.seq = le64_of(p->seq), .window = le64_of(p->window), .credit = le64_of(p->credit)};

	memcpy(body.session, p->session, SESSION_ID_LEN);
	p->told_window = p->window;
	if (p->cosigning.waiting)
		control_server_reply(p->exit->control, &p->cosigning.caller, VERB_WINDOW,
				     p->cosigning.id, &body, sizeof(body));
	else if (p->exit->control)
		control_server_push(p->exit->control, p->owner, VERB_WINDOW, &body, sizeof(body));
	p->cosigning.waiting = false;
}

static void cosigned(void *arg, int err, const struct ledger_payer *payer)
{
	struct exit_peer *p = arg;
	uint64_t now = clock_ms();

	p->pending--;
	if (err) {
		session_refuse(p->exit, &p->cosigning.caller, p->cosigning.id,
			       err == -EBADMSG  ? REFUSED_SIGNATURE
			       : err == -EACCES ? REFUSED_FROZEN
						: REFUSED_BUSY);
		p->cosigning.waiting = false;
		session_closing(p, now);
		return;
	}
	p->outstanding = false;
	p->signed_bytes = p->issued_bytes;
	p->seq = le64_get(p->offer.body.seq);
	p->exit->receipts_signed++;
	p->active_ms = now;
	session_window(p->exit, p->payer, payer);
	send_window(p);
	metering_issue_due(p, now);
	session_closing(p, now);
}

void metering_cosign(struct exit_peer *p, const struct control_caller *caller, uint32_t id,
		     const struct body_cosign *body)
{
	uint64_t seq = le64_get(body->seq);
	bool waiting = p->cosigning.waiting;

	if (p->seq && seq <= p->seq) { /* the answer got lost */
		if (!waiting) {
			p->cosigning = (struct peer_request){true, *caller, id};
			send_window(p);
		}
		return;
	}
	if (!p->outstanding || seq != le64_get(p->offer.body.seq)) {
		session_refuse(p->exit, caller, id, REFUSED_SIGNATURE);
		return;
	}
	if (p->state == PEER_ENDING) { /* the session goes before the ledger's answer comes */
		struct exit_unpaid debt = {.used = true};

		memcpy(debt.session, p->session, SESSION_ID_LEN);
		memcpy(debt.payer, p->payer, KEY_LEN);
		metering_cosign_unpaid(p->exit, &debt, caller, id, body);
		return;
	}
	p->cosigning = (struct peer_request){true, *caller, id};
	if (waiting)
		return; /* a repetition while the ledger is at it */
	p->pending++;
	ledger_cosign(p->exit->ledger, p->session, seq, body->signature, cosigned, p);
}

/* ---- receipts of ended sessions ---- */

struct unpaid_call {
	struct exit_role *e;
	struct control_caller caller;
	uint32_t id;
	uint8_t session[SESSION_ID_LEN], payer[KEY_LEN];
	uint64_t seq;
};

static void unpaid_cosigned(void *arg, int err, const struct ledger_payer *payer)
{
	struct unpaid_call *c = arg;
	struct body_window body = {.seq = le64_of(c->seq)};

	if (err) {
		session_refuse(c->e, &c->caller, c->id,
			       err == -EBADMSG ? REFUSED_SIGNATURE : REFUSED_BUSY);
	} else {
		memcpy(body.session, c->session, SESSION_ID_LEN);
		body.window = le64_of(payer->window);
		body.credit = le64_of(payer->credit);
		c->e->receipts_signed++;
		session_window(c->e, c->payer, payer);
		session_unpaid(c->e, c->payer, c->session);
		control_server_reply(c->e->control, &c->caller, VERB_WINDOW, c->id, &body,
				     sizeof(body));
	}
	free(c);
}

void metering_cosign_unpaid(struct exit_role *e, const struct exit_unpaid *u,
			    const struct control_caller *caller, uint32_t id,
			    const struct body_cosign *body)
{
	struct unpaid_call *c = xcalloc(1, sizeof(*c));

	c->e = e;
	c->caller = *caller;
	c->id = id;
	c->seq = le64_get(body->seq);
	memcpy(c->session, u->session, SESSION_ID_LEN);
	memcpy(c->payer, u->payer, KEY_LEN);
	ledger_cosign(e->ledger, c->session, c->seq, body->signature, unpaid_cosigned, c);
}

/* ---- holding ---- */

static int restore_table(struct exit_role *e)
{
	struct nat_pair *held = xcalloc(peers_count(e->peers), sizeof(*held));
	struct exit_peer *p = NULL;
	size_t n = 0;
	int err;

	while ((p = peers_next(e->peers, p))) {
		if (p->held)
			held[n++] = p->inner;
	}
	err = nat_apply(&e->nat);
	if (!err)
		err = nat_hold(e->nat.interface, held, n, true);
	free(held);
	return err;
}

static bool out_of_window(const struct exit_peer *p)
{
	return p->state == PEER_LIVE && !p->held && peer_unsigned(p) >= p->window;
}

/* All that ran out since the last reading, in one transaction. They are read once more before they
 * count as held: nft takes its time, and what passed meanwhile is billed. */
static void hold_all(struct exit_role *e)
{
	struct nat_pair *pairs = xcalloc(peers_count(e->peers), sizeof(*pairs));
	struct exit_peer *p = NULL;
	size_t n = 0;

	while ((p = peers_next(e->peers, p))) {
		p->holding = out_of_window(p);
		if (p->holding)
			pairs[n++] = p->inner;
	}
	if (n && nat_hold(e->nat.interface, pairs, n, true) == 0) {
		if (metering_read(e) != 0)
			log_debug("exit: the device was not read as a hold began");
		while ((p = peers_next(e->peers, p)))
			p->held |= p->holding;
	} else if (n) {
		e->table_dirty = true;
	}
	free(pairs);
}

void metering_release(struct exit_peer *p)
{
	struct exit_role *e = p->exit;

	if (!p->held || peer_unsigned(p) >= p->window)
		return;
	/* what was dropped until now is not billed; without a reading it would be */
	if (metering_read(e) != 0)
		return;
	if (nat_hold(e->nat.interface, &p->inner, 1, false) == 0)
		p->held = false;
	else
		e->table_dirty = true;
}

/* ---- the round ---- */

/* WINDOW to each session of p's payer whose window is another than it was told; one that waits for
 * an answer to its COSIGN has it from there. */
static void tell_windows(const struct exit_peer *p)
{
	struct exit_peer *q = NULL;

	while ((q = peers_next(p->exit->peers, q)))
		if (q->state == PEER_LIVE && q->window != q->told_window && !q->cosigning.waiting &&
		    memcmp(q->payer, p->payer, KEY_LEN) == 0)
			send_window(q);
}

static void stands(void *arg, int err, const struct ledger_payer *payer)
{
	struct exit_peer *p = arg;

	p->pending--;
	if (!err) {
		session_window(p->exit, p->payer, payer);
		tell_windows(p);
	}
	session_closing(p, clock_ms());
}

void metering_ask(struct exit_peer *p)
{
	p->asked_ms = clock_ms();
	p->pending++;
	ledger_payer_now(p->exit->ledger, p->payer, stands, p);
}

static void ask_for_top_up(struct exit_peer *p, uint64_t now)
{
	if (p->held && !p->outstanding && !p->pending && now - p->asked_ms >= EXIT_ASK_MS)
		metering_ask(p);
}

static void poll_peer(struct exit_peer *p, uint64_t now)
{
	const struct exit_role *e = p->exit;

	if (((p->outstanding && !p->cosigning.waiting) || p->has_debt) &&
	    now - p->pushed_ms >= EXIT_PUSH_MS)
		metering_push(p);
	if (p->state == PEER_CLOSING) {
		session_closing(p, now);
	} else if (p->state == PEER_LIVE && now - p->active_ms >= e->config.idle_ms) {
		session_close(p, CLOSE_IDLE);
	} else if (p->state == PEER_LIVE && clock_wall() >= p->expires) {
		session_close(p, CLOSE_EXPIRED);
	} else {
		metering_issue_due(p, now);
		metering_release(p);
		ask_for_top_up(p, now);
	}
}

/* A firewall reload flushes all tables: without ours clients could reach what they must not. */
static void check_table(struct exit_role *e, uint64_t now)
{
	if (now - e->checked_ms < (e->table_dirty ? EXIT_POLL_IDLE_MS : EXIT_CHECK_MS))
		return;
	e->checked_ms = now;
	if (!e->table_dirty && nat_present(e->nat.interface))
		return;
	log_warnx("the exit's nftables table was changed by somebody (a firewall reload?): "
		  "putting it back");
	e->table_dirty = restore_table(e) != 0;
}

/* How long p may go unseen: until half of what is left of its window would be used up at the rate
 * since the last poll. */
static uint64_t unseen_ms(struct exit_peer *p, uint64_t elapsed_ms)
{
	uint64_t bytes = peer_bytes(p) - p->polled, ahead = peer_unsigned(p), ms;

	p->polled = peer_bytes(p);
	if (p->state != PEER_LIVE || p->held)
		return EXIT_POLL_IDLE_MS;
	if (ahead >= p->window)
		return EXIT_POLL_MIN_MS;
	ms = (p->window - ahead) / 2 / (bytes / (elapsed_ms ? elapsed_ms : 1) + 1);
	return ms < EXIT_POLL_MS ? ms : EXIT_POLL_MS;
}

/* A reading that took long is not repeated at once: the loop has other things to do. */
static uint64_t wait_after(uint64_t wait_ms, uint64_t read_ms)
{
	bool close = wait_ms < EXIT_POLL_MS;
	uint64_t least = close ? EXIT_POLL_MIN_MS + read_ms : EXIT_POLL_REST * read_ms;

	return wait_ms > least ? wait_ms : least;
}

uint64_t metering_poll(struct exit_role *e)
{
	uint64_t began = clock_ms(), wait = EXIT_POLL_IDLE_MS, cost, now, ms;
	uint64_t elapsed = began - e->polled_ms;
	struct exit_peer *p = NULL;
	int err = metering_read(e);

	cost = clock_ms() - began;
	if (!err)
		hold_all(e);
	e->polled_ms = began;
	while ((p = peers_next(e->peers, p))) {
		ms = unseen_ms(p, elapsed);
		wait = ms < wait ? ms : wait;
	}
	now = clock_ms();
	while ((p = peers_next(e->peers, p)))
		poll_peer(p, now);
	check_table(e, now);
	return wait_after(wait, cost);
}
