#include "accounting/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"

/*
 * Lines come in any order, so a receipt waits for its terms and its neighbours until the end: all
 * are kept. The caps bound what a hostile file can make us hold (about 350 MB); a larger export is
 * checked in parts, session by session.
 */
enum {
	VERIFY_LINE_MAX = 4096,
	VERIFY_RECEIPTS_MAX = 1 << 20,
	VERIFY_TERMS_MAX = 1 << 16,
};

struct verify_terms {
	uint8_t hash[KEY_LEN];
	struct terms terms;
};

struct verify_receipt {
	struct receipt receipt;
	uint64_t line;
};

struct verify {
	struct verify_terms *terms;
	size_t terms_count, terms_room;
	struct verify_receipt *receipts;
	size_t receipt_count, receipt_room;
	uint64_t line; /* being read */
	struct verify_result *result;
	const struct verify_options *options;
};

/* ---- reading lines ---- */

static void refuse(struct verify *v, uint64_t line, const char *why)
{
	v->result->bad++;
	if (v->options->refused)
		v->options->refused(v->options->arg, line, why);
}

/* Decodes exactly len bytes. */
static bool exact_bytes(void *out, size_t len, const char *text)
{
	return bytes_from_base64(out, len, text) == (ssize_t)len;
}

/* A readable field may be left out; one that is there must say what the bytes say. */
static bool field_is_text(const json_t *line, const char *name, const char *value)
{
	const json_t *field = json_object_get(line, name);
	const char *text = json_string_value(field);

	return !field || (text && strcmp(text, value) == 0);
}

static bool field_is_u64(const json_t *line, const char *name, le64 value)
{
	const json_t *field = json_object_get(line, name);

	return !field || (json_is_integer(field) && json_integer_value(field) >= 0 &&
			  (uint64_t)json_integer_value(field) == le64_get(value));
}

static bool parties_agree(const json_t *line, const struct receipt_body *b)
{
	char session[2 * SESSION_ID_LEN + 1], provider[KEY_TEXT], payer[KEY_TEXT];

	text_hex(session, b->session, SESSION_ID_LEN);
	return field_is_text(line, "session", session) && field_is_u64(line, "seq", b->seq) &&
	       field_is_text(line, "role", b->role == ROLE_EXIT ? "exit" : "relay") &&
	       field_is_text(line, "provider", key_to_base64(provider, b->provider)) &&
	       field_is_text(line, "payer", key_to_base64(payer, b->payer));
}

static bool fields_agree(const json_t *line, const struct receipt_body *b)
{
	return parties_agree(line, b) && field_is_u64(line, "bytes_up", b->bytes_up) &&
	       field_is_u64(line, "bytes_down", b->bytes_down) &&
	       field_is_u64(line, "amount", b->amount);
}

static bool terms_fields_agree(const json_t *line, const struct terms_body *b)
{
	char provider[KEY_TEXT];

	return field_is_text(line, "role", b->role == ROLE_EXIT ? "exit" : "relay") &&
	       field_is_text(line, "provider", key_to_base64(provider, b->provider)) &&
	       field_is_u64(line, "price", b->price);
}

/* Room for one more of size bytes each. */
static void *grow(void *items, size_t count, size_t *room, size_t size)
{
	void *more;

	if (count < *room)
		return items;
	*room = *room ? *room * 2 : 64;
	more = reallocarray(items, *room, size);
	if (!more)
		fatalx("out of memory for %zu receipts; check the export in parts", count);
	return more;
}

static const char *take_terms(struct verify *v, const json_t *line, const char *text)
{
	struct verify_terms *t;

	if (v->terms_count == VERIFY_TERMS_MAX)
		return "too many terms in one file; check the export in parts";
	v->terms = grow(v->terms, v->terms_count, &v->terms_room, sizeof(*v->terms));
	t = &v->terms[v->terms_count];
	if (!exact_bytes(&t->terms, sizeof(t->terms), text))
		return "the terms are not base64 of the right length";
	if (!terms_fields_agree(line, &t->terms.body))
		return "a readable field differs from the signed bytes";
	if (!terms_valid(&t->terms))
		return "the terms are malformed or not signed by their provider";
	terms_hash(t->hash, &t->terms);
	v->terms_count++;
	return NULL;
}

static const char *take_receipt(struct verify *v, const json_t *line, const char *text)
{
	struct verify_receipt *r;

	if (v->receipt_count == VERIFY_RECEIPTS_MAX)
		return "too many receipts in one file; check the export in parts";
	v->receipts = grow(v->receipts, v->receipt_count, &v->receipt_room, sizeof(*v->receipts));
	r = &v->receipts[v->receipt_count];
	if (!exact_bytes(&r->receipt, sizeof(r->receipt), text))
		return "the receipt is not base64 of the right length";
	if (!fields_agree(line, &r->receipt.offer.body))
		return "a readable field differs from the signed bytes";
	r->line = v->line;
	v->receipt_count++;
	return NULL;
}

/* ---- evidence: a line that is judged by itself ---- */

/* Counts are needed where they are the accusation, and read nowhere else. */
static bool read_counts(struct evidence *e, const json_t *line)
{
	const json_t *up = json_object_get(line, "counted_up");
	const json_t *down = json_object_get(line, "counted_down");

	if (e->kind != EVIDENCE_OVERCHARGE)
		return true;
	if (!json_is_integer(up) || !json_is_integer(down) || json_integer_value(up) < 0 ||
	    json_integer_value(down) < 0)
		return false;
	e->counted_up = (uint64_t)json_integer_value(up);
	e->counted_down = (uint64_t)json_integer_value(down);
	return true;
}

static const char *read_evidence(struct query_dispute *d, const json_t *line, const char *kind)
{
	const char *terms = json_string_value(json_object_get(line, "terms"));
	const char *first = json_string_value(json_object_get(line, "first"));
	const json_t *second = json_object_get(line, "second");
	struct evidence *e = &d->evidence;

	if (!evidence_kind_parse(&e->kind, kind))
		return "another kind of evidence; use the culvert that wrote it";
	e->has_second = second != NULL;
	if (!terms || !first || !exact_bytes(&d->terms, sizeof(d->terms), terms) ||
	    !exact_bytes(&e->first, sizeof(e->first), first) ||
	    (second && (!json_is_string(second) ||
			!exact_bytes(&e->second, sizeof(e->second), json_string_value(second)))))
		return "the evidence is not base64 of the right length";
	if (!read_counts(e, line))
		return "an overcharge wants what the payer counted: counted_up and counted_down";
	return NULL;
}

static bool evidence_fields_agree(const json_t *line, const struct evidence *e,
				  enum evidence_verdict verdict)
{
	return parties_agree(line, &e->first.body) &&
	       (!e->has_second || field_is_u64(line, "second_seq", e->second.body.seq)) &&
	       field_is_text(line, "proves", verdict == EVIDENCE_PROOF ? "proof" : "claim");
}

static const char *take_evidence(struct verify *v, const json_t *line, const char *kind)
{
	struct query_dispute d = {.terms.body.version = 0};
	const char *why = read_evidence(&d, line, kind);
	char text[EVIDENCE_TEXT];
	enum evidence_verdict verdict;

	if (why)
		return why;
	verdict = evidence_check(&d.evidence, &d.terms);
	if (verdict > EVIDENCE_CLAIM)
		return evidence_verdict_text(verdict);
	if (!evidence_fields_agree(line, &d.evidence, verdict))
		return "a readable field differs from the signed bytes";
	if (verdict == EVIDENCE_PROOF)
		v->result->proofs++;
	else
		v->result->claims++;
	if (v->options->proven)
		v->options->proven(v->options->arg, v->line, evidence_sentence(text, &d));
	return NULL;
}

static const char *take_object(struct verify *v, const json_t *line)
{
	const char *evidence = json_string_value(json_object_get(line, "evidence"));
	const char *terms = json_string_value(json_object_get(line, "terms"));
	const char *receipt = json_string_value(json_object_get(line, "receipt"));
	const json_t *schema = json_object_get(line, "schema");

	if (!json_is_integer(schema))
		return "not a line of an export: it has no schema number";
	if (json_integer_value(schema) != EXPORT_SCHEMA)
		return "another schema; use the culvert that wrote it";
	if (evidence)
		return receipt ? "a receipt and evidence in one line"
			       : take_evidence(v, line, evidence);
	if (!terms == !receipt)
		return "neither terms, nor a receipt, nor evidence";
	return terms ? take_terms(v, line, terms) : take_receipt(v, line, receipt);
}

static void take_line(struct verify *v, const char *text, size_t len)
{
	json_t *line = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *why = json_is_object(line) ? take_object(v, line) : "not a JSON object";

	if (why)
		refuse(v, v->line, why);
	json_decref(line);
}

static bool is_blank(const char *text, size_t len)
{
	return strspn(text, " \t\r") == len;
}

/* Lines of bounded length; a longer one is refused and skipped, whatever it holds. */
static int read_lines(struct verify *v, FILE *in)
{
	char text[VERIFY_LINE_MAX + 1];
	size_t len = 0;
	int c;

	do {
		errno = 0;
		c = getc(in);
		if (c != '\n' && c != EOF) {
			if (len < VERIFY_LINE_MAX)
				text[len] = (char)c;
			len++;
			continue;
		}
		if (c == EOF && ferror(in))
			return errno ? -errno : -EIO;
		v->line += c == '\n' || len > 0;
		text[len < VERIFY_LINE_MAX ? len : VERIFY_LINE_MAX] = '\0';
		if (len > VERIFY_LINE_MAX)
			refuse(v, v->line, "the line is too long");
		else if (!is_blank(text, len))
			take_line(v, text, len);
		len = 0;
	} while (c != EOF);
	return 0;
}

/* ---- judging what was read ---- */

static int terms_order(const void *a, const void *b)
{
	const struct verify_terms *x = a, *y = b;

	return memcmp(x->hash, y->hash, sizeof(x->hash));
}

static const struct terms *terms_find(const struct verify *v, const uint8_t hash[static KEY_LEN])
{
	struct verify_terms key, *found;

	if (v->terms_count == 0)
		return NULL;
	memcpy(key.hash, hash, KEY_LEN);
	found = bsearch(&key, v->terms, v->terms_count, sizeof(*v->terms), terms_order);
	return found ? &found->terms : NULL;
}

/* By session (and who claims it), then number, then where it was read. */
static int receipt_order(const void *a, const void *b)
{
	const struct verify_receipt *x = a, *y = b;
	const struct receipt_body *p = &x->receipt.offer.body, *q = &y->receipt.offer.body;
	int order = memcmp(p->provider, q->provider, sizeof(p->provider));

	if (!order)
		order = memcmp(p->session, q->session, sizeof(p->session));
	if (!order)
		order = (le64_get(p->seq) > le64_get(q->seq)) -
			(le64_get(p->seq) < le64_get(q->seq));
	return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* Drops what is wrong by itself; what stays has good forms, terms, amounts and signatures. */
static void judge_each(struct verify *v)
{
	size_t kept = 0;

	for (size_t i = 0; i < v->receipt_count; i++) {
		const struct verify_receipt *r = &v->receipts[i];
		const struct terms *t = terms_find(v, r->receipt.offer.body.terms);
		enum receipt_verdict verdict = t ? receipt_check(&r->receipt, t) : RECEIPT_OK;

		if (!t)
			refuse(v, r->line, "its terms are not in the file");
		else if (verdict != RECEIPT_OK)
			refuse(v, r->line, receipt_verdict_text(verdict));
		else
			v->receipts[kept++] = *r;
	}
	v->receipt_count = kept;
}

static bool same_session(const struct receipt_body *a, const struct receipt_body *b)
{
	return memcmp(a->provider, b->provider, sizeof(a->provider)) == 0 &&
	       memcmp(a->session, b->session, sizeof(a->session)) == 0;
}

static void count_head(struct verify *v, const struct receipt *head)
{
	const struct receipt_body *b = &head->offer.body;
	struct verify_result *sum = v->result;

	sum->sessions++;
	if (__builtin_add_overflow(sum->bytes, le64_get(b->bytes_up), &sum->bytes) ||
	    __builtin_add_overflow(sum->bytes, le64_get(b->bytes_down), &sum->bytes))
		sum->bytes = UINT64_MAX;
	if (__builtin_add_overflow(sum->amount, le64_get(b->amount), &sum->amount))
		sum->amount = UINT64_MAX;
}

/* With numbers left out between them, what must hold all the same. */
static const char *judge_gap(const struct verify *v, const struct receipt *head,
			     const struct receipt *next)
{
	if (!v->options->gaps)
		return "the receipt before it is missing or refused; --gaps takes it, where "
		       "settled receipts were pruned or a backup was restored";
	if (head && receipt_check_later(&head->offer, &next->offer) != RECEIPT_OK)
		return receipt_verdict_text(RECEIPT_BAD_CHAIN);
	v->result->gaps++;
	return NULL;
}

/* What is wrong with next after head (NULL: next is the first of its session). */
static const char *judge_next(const struct verify *v, const struct receipt *head,
			      const struct receipt *next)
{
	uint64_t seq = le64_get(next->offer.body.seq);
	uint64_t want = head ? le64_get(head->offer.body.seq) + 1 : 1;

	if (head && seq < want)
		return "a second, different receipt with this session and number: its signers "
		       "contradict themselves";
	if (seq > want)
		return judge_gap(v, head, next);
	if (receipt_check_chain(head ? &head->offer : NULL, &next->offer) != RECEIPT_OK)
		return receipt_verdict_text(RECEIPT_BAD_CHAIN);
	return NULL;
}

/* One session's receipts, sorted. Its head is the last one with an unbroken chain behind it. */
static void judge_session(struct verify *v, const struct verify_receipt *r, size_t count)
{
	const struct receipt *head = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct receipt *next = &r[i].receipt;
		const char *why;

		if (head && memcmp(head, next, sizeof(*next)) == 0)
			continue; /* the same line twice says nothing new */
		why = judge_next(v, head, next);
		if (why) {
			refuse(v, r[i].line, why);
			continue;
		}
		head = next;
		v->result->receipts++;
	}
	if (head)
		count_head(v, head);
}

static void judge_chains(struct verify *v)
{
	size_t start = 0;

	for (size_t i = 1; i <= v->receipt_count; i++) {
		if (i < v->receipt_count && same_session(&v->receipts[start].receipt.offer.body,
							 &v->receipts[i].receipt.offer.body))
			continue;
		judge_session(v, &v->receipts[start], i - start);
		start = i;
	}
}

int verify_stream(FILE *in, const struct verify_options *options, struct verify_result *result)
{
	struct verify v = {.result = result, .options = options};
	int err;

	*result = (struct verify_result){0};
	err = read_lines(&v, in);
	if (!err && v.terms_count)
		qsort(v.terms, v.terms_count, sizeof(*v.terms), terms_order);
	if (!err && v.receipt_count) {
		judge_each(&v);
		qsort(v.receipts, v.receipt_count, sizeof(*v.receipts), receipt_order);
		judge_chains(&v);
	}
	free(v.terms);
	free(v.receipts);
	return err;
}
