#include "tests/fault/facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/batch_verify.h"
#include "accounting/ledger_message.h"
#include "accounting/rows.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "tests/lib/books.h"

enum {
	ASKED = 256, /* requests under way at once: more than any scenario has */
};

static struct ledger_request asked[ASKED];

/* ---- out of the messages ---- */

static struct fact *fact_add(struct facts *f, size_t index, enum fact_kind kind)
{
	struct fact *more = xcalloc(f->count + 1, sizeof(*more));

	if (f->count)
		memcpy(more, f->fact, f->count * sizeof(*more));
	free(f->fact);
	f->fact = more;
	more = &f->fact[f->count++];
	more->kind = kind;
	more->record = index;
	return more;
}

static void fact_of_answer(struct facts *f, size_t index, const struct ledger_request *q,
			   const struct ledger_answer *a)
{
	struct fact *fact;

	switch ((enum ledger_kind)a->kind) {
	case LEDGER_ISSUE:
	case LEDGER_UNPAID:
		fact = fact_add(f, index, FACT_SHOWN);
		fact->offer = a->offer;
		memcpy(fact->session, a->offer.body.session, SESSION_ID_LEN);
		fact->seq = le64_get(a->offer.body.seq);
		break;
	case LEDGER_COSIGN:
		fact = fact_add(f, index, FACT_SIGNED);
		memcpy(fact->session, q->session, SESSION_ID_LEN);
		memcpy(fact->signature, q->signature, SIGNATURE_LEN);
		fact->seq = q->seq;
		break;
	case LEDGER_GRANT:
		fact = fact_add(f, index, FACT_GRANTED);
		memcpy(fact->key, q->key, NONCE_LEN);
		break;
	case LEDGER_CLOSE:
		fact = fact_add(f, index, FACT_CLOSED);
		memcpy(fact->session, q->session, SESSION_ID_LEN);
		fact->up = q->up;
		fact->down = q->down;
		break;
	case LEDGER_SETTLE:
		fact = fact_add(f, index, FACT_SETTLED);
		fact->seq = a->settled.epoch;
		break;
	case LEDGER_CARRY:
		fact = fact_add(f, index, FACT_BOOKED);
		fact->seq = q->carry.month;
		fact->up = a->carried.total;
		break;
	case LEDGER_READY:
		fact_add(f, index, FACT_READY);
		break;
	default:
		break;
	}
}

void facts_message(struct facts *f, size_t index, const struct trace_record *r, const void *data)
{
	static struct ledger_answer a;
	struct ledger_request q;

	if (r->kind == TRACE_RECV && r->length == sizeof(q)) {
		memcpy(&q, data, sizeof(q));
		asked[(uint32_t)q.id % ASKED] = q;
	}
	if (r->kind != TRACE_SEND || r->length > sizeof(a))
		return;
	memcpy(&a, data, r->length);
	if (a.err == 0)
		fact_of_answer(f, index, &asked[(uint32_t)a.id % ASKED], &a);
}

void facts_free(struct facts *f)
{
	free(f->fact);
	*f = (struct facts){0};
}

/* ---- against the books ---- */

/* The receipt with a fact's number, signed. */
static bool receipt_of(struct store *s, const struct fact *f, struct receipt *out)
{
	struct db_stmt *q = db_prepare(s->db, "SELECT r.body FROM receipt r JOIN session s ON "
					      "s.id = r.session WHERE s.key = ? AND r.seq = ?");
	bool found;

	db_bind_blob(q, f->session, SESSION_ID_LEN);
	db_bind_u64(q, f->seq);
	found = db_step(q) == 1 && db_col_blob(q, out, sizeof(*out));
	db_done(q);
	return found;
}

static bool shown_is_there(struct store *s, const struct fact *f)
{
	struct db_stmt *q = db_prepare(s->db, "SELECT offer FROM session WHERE key = ?");
	struct receipt_offer offer;
	struct receipt r;
	bool same;

	if (receipt_of(s, f, &r))
		return memcmp(&r.offer, &f->offer, sizeof(r.offer)) == 0;
	db_bind_blob(q, f->session, SESSION_ID_LEN);
	same = db_step(q) == 1 && db_col_blob(q, &offer, sizeof(offer)) &&
	       memcmp(&offer, &f->offer, sizeof(offer)) == 0;
	db_done(q);
	return same;
}

static bool grant_is_there(struct store *s, const struct fact *f)
{
	struct db_stmt *q = db_prepare(s->db, "SELECT 1 FROM txn WHERE key = ?");
	char hex[2 * NONCE_LEN + 1], key[64];
	bool found;

	snprintf(key, sizeof(key), "grant:%s", text_hex(hex, f->key, NONCE_LEN));
	db_bind_text(q, key);
	found = db_step(q) == 1;
	db_done(q);
	return found;
}

static bool close_is_there(struct store *s, const struct fact *f)
{
	struct db_stmt *q = db_prepare(s->db, "SELECT 1 FROM session WHERE key = ? AND (state = 1 "
					      "OR (final_up >= ? AND final_down >= ?))");
	bool found;

	/* One that was closed already, with all signed, takes no more. */
	if (!f->up && !f->down)
		return true;
	db_bind_blob(q, f->session, SESSION_ID_LEN);
	db_bind_u64(q, f->up);
	db_bind_u64(q, f->down);
	found = db_step(q) == 1;
	db_done(q);
	return found;
}

static bool booked_is_there(struct store *s, const struct fact *f)
{
	struct db_stmt *q =
		db_prepare(s->db, "SELECT 1 FROM carried WHERE month = ? AND bytes >= ?");
	bool found;

	db_bind_u64(q, f->seq);
	db_bind_u64(q, f->up);
	found = db_step(q) == 1;
	db_done(q);
	return found;
}

static bool fact_is_there(struct store *s, const struct fact *f)
{
	struct receipt r;
	int64_t last;

	switch (f->kind) {
	case FACT_SHOWN:
		return shown_is_there(s, f);
	case FACT_SIGNED:
		return receipt_of(s, f, &r) &&
		       memcmp(r.payer_signature, f->signature, SIGNATURE_LEN) == 0;
	case FACT_GRANTED:
		return grant_is_there(s, f);
	case FACT_CLOSED:
		return close_is_there(s, f);
	case FACT_SETTLED:
		return db_get_i64(s->db, "SELECT max(id) FROM epoch", &last) == 0 &&
		       last >= (int64_t)f->seq;
	case FACT_BOOKED:
		return booked_is_there(s, f);
	case FACT_READY:
		return true;
	}
	return false;
}

size_t facts_missing(struct store *s, const struct facts *f, size_t count)
{
	static const char *const what[] = {
		"an offer shown", "a co-signature acknowledged", "a grant",  "the end of a session",
		"an epoch",       "what a month may carry",      "readiness"};
	size_t missing = 0;

	for (size_t i = 0; i < count; i++) {
		if (fact_is_there(s, &f->fact[i]))
			continue;
		if (missing++ == 0)
			fprintf(stderr, "lost: %s, record %zu, seq %lu\n", what[f->fact[i].kind],
				f->fact[i].record, (unsigned long)f->fact[i].seq);
	}
	return missing;
}

static const char *const always_zero[] = {
	"SELECT count(*) FROM pragma_foreign_key_check",
	"SELECT count(*) FROM (SELECT 1 FROM entry GROUP BY txn HAVING sum(amount) <> 0)",
	"SELECT count(*) FROM account a WHERE balance <> (SELECT coalesce(sum(amount), 0) "
	"FROM entry e WHERE e.account = a.id)",
	"SELECT coalesce(sum(balance), 0) FROM account",
	"SELECT count(*) FROM account WHERE balance < 0 AND kind <> 0",
	"SELECT count(*) FROM session WHERE posted > amount",
	"SELECT count(*) FROM session s WHERE seq <> (SELECT count(*) FROM receipt WHERE "
	"session = s.id) OR seq <> (SELECT coalesce(max(seq), 0) FROM receipt WHERE session = "
	"s.id)",
	/* No byte twice. */
	"SELECT count(*) FROM payer p WHERE bytes <> (SELECT coalesce(sum(up + down), 0) FROM "
	"session WHERE payer = p.key)",
};

static int check_sums(struct store *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(always_zero); i++) {
		int64_t n = -1;

		if (db_get_i64(s->db, always_zero[i], &n) == 0 && n == 0)
			continue;
		fprintf(stderr, "%ld: %s\n", (long)n, always_zero[i]);
		return -EINVAL;
	}
	return 0;
}

static int check_pages(struct store *s)
{
	struct db_stmt *q = db_prepare(s->db, "PRAGMA integrity_check");
	bool ok = db_step(q) == 1 && strcmp(db_col_text(q), "ok") == 0;

	db_done(q);
	if (!ok)
		fprintf(stderr, "integrity_check is not ok\n");
	return ok ? 0 : -EINVAL;
}

/* Signs what the payer left unsigned, as it would on coming back. */
static int pay_debts(struct store *s)
{
	struct receipt_offer offer;
	struct ledger_payer now;
	struct identity payer;
	struct receipt r;
	int err, rounds = 0;

	test_identity(&payer, 9);
	while ((err = store_unpaid(s, payer.id, &offer)) == 0 && rounds++ < 100) {
		receipt_cosign(&r, &offer, &payer);
		err = store_cosign(s, offer.body.session, le64_get(offer.body.seq),
				   r.payer_signature, &now);
		if (err)
			break;
	}
	return err == -ENOENT ? 0 : err ? err : -ELOOP;
}

int facts_check_books(struct store *s)
{
	int err = check_pages(s);

	if (!err)
		err = check_sums(s);
	if (!err)
		err = store_begin(s, s->now_s);
	if (err)
		return err;
	err = pay_debts(s);
	if (err)
		fprintf(stderr, "debts cannot be signed (%d)\n", err);
	if (!err)
		err = store_commit(s);
	return err ? err : check_sums(s);
}

static int check_batch(struct batch_chain *chain, const char *path)
{
	struct batch_fault fault;
	struct batch_head head;
	FILE *f = fopen(path, "re");
	int err = f ? batch_chain_next(chain, f, &head, &fault) : -errno;

	if (err)
		fprintf(stderr, "%s: %s\n", path, f ? fault.why : strerror(-err));
	if (f)
		fclose(f);
	return err;
}

int facts_check_batches(struct store *s, const char *directory)
{
	struct batch_chain *chain = batch_chain_create(&(struct batch_rules){0});
	int64_t epochs = 0;
	char path[512];
	int err;

	/* Slices of work, as between requests. */
	for (int i = 0; i < 1000 && store_idle_ms(s) == 0; i++)
		store_work(s, s->now_s);
	err = db_get_i64(s->db, "SELECT count(*) FROM epoch", &epochs);
	for (int64_t n = 1; !err && n <= epochs; n++) {
		snprintf(path, sizeof(path), "%s/epoch-%06ld.batch", directory, (long)n);
		err = check_batch(chain, path);
	}
	batch_chain_free(chain);
	return err;
}

bool facts_descriptor(const struct facts *f, size_t until, const char *path)
{
	char text[DESCRIPTOR_TEXT_MAX + 1];
	struct descriptor d;

	if (file_read(path, text, DESCRIPTOR_TEXT_MAX) >= 0)
		return descriptor_from_text(&d, text);
	for (size_t i = 0; i < f->count; i++)
		if (f->fact[i].kind == FACT_READY && f->fact[i].record < until)
			return false;
	return true;
}
