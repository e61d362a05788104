#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/batch_check.h"
#include "proto/receipt.h"

#define PPM 1000000

/* The record that was read last. */
static int refuse(struct batch_check *k, enum batch_kind kind, enum batch_reason reason,
		  const char *why)
{
	*k->fault = (struct batch_fault){.reason = reason,
					 .why = why,
					 .what = batch_record_name(kind),
					 .number = k->read,
					 .offset = k->file.offset};
	return -EBADMSG;
}

/* Record number n (from 0) of a kind that was read to its end. */
static int refuse_earlier(struct batch_check *k, enum batch_kind kind, uint64_t n,
			  enum batch_reason reason, const char *why)
{
	uint64_t offset = sizeof(struct batch_head);

	for (int i = 0; i < (int)kind; i++)
		offset += k->file.count[i] * batch_record_len((enum batch_kind)i);
	*k->fault = (struct batch_fault){.reason = reason,
					 .why = why,
					 .what = batch_record_name(kind),
					 .number = n + 1,
					 .offset = offset + n * batch_record_len(kind)};
	return -EBADMSG;
}

static int next_record(struct batch_check *k, void *record, size_t len)
{
	uint8_t leaf[KEY_LEN];
	int err = batch_file_read(&k->file, record, len);

	if (err)
		return err;
	merkle_leaf(leaf, record, len);
	merkle_append(&k->tree, leaf, NULL);
	k->read++;
	return 0;
}

static int terms_order(const void *a, const void *b)
{
	const struct batch_listed *x = a, *y = b;

	return memcmp(x->hash, y->hash, sizeof(x->hash));
}

static int judge_terms(struct batch_check *k, const struct batch_listed *t,
		       const struct batch_listed *last)
{
	const struct batch_head_body *h = &k->file.head.body;
	const struct terms_body *b = &t->terms.body;

	if (last && terms_order(last, t) >= 0)
		return refuse(k, BATCH_TERMS, BATCH_BAD_ORDER,
			      "its hash is not above that of the terms before");
	if (memcmp(b->provider, h->node, KEY_LEN) != 0)
		return refuse(k, BATCH_TERMS, BATCH_BAD_TERMS, "they are another node's");
	if (memcmp(&b->network, &h->network, sizeof(h->network)) != 0)
		return refuse(k, BATCH_TERMS, BATCH_BAD_TERMS, "they are of another network");
	if (!terms_valid(&t->terms))
		return refuse(k, BATCH_TERMS, BATCH_BAD_TERMS,
			      "they are malformed or not signed by the node");
	return 0;
}

static int read_terms(struct batch_check *k)
{
	uint32_t n = k->file.count[BATCH_TERMS];
	int err = 0;

	k->read = 0;
	k->terms = calloc((size_t)n + 1, sizeof(*k->terms));
	if (!k->terms)
		return -ENOMEM;
	for (uint32_t i = 0; i < n && !err; i++) {
		struct batch_listed *t = &k->terms[i];

		err = next_record(k, &t->terms, sizeof(t->terms));
		if (err)
			break;
		terms_hash(t->hash, &t->terms);
		err = judge_terms(k, t, i ? t - 1 : NULL);
	}
	return err;
}

int batch_settled_order(const void *a, const void *b)
{
	const struct batch_settled *x = a, *y = b;

	return memcmp(x->session.session, y->session.session, SESSION_ID_LEN);
}

/* What the chain knows of a session, or NULL. */
static const struct batch_settled *find_known(const struct batch_chain *c,
					      const struct batch_settled *s)
{
	if (c->known_count == 0)
		return NULL;
	return bsearch(s, c->known, c->known_count, sizeof(*s), batch_settled_order);
}

static int judge_session(struct batch_check *k, const struct batch_settled *s,
			 const struct batch_settled *last)
{
	const struct batch_session *b = &s->session;
	uint32_t ppm = le32_get(b->fee_ppm);

	if (memcmp(b->domain, DOMAIN_SETTLED, DOMAIN_LEN) != 0 ||
	    !crypto_is_zero(b->zero, sizeof(b->zero)))
		return refuse(k, BATCH_SESSIONS, BATCH_BAD_SESSION, "this is no session's record");
	if (ppm > PPM || (ppm == 0) != crypto_is_zero(b->fee_account, KEY_LEN))
		return refuse(k, BATCH_SESSIONS, BATCH_BAD_SESSION,
			      "the fee is above the whole, or it and its account are not both "
			      "there");
	if (last && batch_settled_order(last, s) >= 0)
		return refuse(k, BATCH_SESSIONS, BATCH_BAD_ORDER,
			      "its id is not above that of the session before");
	if (le64_get(b->before) > le64_get(b->paid))
		return refuse(k, BATCH_SESSIONS, BATCH_BAD_PAID,
			      "less is paid than was paid before");
	return 0;
}

/* Against the session's record in an earlier file. */
static int judge_known(struct batch_check *k, const struct batch_settled *s)
{
	const struct batch_settled *old = find_known(k->chain, s);
	uint64_t before = le64_get(s->session.before);

	if (!old) {
		if (before && k->since == 1)
			return refuse(k, BATCH_SESSIONS, BATCH_BAD_PAID,
				      "something was paid before, but no epoch has the session");
		return 0;
	}
	if (memcmp(&s->session.fee_ppm, &old->session.fee_ppm, sizeof(le32)) != 0 ||
	    memcmp(s->session.fee_account, old->session.fee_account, KEY_LEN) != 0)
		return refuse(k, BATCH_SESSIONS, BATCH_BAD_SESSION,
			      "its fee is not that of an earlier epoch");
	if (before < le64_get(old->session.paid) ||
	    (before > le64_get(old->session.paid) && old->epoch >= k->since))
		return refuse(k, BATCH_SESSIONS, BATCH_BAD_PAID,
			      "what was paid before is not what the earlier epoch says");
	return 0;
}

static int read_sessions(struct batch_check *k)
{
	uint32_t n = k->file.count[BATCH_SESSIONS];
	int err = 0;

	k->read = 0;
	k->sessions = calloc((size_t)n + 1, sizeof(*k->sessions));
	if (!k->sessions)
		return -ENOMEM;
	for (uint32_t i = 0; i < n && !err; i++) {
		struct batch_settled *s = &k->sessions[i];

		err = next_record(k, &s->session, sizeof(s->session));
		if (!err)
			err = judge_session(k, s, i ? s - 1 : NULL);
		if (!err)
			err = judge_known(k, s);
	}
	return err;
}

static struct batch_listed *find_terms(const struct batch_check *k,
				       const uint8_t hash[static KEY_LEN])
{
	struct batch_listed key;

	memcpy(key.hash, hash, KEY_LEN);
	return bsearch(&key, k->terms, k->file.count[BATCH_TERMS], sizeof(key), terms_order);
}

/* Moves on to the session of this receipt; both are sorted by it. */
static int find_session(struct batch_check *k, const struct receipt_body *b)
{
	uint32_t n = k->file.count[BATCH_SESSIONS];

	while (k->at < n &&
	       memcmp(k->sessions[k->at].session.session, b->session, SESSION_ID_LEN) < 0)
		k->at++;
	if (k->at == n ||
	    memcmp(k->sessions[k->at].session.session, b->session, SESSION_ID_LEN) != 0)
		return refuse(k, BATCH_RECEIPTS, BATCH_BAD_SESSION,
			      "its session has no record in this file");
	return 0;
}

static int judge_receipt(struct batch_check *k, const struct receipt *r, struct batch_settled *s)
{
	struct batch_listed *t = find_terms(k, r->offer.body.terms);
	const struct batch_settled *old = s->seen ? s : find_known(k->chain, s);
	enum receipt_verdict v;

	if (!t)
		return refuse(k, BATCH_RECEIPTS, BATCH_BAD_TERMS, "its terms are not in this file");
	t->used = true;
	v = receipt_check(r, &t->terms);
	if (v != RECEIPT_OK)
		return refuse(k, BATCH_RECEIPTS, BATCH_BAD_RECEIPT, receipt_verdict_text(v));
	if (old && receipt_check_later(&old->last, &r->offer) != RECEIPT_OK)
		return refuse(k, BATCH_RECEIPTS, BATCH_BAD_CHAIN,
			      "it does not follow the receipt of its session before it");
	s->last = r->offer;
	s->seen = true;
	return 0;
}

static int receipt_order(const struct receipt_body *a, const struct receipt_body *b)
{
	int order = memcmp(a->session, b->session, SESSION_ID_LEN);
	uint64_t p = le64_get(a->seq), q = le64_get(b->seq);

	return order ? order : (p > q) - (p < q);
}

/* With all receipts read: against the session's last one. */
static int judge_end(struct batch_check *k, const struct batch_settled *s)
{
	const struct batch_session *b = &s->session;
	const struct receipt_body *last = &s->last.body;
	uint64_t n = (uint64_t)(s - k->sessions);

	if (!s->seen)
		return refuse_earlier(k, BATCH_SESSIONS, n, BATCH_UNUSED,
				      "the session has no receipt in this file");
	if (memcmp(&b->seq, &last->seq, sizeof(le64)) != 0)
		return refuse_earlier(k, BATCH_SESSIONS, n, BATCH_BAD_SESSION,
				      "its number is not that of its last receipt");
	if (le64_get(b->paid) > le64_get(last->amount))
		return refuse_earlier(k, BATCH_SESSIONS, n, BATCH_BAD_PAID,
				      "more is paid than its last receipt comes to");
	return batch_totals_add_session(&k->totals, b, k->file.head.body.node, last->payer);
}

static int judge_ends(struct batch_check *k)
{
	int err = 0;

	for (uint32_t i = 0; i < k->file.count[BATCH_SESSIONS] && !err; i++)
		err = judge_end(k, &k->sessions[i]);
	for (uint32_t i = 0; i < k->file.count[BATCH_TERMS] && !err; i++)
		if (!k->terms[i].used)
			return refuse_earlier(k, BATCH_TERMS, i, BATCH_UNUSED,
					      "no receipt in this file has these terms");
	return err;
}

static int read_receipts(struct batch_check *k)
{
	struct receipt r, last;
	int err = 0;

	k->read = 0;
	for (uint32_t i = 0; i < k->file.count[BATCH_RECEIPTS] && !err; i++) {
		err = next_record(k, &r, sizeof(r));
		if (err)
			return err;
		if (i && receipt_order(&last.offer.body, &r.offer.body) >= 0)
			return refuse(k, BATCH_RECEIPTS, BATCH_BAD_ORDER,
				      "its session and number are not above those of the receipt "
				      "before");
		err = find_session(k, &r.offer.body);
		if (!err)
			err = judge_receipt(k, &r, &k->sessions[k->at]);
		last = r;
	}
	return err;
}

/* ---- totals ---- */

/* Totals before, on top of what this epoch moved. */
static int expect_totals(struct batch_check *k)
{
	int err = 0;

	for (size_t i = 0; i < k->chain->totals.count && !err; i++)
		err = batch_totals_add(&k->totals, &k->chain->totals.item[i]);
	if (!err)
		err = batch_totals_sum(&k->totals);
	if (err == -ERANGE)
		return batch_refuse(k->fault, BATCH_BAD_TOTALS, k->file.next,
				    "an account's totals do not fit 64 bits");
	return err;
}

static int judge_account(struct batch_check *k, const struct batch_account *a,
			 const struct batch_account *last)
{
	if (memcmp(a->domain, DOMAIN_ACCOUNT, DOMAIN_LEN) != 0)
		return refuse(k, BATCH_ACCOUNTS, BATCH_BAD_ACCOUNT, "this is no account's record");
	if (le64_get(a->earned) == 0 && le64_get(a->spent) == 0)
		return refuse(k, BATCH_ACCOUNTS, BATCH_BAD_ACCOUNT,
			      "an account that neither earned nor spent has no record");
	if (last && memcmp(last->key, a->key, KEY_LEN) >= 0)
		return refuse(k, BATCH_ACCOUNTS, BATCH_BAD_ORDER,
			      "its key is not above that of the account before");
	return 0;
}

static int read_accounts(struct batch_check *k, struct batch_totals *after)
{
	struct batch_account a, last;
	int err = 0;

	k->read = 0;
	for (uint32_t i = 0; i < k->file.count[BATCH_ACCOUNTS] && !err; i++) {
		struct batch_total t = {.earned = 0};

		err = next_record(k, &a, sizeof(a));
		if (!err)
			err = judge_account(k, &a, i ? &last : NULL);
		if (err)
			return err;
		memcpy(t.key, a.key, KEY_LEN);
		t.earned = le64_get(a.earned);
		t.spent = le64_get(a.spent);
		k->earned += t.earned;
		k->spent += t.spent;
		err = batch_totals_add(after, &t);
		last = a;
	}
	return err;
}

static int refuse_totals(struct batch_check *k, size_t account, const char *why)
{
	if (account == k->file.count[BATCH_ACCOUNTS])
		return batch_refuse(k->fault, BATCH_BAD_TOTALS, k->file.end, why);
	return refuse_earlier(k, BATCH_ACCOUNTS, account, BATCH_BAD_TOTALS, why);
}

/* have: what the file says of the account that want is expected of. */
static bool totals_hold(const struct batch_check *k, const struct batch_total *have,
			const struct batch_total *want)
{
	if (k->exact)
		return have->earned == want->earned && have->spent == want->spent;
	return have->earned >= want->earned && have->spent >= want->spent;
}

static const struct batch_total *total_at(const struct batch_totals *t, size_t i)
{
	return i < t->count ? &t->item[i] : NULL;
}

/* Both are sorted by key. */
static int judge_totals(struct batch_check *k, const struct batch_totals *after)
{
	size_t i = 0, j = 0;

	while (i < after->count || j < k->totals.count) {
		const struct batch_total *have = total_at(after, i);
		const struct batch_total *want = total_at(&k->totals, j);
		int order = !have ? 1 : !want ? -1 : memcmp(have->key, want->key, KEY_LEN);

		if (order > 0)
			return refuse_totals(k, i,
					     "an account that earned or spent has no record "
					     "before here");
		if (order < 0 && k->exact)
			return refuse_totals(k, i, "nothing that was settled moved this account");
		if (order == 0 && !totals_hold(k, have, want))
			return refuse_totals(k, i,
					     k->exact ? "its totals are not those before and what "
							"this epoch moved"
						      : "its totals are below those before and "
							"what this epoch moved");
		i++;
		j += order == 0;
	}
	return 0;
}

/* ---- all of it ---- */

int batch_check_records(struct batch_check *k, struct batch_totals *after)
{
	int err = read_terms(k);

	if (!err)
		err = read_sessions(k);
	if (!err)
		err = read_receipts(k);
	if (!err)
		err = judge_ends(k);
	if (!err)
		err = read_accounts(k, after);
	if (!err)
		err = expect_totals(k);
	return err ? err : judge_totals(k, after);
}
