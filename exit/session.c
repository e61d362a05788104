#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "exit/role.h"
#include "proto/statement.h"

static const struct terms *own_terms(const struct exit_role *e)
{
	return &e->self.body.exit_terms;
}

void session_refuse(struct exit_role *e, const struct control_caller *caller, uint32_t id,
		    enum refusal code)
{
	struct body_refused body = {.code = le32_of(code)};

	control_server_reply(e->control, caller, VERB_REFUSED, id, &body, sizeof(body));
}

/* ---- opening ---- */

static void answer_peer(struct exit_peer *p, const struct control_caller *caller, uint32_t id)
{
	const struct exit_role *e = p->exit;
	struct body_peer body = {0};

	memcpy(body.session, p->session, SESSION_ID_LEN);
	memcpy(body.wg_key, e->wg_key, KEY_LEN);
	memcpy(body.address4, p->inner.v4.ip + 12, sizeof(body.address4));
	memcpy(body.address6, p->inner.v6.ip, sizeof(body.address6));
	memcpy(body.dns4, e->config.dns4.ip + 12, sizeof(body.dns4));
	memcpy(body.dns6, e->config.dns6.ip, sizeof(body.dns6));
	body.window = le64_of(p->window);
	body.credit = le64_of(p->credit);
	p->told_window = p->window;
	control_server_reply(e->control, caller, VERB_PEER, id, &body, sizeof(body));
}

static bool statement_valid(const struct exit_role *e, const struct control_caller *caller,
			    const struct body_add_peer *body)
{
	const struct statement_values v = {
		.network = e->config.network,
		.provider = e->self.body.node,
		.client_control = caller->client,
		.subject = body->wg_key,
		.terms = body->terms,
		.payer = body->payer,
		.nonce = body->nonce,
	};
	struct open_statement s;

	statement_make(&s, &v);
	return identity_verify(body->signature, &s, sizeof(s), body->payer);
}

/* 0 if the request may be granted as far as it and our state say. */
static enum refusal judge(const struct exit_role *e, const struct control_caller *caller,
			  const struct body_add_peer *body)
{
	uint8_t terms[KEY_LEN];

	if (e->stopping || e->device_down)
		return REFUSED_BUSY;
	terms_hash(terms, own_terms(e));
	if (memcmp(terms, body->terms, KEY_LEN) != 0 ||
	    le64_get(own_terms(e)->body.expires) <= clock_wall())
		return REFUSED_TERMS;
	/* a device drops a peer with its own key; nobody has the key of zeros */
	if (crypto_is_zero(body->wg_key, KEY_LEN) ||
	    memcmp(body->wg_key, e->wg_key, KEY_LEN) == 0 || !statement_valid(e, caller, body))
		return REFUSED_SIGNATURE;
	return 0;
}

/* Ends a session that never came to live, or whose ledger calls are all answered. */
static void end(struct exit_peer *p)
{
	struct exit_role *e = p->exit;

	if (p->number)
		pool_release(e->pool, p->number);
	peers_free(e->peers, p);
	session_check_stopped(e);
}

static void refused_closed(void *arg, int err)
{
	struct exit_peer *p = arg;

	(void)err; /* it carried nothing */
	end(p);
}

/* The session is in the books already: take it out again with not a byte carried. */
static void refuse_opened(struct exit_peer *p, enum refusal code)
{
	session_refuse(p->exit, &p->opening.caller, p->opening.id, code);
	peers_forget_key(p->exit->peers, p);
	p->state = PEER_ENDING;
	ledger_close(p->exit->ledger, p->session, 0, 0, refused_closed, p);
}

static int add_to_device(struct exit_peer *p)
{
	struct tunnel_prefix allowed[2];
	struct tunnel_peer settings = {.allowed = allowed};
	struct tunnel_stat stat;

	memcpy(settings.key, p->wg_key, KEY_LEN);
	if (!crypto_is_zero(p->inner.v4.ip, 16))
		allowed[settings.allowed_count++] = (struct tunnel_prefix){p->inner.v4, 32};
	if (!crypto_is_zero(p->inner.v6.ip, 16))
		allowed[settings.allowed_count++] = (struct tunnel_prefix){p->inner.v6, 128};
	/* what the tunnel counted for this key before is not this session's */
	if (tunnel_read_peer(p->exit->tunnel, p->wg_key, &stat) == 0) {
		p->base_rx = p->rx = stat.rx;
		p->base_tx = p->tx = stat.tx;
	}
	return tunnel_set_peer(p->exit->tunnel, &settings);
}

/* Shows the caller an old receipt it has not signed yet; the poll repeats it for a live session. */
static void unpaid_found(void *arg, int err, const struct receipt_offer *offer)
{
	struct exit_peer *p = arg;
	struct exit_role *e = p->exit;
	struct exit_unpaid *u = &e->unpaid[e->unpaid_next];

	p->pending--;
	p->has_debt = !err;
	if (err)
		return;
	p->debt = *offer;
	e->unpaid_next = (e->unpaid_next + 1) % EXIT_UNPAID_MAX;
	u->used = true;
	memcpy(u->session, offer->body.session, SESSION_ID_LEN);
	memcpy(u->owner, p->owner, KEY_LEN);
	memcpy(u->payer, p->payer, KEY_LEN);
	metering_push(p);
}

/* What is left of its credit may be just what that receipt comes to. */
static void unpaid_then_refuse(void *arg, int err, const struct receipt_offer *offer)
{
	struct exit_peer *p = arg;

	unpaid_found(p, err, offer);
	refuse_opened(p, REFUSED_CREDIT);
}

static void ask_unpaid(struct exit_peer *p, ledger_issued done)
{
	p->pending++;
	ledger_unpaid(p->exit->ledger, p->payer, done, p);
}

void session_unpaid(struct exit_role *e, const uint8_t payer[static KEY_LEN],
		    const uint8_t session[static SESSION_ID_LEN])
{
	struct exit_peer *p = NULL;

	while ((p = peers_next(e->peers, p))) {
		if (!p->has_debt || memcmp(p->payer, payer, KEY_LEN) != 0 ||
		    memcmp(p->debt.body.session, session, SESSION_ID_LEN) != 0)
			continue;
		p->has_debt = false;
		if (p->state == PEER_LIVE)
			ask_unpaid(p, unpaid_found);
	}
}

static void opened(void *arg, int err, const struct ledger_payer *payer)
{
	struct exit_peer *p = arg;
	struct exit_role *e = p->exit;

	p->pending--;
	if (err) {
		session_refuse(e, &p->opening.caller, p->opening.id,
			       err == -EACCES ? REFUSED_FROZEN : REFUSED_BUSY);
		end(p);
	} else if (e->stopping || e->device_down) {
		refuse_opened(p, REFUSED_BUSY);
	} else if (payer->window == 0 && payer->debt) {
		ask_unpaid(p, unpaid_then_refuse);
	} else if (payer->window == 0) {
		refuse_opened(p, REFUSED_CREDIT);
	} else if (add_to_device(p) != 0) {
		refuse_opened(p, REFUSED_BUSY);
	} else {
		p->state = PEER_LIVE;
		p->opened_ms = p->active_ms = p->issued_ms = clock_ms();
		session_window(e, p->payer, payer);
		answer_peer(p, &p->opening.caller, p->opening.id);
		if (payer->debt)
			ask_unpaid(p, unpaid_found);
	}
}

/* The same owner comes again with the key of an older session: the new one takes its addresses. */
static void take_over(struct exit_peer *p, struct exit_peer *old)
{
	p->number = old->number;
	old->number = 0;
	session_close(old, CLOSE_ASKED);
}

/* Sessions that are ending hold a slot a little longer, but nobody's place. */
static uint32_t active(const struct exit_role *e)
{
	const struct exit_peer *p = NULL;
	uint32_t n = 0;

	while ((p = peers_next(e->peers, p)))
		n += p->state == PEER_OPENING || p->state == PEER_LIVE;
	return n;
}

static void begin(struct exit_role *e, const struct control_caller *caller, uint32_t id,
		  const struct body_add_peer *body, struct exit_peer *old)
{
	struct exit_peer *p = NULL;

	if (old || active(e) < e->config.max_peers)
		p = peers_add(e->peers);
	if (!p) {
		session_refuse(e, caller, id, REFUSED_FULL);
		return;
	}
	p->exit = e;
	if (old)
		take_over(p, old);
	else
		p->number = pool_take(e->pool);
	crypto_random(p->session, SESSION_ID_LEN);
	memcpy(p->owner, caller->client, KEY_LEN);
	memcpy(p->payer, body->payer, KEY_LEN);
	memcpy(p->wg_key, body->wg_key, KEY_LEN);
	memcpy(p->nonce, body->nonce, NONCE_LEN);
	pool_address4(e->pool, p->number, &p->inner.v4);
	pool_address6(e->pool, p->number, &p->inner.v6);
	p->expires = le64_get(own_terms(e)->body.expires);
	p->receipt_ms = UINT64_C(1000) * le32_get(own_terms(e)->body.receipt_seconds);
	p->opening = (struct peer_request){true, *caller, id};
	peers_index(e->peers, p);
	if (!p->number) {
		session_refuse(e, caller, id, REFUSED_FULL);
		end(p);
		return;
	}
	p->pending++;
	ledger_open(e->ledger, ROLE_EXIT, p->session, p->payer, opened, p);
}

static bool is_same_request(const struct exit_peer *p, const struct body_add_peer *body)
{
	return memcmp(p->nonce, body->nonce, NONCE_LEN) == 0 &&
	       memcmp(p->payer, body->payer, KEY_LEN) == 0 &&
	       (p->state == PEER_OPENING || p->state == PEER_LIVE);
}

void session_add(struct exit_role *e, const struct control_caller *caller, uint32_t id,
		 const struct body_add_peer *body)
{
	enum refusal code = judge(e, caller, body);
	struct exit_peer *old;

	if (code) {
		session_refuse(e, caller, id, code);
		return;
	}
	old = peers_by_key(e->peers, body->wg_key);
	if (old && memcmp(old->owner, caller->client, KEY_LEN) != 0) {
		session_refuse(e, caller, id, REFUSED_BUSY);
		return;
	}
	if (old && is_same_request(old, body)) {
		if (old->state == PEER_LIVE)
			answer_peer(old, caller, id);
		else
			old->opening = (struct peer_request){true, *caller, id};
		return;
	}
	if (old && old->state == PEER_OPENING) {
		session_refuse(e, caller, id, REFUSED_BUSY);
		return;
	}
	begin(e, caller, id, body, old);
}

/* ---- windows ---- */

void session_window(struct exit_role *e, const uint8_t id[static KEY_LEN],
		    const struct ledger_payer *payer)
{
	struct peers *peers = e->peers;
	struct exit_peer *q = NULL;
	uint64_t sessions = 0;

	while ((q = peers_next(peers, q)))
		sessions += q->state == PEER_LIVE && memcmp(q->payer, id, KEY_LEN) == 0;
	while ((q = peers_next(peers, q))) {
		if (q->state != PEER_LIVE || memcmp(q->payer, id, KEY_LEN) != 0)
			continue;
		q->window = payer->window / sessions;
		q->credit = payer->credit;
		metering_release(q);
	}
}

/* ---- closing ---- */

static void send_closed(struct exit_peer *p)
{
	struct exit_role *e = p->exit;
	struct body_close body = {.bytes_up = le64_of(p->up),
				  .bytes_down = le64_of(p->down),
				  .reason = le32_of(p->reason)};

	memcpy(body.session, p->session, SESSION_ID_LEN);
	if (p->closing.waiting)
		control_server_reply(e->control, &p->closing.caller, VERB_CLOSED, p->closing.id,
				     &body, sizeof(body));
	else if (e->control)
		control_server_push(e->control, p->owner, VERB_CLOSED, &body, sizeof(body));
}

static void closed(void *arg, int err)
{
	struct exit_peer *p = arg;

	(void)err; /* the ledger says what is wrong with it; the session is over all the same */
	send_closed(p);
	end(p);
}

void session_closing(struct exit_peer *p, uint64_t now)
{
	if (p->state != PEER_CLOSING || p->pending)
		return;
	if (!p->frozen && peer_unsigned(p) && now < p->deadline_ms) {
		if (!p->outstanding)
			metering_issue(p);
		return;
	}
	p->state = PEER_ENDING;
	ledger_close(p->exit->ledger, p->session, p->up, p->down, closed, p);
}

/* Off the device, out of the held sets, so that the key and the addresses are free for another. */
static void leave_device(struct exit_peer *p)
{
	struct exit_role *e = p->exit;

	if (metering_read(e) != 0 && !e->device_down)
		log_warnx("the exit's device cannot be read; a session ends with the counters of "
			  "the last reading");
	if (tunnel_remove_peer(e->tunnel, p->wg_key) != 0 && !e->device_down)
		log_warnx("the exit's device did not take the removal of a peer");
	if (p->held && nat_hold(e->nat.interface, &p->inner, 1, false) != 0)
		e->table_dirty = true;
	p->held = false;
	peers_forget_key(e->peers, p);
}

void session_close(struct exit_peer *p, enum close_reason reason)
{
	if (p->state != PEER_LIVE)
		return;
	leave_device(p);
	p->state = PEER_CLOSING;
	p->reason = reason;
	p->deadline_ms = clock_ms() + EXIT_CLOSE_WAIT_MS;
	session_closing(p, clock_ms());
}

static void on_stopped(evutil_socket_t fd, short what, void *arg)
{
	struct exit_role *e = arg;

	(void)fd;
	(void)what;
	e->stopped(e->stopped_arg);
}

/* From the loop, not from here: whoever is told may destroy the exit we are in the middle of. */
void session_check_stopped(struct exit_role *e)
{
	const struct timeval now = {0};

	if (!e->stopping || e->told || peers_count(e->peers) > 0)
		return;
	e->told = true;
	if (event_base_once(e->base, -1, EV_TIMEOUT, on_stopped, e, &now) != 0)
		fatalx("out of memory (event)");
}
