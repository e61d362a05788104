/* The lines that verify.c reads. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "accounting/verify.h"
#include "base/log.h"
#include "base/text.h"

static int export_finish(FILE *out, int printed)
{
	if (printed >= 0 && !ferror(out))
		return 0;
	return errno ? -errno : -EIO;
}

static const char *role_name(uint8_t role)
{
	return role == ROLE_EXIT ? "exit" : "relay";
}

int export_terms(FILE *out, const struct terms *t)
{
	char text[CRYPTO_BASE64_LEN(sizeof(*t))], provider[KEY_TEXT];

	errno = 0;
	bytes_to_base64(text, sizeof(text), t, sizeof(*t));
	return export_finish(out, fprintf(out,
					  "{\"schema\":%d,\"terms\":\"%s\",\"role\":\"%s\","
					  "\"provider\":\"%s\",\"price\":%" PRIu64 "}\n",
					  EXPORT_SCHEMA, text, role_name(t->body.role),
					  key_to_base64(provider, t->body.provider),
					  le64_get(t->body.price)));
}

int export_receipt(FILE *out, const struct receipt *r)
{
	const struct receipt_body *b = &r->offer.body;
	char text[CRYPTO_BASE64_LEN(sizeof(*r))], session[2 * SESSION_ID_LEN + 1];
	char provider[KEY_TEXT], payer[KEY_TEXT];

	errno = 0;
	bytes_to_base64(text, sizeof(text), r, sizeof(*r));
	return export_finish(
		out, fprintf(out,
			     "{\"schema\":%d,\"receipt\":\"%s\",\"session\":\"%s\",\"seq\":%" PRIu64
			     ",\"role\":\"%s\",\"bytes_up\":%" PRIu64 ",\"bytes_down\":%" PRIu64
			     ",\"amount\":%" PRIu64 ",\"provider\":\"%s\",\"payer\":\"%s\"}\n",
			     EXPORT_SCHEMA, text, text_hex(session, b->session, SESSION_ID_LEN),
			     le64_get(b->seq), role_name(b->role), le64_get(b->bytes_up),
			     le64_get(b->bytes_down), le64_get(b->amount),
			     key_to_base64(provider, b->provider), key_to_base64(payer, b->payer)));
}

/* ---- evidence ---- */

static const char *proves(const struct query_dispute *d)
{
	switch (evidence_check(&d->evidence, &d->terms)) {
	case EVIDENCE_PROOF:
		return "proof";
	case EVIDENCE_CLAIM:
		return "claim";
	default:
		return "nothing";
	}
}

static int put_bytes(FILE *out, const char *name, const void *bytes, size_t len)
{
	char text[CRYPTO_BASE64_LEN(sizeof(struct receipt))];

	return fprintf(out, ",\"%s\":\"%s\"", name,
		       bytes_to_base64(text, sizeof(text), bytes, len));
}

/* JSON readers have 63 bits; beyond them the bytes alone tell. */
static int put_number(FILE *out, const char *name, uint64_t n)
{
	return n > INT64_MAX ? 0 : fprintf(out, ",\"%s\":%" PRIu64, name, n);
}

int export_evidence(FILE *out, const struct query_dispute *d)
{
	const struct evidence *e = &d->evidence;
	const struct receipt_body *b = &e->first.body;
	char session[2 * SESSION_ID_LEN + 1], provider[KEY_TEXT], payer[KEY_TEXT];
	int done = 0; /* negative once one of them is */

	errno = 0;
	done |= fprintf(out, "{\"schema\":%d,\"evidence\":\"%s\"", EXPORT_SCHEMA,
			evidence_kind_name(e->kind));
	done |= put_bytes(out, "terms", &d->terms, sizeof(d->terms));
	done |= put_bytes(out, "first", &e->first, sizeof(e->first));
	if (e->has_second)
		done |= put_bytes(out, "second", &e->second, sizeof(e->second));
	done |= fprintf(out, ",\"session\":\"%s\"", text_hex(session, b->session, SESSION_ID_LEN));
	done |= put_number(out, "seq", le64_get(b->seq));
	if (e->has_second) {
		done |= put_number(out, "second_seq", le64_get(e->second.body.seq));
	} else {
		done |= put_number(out, "counted_up", e->counted_up);
		done |= put_number(out, "counted_down", e->counted_down);
	}
	done |= fprintf(out, ",\"role\":\"%s\",\"provider\":\"%s\",\"payer\":\"%s\"",
			role_name(b->role), key_to_base64(provider, b->provider),
			key_to_base64(payer, b->payer));
	done |= fprintf(out, ",\"hour\":%" PRIu64 ",\"state\":\"%s\",\"proves\":\"%s\"}\n", d->hour,
			d->state == SESSION_FROZEN ? "frozen" : "closed", proves(d));
	return export_finish(out, done);
}

/* ---- what it says ---- */

static void sentence_of_one(char out[static EVIDENCE_TEXT], const struct query_dispute *d,
			    const char *provider, const char *session)
{
	const struct evidence *e = &d->evidence;
	const struct receipt_body *b = &e->first.body;
	uint64_t seq = le64_get(b->seq), up = le64_get(b->bytes_up), down = le64_get(b->bytes_down);

	if (e->kind == EVIDENCE_AMOUNT)
		snprintf(out, EVIDENCE_TEXT,
			 "%s charged what its own terms do not: receipt %" PRIu64
			 " of session %s says %" PRIu64 " micro-credits for %" PRIu64
			 " bytes up and %" PRIu64 " down at %" PRIu64 " a GiB, signed by it",
			 provider, seq, session, le64_get(b->amount), up, down,
			 le64_get(d->terms.body.price));
	else
		snprintf(out, EVIDENCE_TEXT,
			 "a claim, not a proof: %s signed receipt %" PRIu64
			 " of session %s for %" PRIu64 " bytes up and %" PRIu64
			 " down; its payer says it counted %" PRIu64 " and %" PRIu64,
			 provider, seq, session, up, down, e->counted_up, e->counted_down);
}

const char *evidence_sentence(char out[static EVIDENCE_TEXT], const struct query_dispute *d)
{
	const struct evidence *e = &d->evidence;
	uint64_t from = le64_get(e->first.body.seq), to = le64_get(e->second.body.seq);
	char session[2 * SESSION_ID_LEN + 1], provider[KEY_TEXT];

	text_hex(session, e->first.body.session, SESSION_ID_LEN);
	key_to_base64(provider, e->first.body.provider);
	if (e->kind == EVIDENCE_EQUIVOCATION)
		snprintf(out, EVIDENCE_TEXT,
			 "%s contradicted itself: two receipts number %" PRIu64
			 " of session %s, both signed by it",
			 provider, from, session);
	else if (e->kind == EVIDENCE_DECREASE)
		snprintf(out, EVIDENCE_TEXT,
			 "%s contradicted itself: receipt %" PRIu64 " of session %s says less "
			 "than receipt %" PRIu64 ", both signed by it",
			 provider, to, session, from);
	else if (e->kind == EVIDENCE_FORK)
		snprintf(out, EVIDENCE_TEXT,
			 "%s contradicted itself: receipt %" PRIu64 " of session %s does not "
			 "continue receipt %" PRIu64 ", both signed by it",
			 provider, to, session, from);
	else
		sentence_of_one(out, d, provider, session);
	return out;
}

/* ---- rows ---- */

static int export_one(FILE *out, const struct query_rows *rows, uint32_t i)
{
	switch (rows->kind) {
	case QUERY_RECEIPTS:
		return export_receipt(out, &rows->receipt[i].receipt);
	case QUERY_TERMS:
		return export_terms(out, &rows->terms[i]);
	case QUERY_DISPUTES:
		return export_evidence(out, &rows->dispute[i]);
	default:
		return -EINVAL;
	}
}

char *export_row(const struct query_rows *rows, uint32_t i)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int err;

	if (!f)
		fatal("no memory for a line of an export");
	err = export_one(f, rows, i);
	if (fclose(f) != 0 || (err && err != -EINVAL))
		fatalx("no memory for a line of an export");
	if (!err)
		return text;
	free(text);
	return NULL;
}
