/*
 * What a client shows for its payer: grants of issuers, and receipts the books may have lost. Both
 * roles share one ledger, so it is the node that answers. Who may ask is anybody with a channel:
 * what is not ours, or not valid, is seen here, before anything is allocated or the ledger is
 * asked, and a client whose signatures are wrong is not listened to for the rest of a second.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "node/node.h"

enum {
	SHARE_MS = 1000,
	SHARE_MAX = 50, /* in that time: a payer with a long history is through it soon enough */
};

struct presented {
	struct presented *prev, *next;
	struct node *node;
	struct control_caller caller;
	uint32_t id;
	uint8_t payer[KEY_LEN];
	uint8_t session[SESSION_ID_LEN];
};

static struct presented *presented_begin(struct node *n, const struct control_caller *caller,
					 uint32_t id)
{
	struct presented *p = xcalloc(1, sizeof(*p));

	p->node = n;
	p->caller = *caller;
	p->id = id;
	p->next = n->presented;
	if (p->next)
		p->next->prev = p;
	n->presented = p;
	return p;
}

static void presented_free(struct presented *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		p->node->presented = p->next;
	if (p->next)
		p->next->prev = p->prev;
	free(p);
}

void presented_end(struct node *n)
{
	while (n->presented)
		presented_free(n->presented);
}

/* ---- shares ---- */

/* Keys are free to make: two that take turns in one place have its share together, and nobody can
 * choose whose place to take. Who is in one with a forger has another in a second. */
static uint8_t *share_of(struct node *n, const uint8_t client[static KEY_LEN])
{
	struct presented_shares *s = &n->shares;
	uint64_t now = clock_ms();

	if (now - s->since_ms >= SHARE_MS) {
		memset(s->used, 0, sizeof(s->used));
		crypto_random(&s->hash, sizeof(s->hash));
		s->since_ms = now;
	}
	return &s->used[siphash(&s->hash, client, KEY_LEN) % NODE_SHARES];
}

/* ---- answers ---- */

static void answer(const struct presented *p, uint8_t verb, const void *body, size_t len)
{
	control_server_reply(p->node->control, &p->caller, verb, p->id, body, len);
}

static void refuse(const struct presented *p, enum refusal code)
{
	struct body_refused body = {.code = le32_of(code)};

	answer(p, VERB_REFUSED, &body, sizeof(body));
}

static bool passing(int err)
{
	return ledger_error_passes(err) || err == -EAGAIN;
}

/* What a payer can spend has changed: who is held may go on. */
static void payer_changed(struct node *n, const uint8_t payer[static KEY_LEN])
{
	if (n->relay)
		relay_payer_changed(n->relay, payer);
	if (n->exit)
		exit_payer_changed(n->exit, payer);
}

static void took_promise(void *arg, int err, const struct ledger_promised *promised)
{
	struct presented *p = arg;
	struct body_credit body;

	if (err) {
		refuse(p, passing(err) ? REFUSED_BUSY : REFUSED_GRANT);
	} else {
		body = (struct body_credit){
			.credit = le64_of(promised->payer.credit),
			.status = le32_of(promised->known ? CREDIT_KNOWN : CREDIT_TAKEN),
		};
		answer(p, VERB_CREDIT, &body, sizeof(body));
		if (!promised->known)
			payer_changed(p->node, p->payer);
	}
	presented_free(p);
}

static void took_receipt(void *arg, int err, const struct ledger_adopted *adopted)
{
	struct presented *p = arg;
	struct body_head body;

	if (err) {
		refuse(p, passing(err) ? REFUSED_BUSY : REFUSED_SIGNATURE);
	} else if (adopted->frozen) {
		refuse(p, REFUSED_FROZEN);
	} else {
		body = (struct body_head){
			.seq = le64_of(adopted->seq),
			.news = le32_of(adopted->news),
		};
		memcpy(body.session, p->session, SESSION_ID_LEN);
		answer(p, VERB_HEAD, &body, sizeof(body));
		if (adopted->news)
			payer_changed(p->node, p->payer);
	}
	presented_free(p);
}

/* ---- questions ---- */

enum judgement {
	JUDGED_FINE,
	JUDGED_FOREIGN, /* seen without a look at a signature */
	JUDGED_FORGED,
};

static bool issuer_named(const struct node *n, const uint8_t issuer[static KEY_LEN])
{
	for (size_t i = 0; i < n->config.issuer_count; i++)
		if (memcmp(n->config.issuers[i], issuer, KEY_LEN) == 0)
			return true;
	return false;
}

/* One that was taken in its time is answered as such for good: expiry is for the ledger to judge.
 */
static enum judgement judge_grant(const struct node *n, const struct grant *g)
{
	if (memcmp(g->body.relay, n->identity.descriptor.body.node, KEY_LEN) != 0 ||
	    le64_get(g->body.network) != n->config.network || !issuer_named(n, g->body.issuer))
		return JUDGED_FOREIGN;
	return grant_check(g, n->config.network, 0) == GRANT_OK ? JUDGED_FINE : JUDGED_FORGED;
}

static enum judgement judge_held(const struct node *n, const struct body_held *h)
{
	const struct receipt_body *b = &h->receipt.offer.body;

	if (memcmp(b->provider, n->identity.descriptor.body.node, KEY_LEN) != 0 ||
	    le64_get(b->network) != n->config.network)
		return JUDGED_FOREIGN;
	return terms_valid(&h->terms) && receipt_check(&h->receipt, &h->terms) == RECEIPT_OK
		       ? JUDGED_FINE
		       : JUDGED_FORGED;
}

static void ask_promise(struct presented *p, const struct grant *g)
{
	memcpy(p->payer, g->body.payer, KEY_LEN);
	ledger_promise(p->node->ledger, g, took_promise, p);
}

static void ask_adopt(struct presented *p, const struct body_held *h)
{
	memcpy(p->payer, h->receipt.offer.body.payer, KEY_LEN);
	memcpy(p->session, h->receipt.offer.body.session, SESSION_ID_LEN);
	ledger_adopt(p->node->ledger, h, took_receipt, p);
}

void presented_handle(struct node *n, const struct control_caller *caller, uint8_t verb,
		      uint32_t id, const uint8_t *body)
{
	const struct presented asker = {.node = n, .caller = *caller, .id = id};
	uint8_t *used = share_of(n, caller->client);
	bool grant = verb == VERB_GRANT;
	enum judgement judgement;

	if (*used >= SHARE_MAX)
		return; /* it asks again, and then there is room */
	++*used;
	judgement = grant ? judge_grant(n, (const void *)body) : judge_held(n, (const void *)body);
	if (judgement == JUDGED_FORGED)
		*used = SHARE_MAX;
	if (judgement != JUDGED_FINE)
		refuse(&asker, grant ? REFUSED_GRANT : REFUSED_SIGNATURE);
	else if (grant)
		ask_promise(presented_begin(n, caller, id), (const void *)body);
	else
		ask_adopt(presented_begin(n, caller, id), (const void *)body);
}
