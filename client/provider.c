#include "client/provider.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "client/judge.h"
#include "client/opening.h"
#include "client/timer.h"
#include "proto/lengths.h"

#define OPEN_TIMEOUT_MS   5000
#define COSIGN_TIMEOUT_MS 3000
#define RETRY_UNPAID_MS   300
#define RETRY_SOON_MS     2000
#define RETRY_LATE_MS     5000
#define MISSES_SILENT     3
#define WINDOW_DRY        2048 /* less than a datagram: nothing moves any more */

struct provider {
	struct provider_config config;
	const struct provider_ops *ops;
	void *arg;
	struct control_client *control;
	struct presenting *presenting;
	struct terms terms;
	struct judge judge;
	enum provider_state state;
	uint8_t nonce[NONCE_LEN];
	struct wallet_count asked_at; /* the device's counters before the session was asked for */
	struct body_granted granted;
	struct body_peer peer;
	uint64_t window, credit;
	bool refused_credit;
	uint32_t opens;
	uint64_t opened_ms;
	const char *trouble;

	struct event *open_timer;
	struct event *probe_timer;
	bool probing;
	unsigned misses;

	struct event *note_timer;
	struct event *judge_timer; /* runs while an offer waits for packets in flight */
	struct receipt_offer waiting;
	uint64_t waiting_until_ms;
	bool cosigning;

	struct event *close_timer;
	bool close_answered;
	struct wallet_count close_totals;
	struct event *event_timer; /* delivers PROVIDER_ENDED outside of provider_close */
};

static const char *role_name(const struct provider *p)
{
	return p->config.role == ROLE_RELAY ? "relay" : "exit";
}

static void provider_tell(struct provider *p, enum provider_event event)
{
	p->ops->changed(p->arg, p, event);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void session_began(struct provider *p, const uint8_t session[static SESSION_ID_LEN])
{
	struct wallet_count base = p->asked_at;

	/* A relay counts nothing before BIND. An exit counts from when it heard us, and a handshake
	 * that WireGuard began before we heard its answer is in its bill. */
	if (p->config.role == ROLE_RELAY)
		p->ops->count(p->arg, &base);
	judge_begin(&p->judge, session, &base);
	p->state = PROVIDER_OPEN;
	p->opens++;
	p->opened_ms = clock_ms();
	p->trouble = NULL;
	p->refused_credit = false;
	p->misses = 0;
	timer_set(p->probe_timer, PROVIDER_KEEPALIVE_MS);
	timer_set(p->note_timer, PROVIDER_NOTE_MS);
	log_debug("%s: session open, window %llu", role_name(p), (unsigned long long)p->window);
	provider_tell(p, PROVIDER_OPENED);
}

/* The session is no more; its last receipts may still come. */
static void session_gone(struct provider *p, const char *why)
{
	if (p->state != PROVIDER_OPEN)
		return;
	log_debug("%s: session gone: %s", role_name(p), why);
	judge_end(&p->judge);
	p->state = PROVIDER_IDLE;
	p->trouble = why;
	timer_stop(p->probe_timer);
	provider_tell(p, PROVIDER_GONE);
}

static void session_disputed(struct provider *p, const char *why)
{
	judge_end(&p->judge);
	p->state = PROVIDER_DISPUTED;
	p->trouble = why;
	timer_stop(p->probe_timer);
	timer_stop(p->open_timer);
	timer_stop(p->judge_timer);
	log_warnx("%s: %s; nothing more is signed for it. Run `culvert down`, then choose another",
		  role_name(p), why);
	provider_tell(p, PROVIDER_LEFT);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void open_later(struct provider *p, uint64_t ms, const char *why)
{
	p->trouble = why;
	timer_set(p->open_timer, ms);
}

static void open_refused(struct provider *p, uint32_t code);
static void open_silent(struct provider *p);

const char *provider_terms_unfair(const struct terms *t, uint64_t max_price)
{
	struct terms_values v;

	terms_values(&v, t);
	if (max_price != 0 && v.price > max_price)
		return "its price is above MaxPrice";
	if (v.loss_ppm > PROVIDER_LOSS_PPM || v.loss_bytes > PROVIDER_LOSS_BYTES)
		return "its terms make the payer bear too much loss";
	return NULL;
}

static const struct terms *offered_terms(const struct provider *p, const struct descriptor *d)
{
	return p->config.role == ROLE_RELAY ? &d->body.relay_terms : &d->body.exit_terms;
}

/* A newer descriptor of the same node, for its newer terms only: keys and addresses stay what the
 * person chose. */
static void described(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct provider *p = arg;
	const char *unfair;
	struct descriptor d;

	if (p->state != PROVIDER_OPENING)
		return;
	if (verb != VERB_DESCRIPTOR || len != sizeof(d)) {
		open_later(p, RETRY_SOON_MS, "it does not describe itself");
		return;
	}
	memcpy(&d, body, sizeof(d));
	if (descriptor_check(&d, p->config.network, clock_wall()) != DESCRIPTOR_OK ||
	    memcmp(d.body.node, p->config.descriptor.body.node, KEY_LEN) != 0) {
		open_later(p, RETRY_LATE_MS, "its new descriptor is not valid");
		return;
	}
	unfair = provider_terms_unfair(offered_terms(p, &d), p->config.max_price);
	if (unfair) {
		open_later(p, RETRY_LATE_MS, unfair);
		return;
	}
	p->terms = *offered_terms(p, &d);
	open_later(p, 0, NULL);
}

static void describe(struct provider *p)
{
	static const uint8_t zero[sizeof(struct descriptor)];

	log_debug("%s: asking for its terms", role_name(p));
	if (!control_client_request(p->control, VERB_DESCRIBE, zero, sizeof(zero), OPEN_TIMEOUT_MS,
				    described, p))
		open_later(p, RETRY_SOON_MS, "too many requests are waiting");
}

static void granted(struct provider *p, const uint8_t *body)
{
	const uint8_t *session = body; /* both answers begin with it */
	int err;

	if (p->config.role == ROLE_EXIT && memcmp(((const struct body_peer *)body)->wg_key,
						  p->config.descriptor.body.wg_key, KEY_LEN) != 0) {
		open_later(p, RETRY_LATE_MS, "its WireGuard key is not the descriptor's");
		return;
	}
	err = wallet_session(p->config.wallet, session, &p->terms, p->config.payer->id);
	if (err < 0) {
		errno = -err;
		log_warn("wallet: the session with the %s could not be stored", role_name(p));
		open_later(p, RETRY_LATE_MS, "our wallet does not store the session");
		return;
	}
	if (p->config.role == ROLE_RELAY) {
		memcpy(&p->granted, body, sizeof(p->granted));
		p->window = le64_get(p->granted.window);
		p->credit = le64_get(p->granted.credit);
	} else {
		memcpy(&p->peer, body, sizeof(p->peer));
		p->window = le64_get(p->peer.window);
		p->credit = le64_get(p->peer.credit);
	}
	session_began(p, session);
}

static void open_answered(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct provider *p = arg;
	bool relay = p->config.role == ROLE_RELAY;

	if (p->state != PROVIDER_OPENING)
		return;
	if (relay && verb == VERB_GRANTED && len == sizeof(struct body_granted)) {
		granted(p, body);
	} else if (!relay && verb == VERB_PEER && len == sizeof(struct body_peer)) {
		granted(p, body);
	} else if (verb == VERB_REFUSED && len == sizeof(struct body_refused)) {
		open_refused(p, le32_get(((const struct body_refused *)body)->code));
	} else {
		open_silent(p);
	}
}

static void open_refused(struct provider *p, uint32_t code)
{
	log_debug("%s: refused: %s", role_name(p), refusal_text(code));
	p->refused_credit = code == REFUSED_CREDIT;
	switch (code) {
	case REFUSED_TERMS:
		p->trouble = refusal_text(code);
		describe(p);
		return;
	case REFUSED_UNPAID:
		open_later(p, RETRY_UNPAID_MS, refusal_text(code));
		return;
	case REFUSED_FROZEN:
		session_disputed(p, "it holds a dispute against us");
		return;
	case REFUSED_BUSY:
	case REFUSED_FULL:
		open_later(p, RETRY_SOON_MS, refusal_text(code));
		return;
	default:
		open_later(p, RETRY_LATE_MS, refusal_text(code));
	}
}

static void try_open(struct provider *p)
{
	uint8_t verb = p->config.role == ROLE_RELAY ? VERB_OPEN : VERB_ADD_PEER;
	struct terms_values v;
	struct body_open open;

	terms_values(&v, &p->terms);
	if (v.expires <= clock_wall()) {
		describe(p);
		return;
	}
	opening_fill(&open, &p->config, &p->terms, p->nonce);
	log_debug("%s: asking for a session", role_name(p));
	if (!control_client_request(p->control, verb, &open, sizeof(open), OPEN_TIMEOUT_MS,
				    open_answered, p))
		open_later(p, RETRY_SOON_MS, "too many requests are waiting");
}

static void open_due(evutil_socket_t fd, short what, void *arg)
{
	struct provider *p = arg;

	(void)fd;
	(void)what;
	if (p->state == PROVIDER_OPENING)
		presenting_start(p->presenting, p->control);
}

static void open_silent(struct provider *p)
{
	control_client_restart(p->control);
	open_later(p, 0, "it does not answer");
	provider_tell(p, PROVIDER_SILENT);
}

static void presented(void *arg, bool answered)
{
	struct provider *p = arg;

	if (p->state != PROVIDER_OPENING)
		return;
	if (answered)
		try_open(p);
	else
		open_silent(p);
}

static void credited(void *arg, uint64_t credit)
{
	struct provider *p = arg;

	p->credit = credit;
	p->refused_credit = false;
}

void provider_open(struct provider *p)
{
	if (p->state != PROVIDER_IDLE)
		return;
	p->state = PROVIDER_OPENING;
	crypto_random(p->nonce, sizeof(p->nonce));
	p->ops->count(p->arg, &p->asked_at);
	presenting_session(p->presenting);
	timer_set(p->open_timer, 0);
}

/* ---- staying alive --------------------------------------------------------------------------- */

/* Impatient at first, when a relay that was restarted is to be noticed; patient with one that is
 * away for long. */
static uint64_t probe_timeout(const struct provider *p)
{
	if (p->misses == 0)
		return 1000;
	return p->misses < 5 ? 2000 : 5000;
}

static void probe_answered(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct provider *p = arg;

	p->probing = false;
	if (p->state != PROVIDER_OPEN)
		return;
	if (verb == VERB_ALIVE && len == sizeof(struct body_session) &&
	    memcmp(body, p->judge.now.id, SESSION_ID_LEN) == 0) {
		p->misses = 0;
		timer_set(p->probe_timer, PROVIDER_KEEPALIVE_MS);
	} else if (verb == VERB_REFUSED) {
		session_gone(p, "it does not know the session any more");
	} else {
		p->misses++;
		control_client_restart(p->control);
		timer_set(p->probe_timer, 0);
		log_debug("%s: no answer (%u)", role_name(p), p->misses);
		if (p->misses % MISSES_SILENT == 0)
			provider_tell(p, PROVIDER_SILENT);
	}
}

void provider_probe(struct provider *p)
{
	struct body_session body;

	if (p->state != PROVIDER_OPEN || p->probing)
		return;
	memcpy(body.session, p->judge.now.id, SESSION_ID_LEN);
	p->probing = control_client_request(p->control, VERB_KEEPALIVE, &body, sizeof(body),
					    probe_timeout(p), probe_answered, p);
	if (!p->probing)
		timer_set(p->probe_timer, RETRY_SOON_MS);
}

static void probe_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	provider_probe(arg);
}

void provider_restart(struct provider *p)
{
	p->misses = 0;
	control_client_restart(p->control);
	if (p->state == PROVIDER_OPEN)
		timer_set(p->probe_timer, 0);
	else if (p->state == PROVIDER_OPENING && timer_running(p->open_timer))
		timer_set(p->open_timer, 0);
}

/* ---- receipts -------------------------------------------------------------------------------- */

static void close_settled(struct provider *p);

static void window_told(struct provider *p, const uint8_t *body, size_t len)
{
	const struct body_window *w = (const struct body_window *)body;

	/* For an ended session's last receipt it says what the payer may use by now. */
	if (len != sizeof(*w) || !judge_find(&p->judge, w->session))
		return;
	p->window = le64_get(w->window);
	p->credit = le64_get(w->credit);
}

static void cosign_answered(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct provider *p = arg;

	p->cosigning = false;
	if (verb == VERB_WINDOW)
		window_told(p, body, len);
	if (p->state == PROVIDER_CLOSING)
		close_settled(p);
	else if (p->state == PROVIDER_OPENING && timer_running(p->open_timer))
		timer_set(p->open_timer, 0); /* an unpaid receipt may have been what was missing */
}

/* A request while none is under way, so that a lost one is sent again soon; the provider repeats
 * its receipt anyway. */
static void send_cosign(struct provider *p, const struct receipt_offer *offer,
			const uint8_t signature[static SIGNATURE_LEN])
{
	struct body_cosign body = {.seq = offer->body.seq};

	memcpy(body.session, offer->body.session, SESSION_ID_LEN);
	memcpy(body.signature, signature, SIGNATURE_LEN);
	if (!p->cosigning)
		p->cosigning = control_client_request(p->control, VERB_COSIGN, &body, sizeof(body),
						      COSIGN_TIMEOUT_MS, cosign_answered, p);
	else
		control_client_post(p->control, VERB_COSIGN, &body, sizeof(body));
}

static void note_due(evutil_socket_t fd, short what, void *arg)
{
	struct provider *p = arg;

	(void)fd;
	(void)what;
	if (!p->judge.now.live)
		return;
	judge_note(&p->judge);
	if (p->state == PROVIDER_OPEN && p->window < WINDOW_DRY)
		presenting_grants(p->presenting, p->control);
	timer_set(p->note_timer, PROVIDER_NOTE_MS);
}

/* Keeps the evidence, and says to the provider that this one is not signed. Why it is not. */
static const char *dispute(struct provider *p, const struct receipt_offer *offer)
{
	struct body_dispute body = {.seq = offer->body.seq};
	struct wallet_count count;
	enum evidence_kind kind = judge_dispute(&p->judge, offer, &count);

	memcpy(body.session, offer->body.session, SESSION_ID_LEN);
	body.bytes_up = le64_of(count.up);
	body.bytes_down = le64_of(count.down);
	control_client_post(p->control, VERB_DISPUTE, &body, sizeof(body));
	log_debug("%s: receipt %llu claims %llu up %llu down, counted %llu up %llu down",
		  role_name(p), (unsigned long long)le64_get(offer->body.seq),
		  (unsigned long long)le64_get(offer->body.bytes_up),
		  (unsigned long long)le64_get(offer->body.bytes_down),
		  (unsigned long long)count.up, (unsigned long long)count.down);
	return evidence_kind_text(kind);
}

static void refuse(struct provider *p, const struct receipt_offer *offer)
{
	session_disputed(p, dispute(p, offer));
}

void provider_lost_count(struct provider *p)
{
	judge_lost(&p->judge);
}

/* Bytes of this session were counted by nobody: its receipt can be neither signed nor disputed, and
 * no later one can be signed without it. */
static void give_up(struct provider *p)
{
	struct body_close body = {.reason = le32_of(CLOSE_ASKED)};

	timer_stop(p->judge_timer);
	if (p->state != PROVIDER_OPEN)
		return;
	memcpy(body.session, p->judge.now.id, SESSION_ID_LEN);
	control_client_post(p->control, VERB_CLOSE, &body, sizeof(body));
	session_gone(p, "what it carried as the WireGuard device died is not known");
}

static void judge(struct provider *p, const struct receipt_offer *offer, bool patient)
{
	uint8_t signature[SIGNATURE_LEN];

	switch (judge_offer(&p->judge, offer, signature)) {
	case JUDGE_SIGN:
		timer_stop(p->judge_timer);
		send_cosign(p, offer, signature);
		return;
	case JUDGE_WAIT:
		if (patient)
			timer_set(p->judge_timer, PROVIDER_JUDGE_MS);
		else if (judge_find(&p->judge, offer->body.session)->lost)
			give_up(p);
		else
			refuse(p, offer);
		return;
	case JUDGE_REFUSE:
		refuse(p, offer);
		return;
	case JUDGE_IGNORE:
		timer_stop(p->judge_timer);
		return;
	}
}

static void judge_due(evutil_socket_t fd, short what, void *arg)
{
	struct provider *p = arg;
	struct receipt_offer offer = p->waiting;

	(void)fd;
	(void)what;
	judge(p, &offer, clock_ms() < p->waiting_until_ms);
}

/* Of a session that is over: what it proves is kept, and the one at hand goes on. A provider whose
 * backup was restored may have forgotten what it signed. */
static void old_receipt_came(struct provider *p, const struct receipt_offer *offer)
{
	uint8_t signature[SIGNATURE_LEN];
	enum judgement judgement;

	/* It may know the id of a session with another: that is nothing to talk about here. */
	if (memcmp(offer->body.provider, p->config.descriptor.body.node, KEY_LEN) != 0)
		return;
	judgement = judge_old(&p->judge, offer, signature);
	if (judgement == JUDGE_SIGN)
		send_cosign(p, offer, signature);
	else if (judgement == JUDGE_REFUSE)
		log_warnx("%s: %s, in an earlier session; see `culvert disputes`", role_name(p),
			  dispute(p, offer));
	else
		presenting_newer(p->presenting, p->control, offer);
}

static void receipt_came(struct provider *p, const uint8_t *body, size_t len)
{
	struct receipt_offer offer;

	if (len != sizeof(offer) || p->state == PROVIDER_DISPUTED || p->state == PROVIDER_CLOSED)
		return;
	memcpy(&offer, body, sizeof(offer));
	if (!judge_find(&p->judge, offer.body.session)) {
		old_receipt_came(p, &offer);
		return;
	}
	/* Repeated while it waits for packets in flight: its time is already running. */
	if (timer_running(p->judge_timer) && memcmp(&offer, &p->waiting, sizeof(offer)) == 0)
		return;
	p->waiting = offer;
	p->waiting_until_ms = clock_ms() + PROVIDER_PATIENCE_MS;
	judge(p, &offer, true);
}

/* ---- closing --------------------------------------------------------------------------------- */

static void close_finish(struct provider *p)
{
	judge_end(&p->judge);
	p->state = PROVIDER_CLOSED;
	timer_stop(p->close_timer);
	timer_stop(p->judge_timer);
	timer_stop(p->probe_timer);
	timer_set(p->event_timer, 0);
}

/* Through once the final totals are signed and the provider has heard it. */
static void close_settled(struct provider *p)
{
	const struct wallet_count *s = &p->judge.now.signed_;

	if (p->close_answered && !p->cosigning && s->up == p->close_totals.up &&
	    s->down == p->close_totals.down)
		close_finish(p);
}

static void close_answer(struct provider *p, const struct body_close *closed)
{
	p->close_answered = true;
	p->close_totals.up = le64_get(closed->bytes_up);
	p->close_totals.down = le64_get(closed->bytes_down);
	close_settled(p);
}

static void close_answered(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct provider *p = arg;

	if (p->state != PROVIDER_CLOSING)
		return;
	if (verb == VERB_CLOSED && len == sizeof(struct body_close))
		close_answer(p, (const struct body_close *)body);
	else
		close_finish(p);
}

static void close_due(evutil_socket_t fd, short what, void *arg)
{
	struct provider *p = arg;

	(void)fd;
	(void)what;
	log_debug("%s: left without its final receipt signed", role_name(p));
	close_finish(p);
}

void provider_close(struct provider *p)
{
	struct body_close body = {.reason = le32_of(CLOSE_ASKED)};

	timer_stop(p->open_timer);
	if (p->state != PROVIDER_OPEN) {
		if (p->state != PROVIDER_CLOSING)
			close_finish(p);
		return;
	}
	p->state = PROVIDER_CLOSING;
	timer_stop(p->probe_timer);
	timer_set(p->close_timer, PROVIDER_CLOSE_MS);
	memcpy(body.session, p->judge.now.id, SESSION_ID_LEN);
	if (!control_client_request(p->control, VERB_CLOSE, &body, sizeof(body), PROVIDER_CLOSE_MS,
				    close_answered, p))
		close_finish(p);
}

static void event_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	provider_tell(arg, PROVIDER_ENDED);
}

static void closed_came(struct provider *p, const uint8_t *body, size_t len)
{
	const struct body_close *closed = (const struct body_close *)body;

	if (len != sizeof(*closed) || memcmp(closed->session, p->judge.now.id, SESSION_ID_LEN) != 0)
		return;
	if (p->state == PROVIDER_CLOSING)
		close_answer(p, closed);
	else if (p->state == PROVIDER_OPEN && le32_get(closed->reason) == CLOSE_DISPUTE)
		session_disputed(p, "it ended the session over a dispute");
	else
		session_gone(p, close_text(le32_get(closed->reason)));
}

/* ---- the channel ----------------------------------------------------------------------------- */

static void control_send(void *arg, const void *msg, size_t len)
{
	struct provider *p = arg;

	p->ops->send(p->arg, p, msg, len);
}

static void control_handle(void *arg, uint8_t verb, uint32_t id, const uint8_t *body, size_t len)
{
	struct provider *p = arg;

	(void)id;
	if (verb == VERB_RECEIPT)
		receipt_came(p, body, len);
	else if (verb == VERB_WINDOW)
		window_told(p, body, len);
	else if (verb == VERB_CLOSED)
		closed_came(p, body, len);
	else if (verb == VERB_PASSED && p->ops->passed && len > sizeof(struct body_session) &&
		 memcmp(body, p->judge.now.id, SESSION_ID_LEN) == 0)
		p->ops->passed(p->arg, body + sizeof(struct body_session),
			       len - sizeof(struct body_session));
}

static void control_state(void *arg, bool up)
{
	struct provider *p = arg;

	if (up)
		presenting_channel(p->presenting);
	log_debug("%s: control channel %s", role_name(p), up ? "up" : "silent");
}

void provider_input(struct provider *p, const uint8_t *msg, size_t len)
{
	control_client_input(p->control, msg, len);
}

void provider_pass(struct provider *p, const void *msg, size_t len)
{
	uint8_t body[PASS_MAX + sizeof(struct body_session)];

	if (len > PASS_MAX - sizeof(struct body_session) ||
	    (p->state != PROVIDER_OPEN && p->state != PROVIDER_CLOSING))
		return;
	memcpy(body, p->judge.now.id, SESSION_ID_LEN);
	memcpy(body + SESSION_ID_LEN, msg, len);
	control_client_post(p->control, VERB_PASS, body, SESSION_ID_LEN + len);
}

struct provider *provider_create(struct event_base *base, const struct provider_config *config,
				 const struct provider_ops *ops, void *arg)
{
	static const struct control_client_ops control_ops = {
		.send = control_send,
		.handle = control_handle,
		.state = control_state,
	};
	static const struct presenting_ops presenting_ops = {presented, credited};
	struct provider *p = xcalloc(1, sizeof(*p));
	const struct presenting_config shows = {
		.wallet = config->wallet,
		.grants = config->grants,
		.payer = config->payer->id,
		.node = p->config.descriptor.body.node,
		.network = config->network,
	};

	p->config = *config;
	p->presenting = presenting_create(&shows, &presenting_ops, p);
	p->ops = ops;
	p->arg = arg;
	p->terms = *offered_terms(p, &config->descriptor);
	p->judge = (struct judge){
		.wallet = config->wallet, .payer = config->payer, .count = ops->count, .arg = arg};
	p->open_timer = timer_new(base, open_due, p);
	p->probe_timer = timer_new(base, probe_due, p);
	p->note_timer = timer_new(base, note_due, p);
	p->judge_timer = timer_new(base, judge_due, p);
	p->close_timer = timer_new(base, close_due, p);
	p->event_timer = timer_new(base, event_due, p);
	p->control =
		control_client_create(base, &p->config.control, config->descriptor.body.control,
				      config->network, &control_ops, p);
	return p;
}

void provider_destroy(struct provider *p)
{
	if (!p)
		return;
	control_client_destroy(p->control);
	presenting_destroy(p->presenting);
	event_free(p->open_timer);
	event_free(p->probe_timer);
	event_free(p->note_timer);
	event_free(p->judge_timer);
	event_free(p->close_timer);
	event_free(p->event_timer);
	crypto_wipe(p, sizeof(*p));
	free(p);
}

void provider_view(const struct provider *p, struct provider_view *view)
{
	const struct judge_session *s = &p->judge.now;
	bool dry = p->refused_credit || (p->state == PROVIDER_OPEN && p->window < WINDOW_DRY);

	*view = (struct provider_view){
		.state = p->state,
		.descriptor = p->config.descriptor,
		.has_session = p->opens > 0,
		.claimed = s->claimed,
		.signed_bytes = s->signed_.up + s->signed_.down,
		.window = p->window,
		.credit = p->credit,
		.out_of_credit = dry,
		.opens = p->opens,
		.age_ms = clock_ms() - p->opened_ms,
		.trouble = p->trouble || !dry ? p->trouble : refusal_text(REFUSED_CREDIT),
	};
	memcpy(view->session, s->id, SESSION_ID_LEN);
	judge_count(&p->judge, &view->counted);
}

const struct body_granted *provider_granted(const struct provider *p)
{
	return p->state == PROVIDER_OPEN && p->config.role == ROLE_RELAY ? &p->granted : NULL;
}

const struct body_peer *provider_peer(const struct provider *p)
{
	return p->state == PROVIDER_OPEN && p->config.role == ROLE_EXIT ? &p->peer : NULL;
}

enum presenting_said provider_said(const struct provider *p, const struct grant *g)
{
	return presenting_said(p->presenting, g);
}
