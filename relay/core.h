/*
 * What the parts of the relay role share on the main thread: one struct, and how they call each
 * other. relay.c owns it; open.c, rebind.c, billing.c, ending.c, stopping.c each have their verbs.
 */
#ifndef RELAY_CORE_H
#define RELAY_CORE_H

#include "control/crowd.h"
#include "proto/bind.h"
#include "relay/exits.h"
#include "relay/pass.h"
#include "relay/registry.h"
#include "relay/relay.h"

/*
 * A question to the ledger on its way: names its session by handle and serial, so an answer that
 * comes after the session went finds nothing. On the relay's list until answered.
 */
struct relay_call {
	struct relay_call *prev, *next;
	struct relay *relay;
	uint32_t handle, serial;
	uint8_t id[KEY_LEN]; /* a session's id or a payer's, where there may be no session */
	struct asker asker;
	uint64_t seq;
};

/* Called once all counters are fresh. */
struct relay_fresh {
	struct relay_fresh *next;
	void (*done)(void *arg);
	void *arg;
};

enum stop_stage {
	STOP_NOT,
	STOP_ENDING,  /* sessions are taken off their workers */
	STOP_SIGNING, /* all are; the last receipts may be signed */
	STOP_CLOSING, /* time is over: the ledger is told what there is */
	STOP_DONE,
};

/* The relay's end. */
struct stopping {
	enum stop_stage stage;
	struct event *event;
	const struct relay_session *at; /* the one ended or closed last */
	uint64_t until_ms;              /* for signatures */
	void (*done)(void *arg);
	void *arg;
};

enum {
	TICKS_PER_SECOND = 10, /* each looks after its part of the sessions */
};

struct relay {
	struct relay_config config;
	struct event_base *base;
	struct ledger *ledger;
	struct control_server *control;
	struct plane *plane;
	struct registry *registry;
	struct pass *pass;
	struct cap *cap; /* NULL without MonthlyCap */
	struct exits exits;
	struct crowd *crowd; /* of sessions */
	struct descriptor self;
	uint8_t terms[KEY_LEN]; /* hash of the terms on offer */
	struct bind_challenger challenger;
	struct event *tick;
	uint64_t ticks;
	struct relay_call *calls;
	void (*control_input)(void *arg, const struct control_path *from, const uint8_t *msg,
			      size_t len);
	void *control_input_arg;
	struct relay_status count; /* the counters of it; the rest is filled in when asked */
	uint64_t room_ms;          /* when room may be made for a newcomer again */
	uint32_t showing;          /* sessions that show a debt */
	uint32_t leaving;          /* sessions in PHASE_ENDING: a worker has the word */
	uint32_t closing;          /* ends the ledger was told of and has not answered */
	struct stopping stop;
	/* Somebody waits for fresh counters: how many sessions have not said theirs. */
	struct relay_fresh *fresh;
	uint32_t metering;
	struct event *fresh_event;
	/* Not all sessions are asked at one moment: the one that was asked last, while asking. */
	bool asking;
	struct relay_session *asked;
	struct event *ask_event;
};

/* ---- relay.c ---- */
/* A call about s (may be NULL), asked by a (may be NULL); and its end, which gives back its session
 * if that still is. */
struct relay_call *relay_call_begin(struct relay *r, const struct relay_session *s,
				    const struct asker *a);
struct relay_session *relay_call_session(const struct relay_call *c);
void relay_call_end(struct relay_call *c);

/* What is kept of an asker who is s's owner, and the asker again. */
struct question relay_question(const struct asker *a);
struct asker relay_asker(const struct relay_session *s, const struct question *q);

void relay_answer(struct relay *r, const struct asker *to, uint8_t verb, const void *body,
		  size_t len);
void relay_refuse(struct relay *r, const struct asker *to, enum refusal code);
uint32_t relay_refusal(int err);
static inline uint64_t session_total(const struct relay_session *s)
{
	return s->up + s->down;
}

/* Fresh counters came in, or will not come from there any more. */
void relay_metered(struct relay *r, struct relay_session *s);

/* ---- stopping.c ---- */
MUST_CHECK int stopping_create(struct relay *r);
void stopping_destroy(struct relay *r);
/* Something came to its end that a relay which stops may wait for; cheap. */
void stopping_check(struct relay *r);
/* All sessions have ended: none will ever use what another one leaves of their payer's window. */
static inline bool stopping_all_ended(const struct relay *r)
{
	return r->stop.stage >= STOP_SIGNING;
}

/* ---- open.c ---- */
void open_handle(struct relay *r, const struct asker *a, const struct body_open *open);

/* ---- rebind.c ---- */
/* A datagram of type 0x15..0x18 from the public port. */
void rebind_input(struct relay *r, unsigned worker, const struct net_addr *from, const uint8_t *msg,
		  size_t len);
void rebind_installed(struct relay *r, struct relay_session *s, bool ok);
void rebind_retired(struct relay *r, struct relay_session *s, const struct plane_session *last);
/* Takes the session off its worker; true if it is on none by now, else ending_off_worker follows.
 */
bool rebind_unbind(struct relay *r, struct relay_session *s);

/* ---- billing.c ---- */
/* Fresh counters of a session from its worker. */
void billing_counted(struct relay *r, struct relay_session *s, uint64_t up, uint64_t down);
/* Issues a receipt if one is due and none is outstanding. */
void billing_consider(struct relay *r, struct relay_session *s);
/* Makes the final counters known to the ledger, and issues the last receipt over them once none is
 * outstanding. */
void billing_final(struct relay *r, struct relay_session *s);
/* Splits the payer's window anew and tells the workers. */
void billing_share(struct relay *r, struct relay_payer *payer);
/* The limit and mark for the session's worker. */
uint64_t billing_mark(const struct relay_session *s);
/* Shows no debt any more. */
void billing_drop_debt(struct relay *r, struct relay_session *s);
/* Where a payer stands, as the ledger has just said. */
void billing_stands(struct relay *r, struct relay_payer *payer, const struct ledger_payer *now);
/* Asks it; when the answer comes, s (may be NULL) leaves the shares: the ledger counts its debt. */
void billing_ask(struct relay *r, struct relay_payer *payer, struct relay_session *s);
/* True if it was bound and its window is used up but for less than a datagram. */
bool billing_held(const struct relay_session *s);
/* Looks for a receipt of an ended session of s's payer, and shows it to s's owner. */
void billing_debt(struct relay *r, struct relay_session *s);
/* Once a second: fresh counters, receipts due by time, and those unsigned shown again. */
void billing_tick(struct relay *r, struct relay_session *s, uint64_t now_ms);
void billing_cosign(struct relay *r, struct relay_session *s, const struct asker *a,
		    const struct body_cosign *cosign);
void billing_dispute(struct relay *r, struct relay_session *s, const struct asker *a,
		     const struct body_dispute *dispute);
/* The owner's session that shows receipt `id` as a debt, or NULL. */
struct relay_session *billing_debt_holder(struct relay *r, const uint8_t *owner, const uint8_t *id);

/* ---- ending.c ---- */
/* Ends a session; a (may be NULL) is told CLOSED, otherwise the owner is, unasked. */
void ending_begin(struct relay *r, struct relay_session *s, enum close_reason reason,
		  const struct asker *a);
/* It is on no worker any more: its counters are final. */
void ending_off_worker(struct relay *r, struct relay_session *s);
/* A word of the ledger came in, or a signature: is all said? */
void ending_check(struct relay *r, struct relay_session *s);
/* Tells the ledger that an ended session is over, signed or not; it is forgotten soon after. */
void ending_close(struct relay *r, struct relay_session *s);
/* Drops it from every table. */
void ending_forget(struct relay *r, struct relay_session *s);
/* Once a second. */
void ending_tick(struct relay *r, struct relay_session *s, uint64_t now_ms);

#endif
