#include "accounting/batch_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/batch_totals.h"

struct hashed_terms {
	uint8_t hash[KEY_LEN];
	const struct terms *terms;
	bool used;
};

struct build {
	const struct batch_input *in;
	const struct receipt **receipts; /* in order, each once */
	size_t receipt_count;
	struct hashed_terms *terms;
	size_t term_count;
	struct batch_session *sessions;
	size_t session_count;
	struct batch_totals totals;
};

static int receipt_order(const void *a, const void *b)
{
	const struct receipt_body *x = &(*(const struct receipt *const *)a)->offer.body;
	const struct receipt_body *y = &(*(const struct receipt *const *)b)->offer.body;
	int order = memcmp(x->session, y->session, sizeof(x->session));
	uint64_t p = le64_get(x->seq), q = le64_get(y->seq);

	return order ? order : (p > q) - (p < q);
}

static int terms_order(const void *a, const void *b)
{
	const struct hashed_terms *x = a, *y = b;

	return memcmp(x->hash, y->hash, sizeof(x->hash));
}

static int session_order(const void *a, const void *b)
{
	const struct batch_session *x = a, *y = b;

	return memcmp(x->session, y->session, sizeof(x->session));
}

static int take_receipts(struct build *b)
{
	size_t n = b->in->receipt_count, kept = 0;

	b->receipts = calloc(n + 1, sizeof(struct receipt *));
	if (!b->receipts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		b->receipts[i] = &b->in->receipts[i];
	qsort(b->receipts, n, sizeof(struct receipt *), receipt_order);
	for (size_t i = 0; i < n; i++) {
		const struct receipt *r = b->receipts[i];
		const struct receipt *last = kept ? b->receipts[kept - 1] : NULL;

		if (!last || receipt_order(&last, &r) != 0)
			b->receipts[kept++] = r;
		else if (memcmp(last, r, sizeof(*r)) != 0)
			return -EEXIST;
	}
	b->receipt_count = kept;
	return 0;
}

/* Which of the same terms stays does not matter: they are the same bytes. */
static int take_terms(struct build *b)
{
	size_t n = b->in->term_count, kept = 0;

	b->terms = calloc(n + 1, sizeof(*b->terms));
	if (!b->terms)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		b->terms[i].terms = &b->in->terms[i];
		terms_hash(b->terms[i].hash, b->terms[i].terms);
	}
	qsort(b->terms, n, sizeof(*b->terms), terms_order);
	for (size_t i = 0; i < n; i++)
		if (!kept || terms_order(&b->terms[kept - 1], &b->terms[i]) != 0)
			b->terms[kept++] = b->terms[i];
	b->term_count = kept;
	return 0;
}

static int take_sessions(struct build *b)
{
	size_t n = b->in->session_count, kept = 0;

	b->sessions = calloc(n + 1, sizeof(*b->sessions));
	if (!b->sessions)
		return -ENOMEM;
	if (n)
		memcpy(b->sessions, b->in->sessions, n * sizeof(*b->sessions));
	for (size_t i = 0; i < n; i++)
		b->sessions[i].seq = le64_of(0); /* until a receipt is found */
	qsort(b->sessions, n, sizeof(*b->sessions), session_order);
	for (size_t i = 0; i < n; i++) {
		const struct batch_session *s = &b->sessions[i];

		if (!kept || session_order(&b->sessions[kept - 1], s) != 0)
			b->sessions[kept++] = *s;
		else if (memcmp(&b->sessions[kept - 1], s, sizeof(*s)) != 0)
			return -EEXIST;
	}
	b->session_count = kept;
	return 0;
}

/* Marks what the receipts need; sessions end up with the seq of their last one. */
static int match(struct build *b)
{
	struct batch_session *s = b->sessions, *end = b->sessions + b->session_count;

	for (size_t i = 0; i < b->receipt_count; i++) {
		const struct receipt_body *body = &b->receipts[i]->offer.body;
		struct hashed_terms key, *terms;

		while (s < end && memcmp(s->session, body->session, sizeof(s->session)) < 0)
			s++;
		if (s == end || memcmp(s->session, body->session, sizeof(s->session)) != 0)
			return -ENOENT;
		if (le64_get(body->seq) == 0)
			return -EINVAL;
		s->seq = body->seq;
		memcpy(key.hash, body->terms, KEY_LEN);
		terms = bsearch(&key, b->terms, b->term_count, sizeof(key), terms_order);
		if (!terms)
			return -ENOENT;
		terms->used = true;
	}
	return 0;
}

static bool is_last(const struct build *b, size_t i)
{
	return i + 1 == b->receipt_count ||
	       memcmp(b->receipts[i]->offer.body.session, b->receipts[i + 1]->offer.body.session,
		      SESSION_ID_LEN) != 0;
}

static void drop_unused(struct build *b)
{
	size_t terms = 0, sessions = 0;

	for (size_t i = 0; i < b->term_count; i++)
		if (b->terms[i].used)
			b->terms[terms++] = b->terms[i];
	for (size_t i = 0; i < b->session_count; i++)
		if (le64_get(b->sessions[i].seq))
			b->sessions[sessions++] = b->sessions[i];
	b->term_count = terms;
	b->session_count = sessions;
}

static int account_order(const void *a, const void *b)
{
	const struct batch_account *const *x = a, *const *y = b;

	return memcmp((*x)->key, (*y)->key, sizeof((*x)->key));
}

/* Totals before, each account once. */
static int take_accounts(struct build *b)
{
	const struct batch_account *last = NULL;
	size_t n = b->in->account_count;
	const struct batch_account **sorted = calloc(n + 1, sizeof(struct batch_account *));
	int err = sorted ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !err; i++)
		sorted[i] = &b->in->accounts[i];
	if (!err)
		qsort(sorted, n, sizeof(struct batch_account *), account_order);
	for (size_t i = 0; i < n && !err; i++) {
		const struct batch_account *a = sorted[i];
		struct batch_total t = {.earned = le64_get(a->earned), .spent = le64_get(a->spent)};

		memcpy(t.key, a->key, KEY_LEN);
		if (!last || account_order(&last, &a) != 0)
			err = batch_totals_add(&b->totals, &t);
		else if (memcmp(last, a, sizeof(*a)) != 0)
			err = -EEXIST;
		last = a;
	}
	free(sorted);
	return err;
}

static int add_epoch(struct build *b)
{
	size_t s = 0;

	for (size_t i = 0; i < b->receipt_count; i++) {
		const struct receipt_body *body = &b->receipts[i]->offer.body;
		const struct batch_session *session = &b->sessions[s];
		int err;

		if (!is_last(b, i))
			continue;
		if (le64_get(session->paid) > le64_get(body->amount) ||
		    le64_get(session->before) > le64_get(session->paid))
			return -EINVAL;
		err = batch_totals_add_session(&b->totals, session, b->in->values->node,
					       body->payer);
		if (err)
			return err;
		s++;
	}
	return batch_totals_sum(&b->totals);
}

static int write_records(struct batch *w, const struct build *b)
{
	int err = 0;

	for (size_t i = 0; i < b->term_count && !err; i++)
		err = batch_terms(w, b->terms[i].terms);
	for (size_t i = 0; i < b->session_count && !err; i++)
		err = batch_session(w, &b->sessions[i]);
	for (size_t i = 0; i < b->receipt_count && !err; i++)
		err = batch_receipt(w, b->receipts[i]);
	for (size_t i = 0; i < b->totals.count && !err; i++) {
		const struct batch_total *t = &b->totals.item[i];
		struct batch_account a;

		batch_account_make(&a, t->key, t->earned, t->spent);
		err = batch_account(w, &a);
	}
	return err;
}

static int write_all(uint8_t **bytes, size_t *len, const struct build *b, const struct identity *by)
{
	struct batch_head_values v = *b->in->values;
	struct batch_head head;
	struct batch *w = NULL;
	int err;

	if (b->receipt_count > UINT32_MAX || b->totals.count > UINT32_MAX)
		return -ERANGE; /* there are no more terms or sessions than receipts */
	v.terms = (uint32_t)b->term_count;
	v.sessions = (uint32_t)b->session_count;
	v.receipts = (uint32_t)b->receipt_count;
	v.accounts = (uint32_t)b->totals.count;
	*len = batch_length(&v);
	*bytes = malloc(*len);
	if (!*bytes)
		return -ENOMEM;
	err = batch_begin_memory(&w, &v, b->in->peaks, *bytes);
	if (!err)
		err = write_records(w, b);
	if (!err)
		err = batch_finish(w, by, &head);
	batch_free(w);
	if (err) {
		free(*bytes);
		*bytes = NULL;
	}
	return err;
}

int batch_build(uint8_t **bytes, size_t *len, const struct batch_input *in,
		const struct identity *by)
{
	struct build b = {.in = in};
	int err = take_receipts(&b);

	*bytes = NULL;
	*len = 0;
	if (!err)
		err = take_terms(&b);
	if (!err)
		err = take_sessions(&b);
	if (!err)
		err = match(&b);
	if (!err) {
		drop_unused(&b);
		err = take_accounts(&b);
	}
	if (!err)
		err = add_epoch(&b);
	if (!err)
		err = write_all(bytes, len, &b, by);
	free(b.receipts);
	free(b.terms);
	free(b.sessions);
	batch_totals_clear(&b.totals);
	return err;
}
