#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "client/report.h"
#include "client/units.h"
#include "proto/receipt.h"

/*
 * The derivation on paper. Every number is computed here from the signed receipt, the signed terms
 * and the legs of the bookings; what the daemon says is only compared with it.
 */
struct derivation {
	const struct cli *cli;
	const json_t *said, *bookings; /* bookings NULL: a client's books, which have none */
	struct terms terms;
	struct receipt receipt;
	bool has_receipt;
	uint64_t up, down, price, amount, ppm;
	char node[80], fee[80]; /* accounts: who earns, and whose share */
	/* So far, over the bookings. direct: posted straight from the purse, as it was before there
	 * were holds. */
	uint64_t held, returned, posted, direct, given, paid;
	json_t *wrong;
};

/* ---- lines, and what is wrong with them ---- */

static void PRINTF(2, 3) say(const struct derivation *d, const char *fmt, ...)
{
	va_list args;

	if (d->cli->json || d->cli->quiet)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
}

static void PRINTF(2, 3) wrong(struct derivation *d, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	json_array_append_new(d->wrong, json_string(text));
	fflush(stdout);
	(void)cli_fail(STATUS_FAILED, "does not add up: %s", text);
}

/* The daemon's number for a line against ours. */
static void compare(struct derivation *d, const char *line, const char *key, uint64_t ours)
{
	uint64_t theirs = field_number(d->said, key);

	if (theirs != ours)
		wrong(d, "%s: the books say %" PRIu64 ", it comes to %" PRIu64, line, theirs, ours);
}

static bool sum(struct derivation *d, const char *line, uint64_t *total, uint64_t n)
{
	if (!__builtin_add_overflow(*total, n, total))
		return true;
	wrong(d, "%s: a sum does not fit 64 bits", line);
	return false;
}

static bool decode(void *out, size_t size, const json_t *row, const char *key)
{
	return bytes_from_base64(out, size, field_text(row, key)) == (ssize_t)size;
}

/* ---- bytes and amount ---- */

static void derive_bytes(struct derivation *d)
{
	const struct receipt_body *b = &d->receipt.offer.body;
	enum receipt_verdict verdict;

	say(d, "\n1. Bytes, as both have signed\n");
	if (!d->has_receipt) {
		say(d, "   no receipt is signed yet: up 0, down 0\n");
		return;
	}
	verdict = receipt_check(&d->receipt, &d->terms);
	if (verdict != RECEIPT_OK)
		wrong(d, "1. bytes: the receipt does not hold: %s", receipt_verdict_text(verdict));
	d->up = le64_get(b->bytes_up);
	d->down = le64_get(b->bytes_down);
	compare(d, "1. bytes: receipt's number", "seq", le64_get(b->seq));
	compare(d, "1. bytes: up", "bytes_up", d->up);
	compare(d, "1. bytes: down", "bytes_down", d->down);
	say(d, "   receipt %" PRIu64 ": up %" PRIu64 " + down %" PRIu64 " = %" PRIu64 "\n",
	    le64_get(b->seq), d->up, d->down, d->up + d->down);
}

static void derive_amount(struct derivation *d)
{
	unsigned __int128 product = (unsigned __int128)(d->up + d->down) * d->price;
	uint64_t whole = (uint64_t)(product >> 30), rest = (uint64_t)(product & ((1u << 30) - 1));

	say(d, "\n2. Amount, at %" PRIu64 " micro-credits for a GiB of 1073741824 bytes\n",
	    d->price);
	compare(d, "2. amount: price", "price", d->price);
	d->amount = whole + (rest != 0);
	say(d, "   %" PRIu64 " * %" PRIu64 " / 1073741824 = %" PRIu64 " rest %" PRIu64,
	    d->up + d->down, d->price, whole, rest);
	say(d, "%s: %" PRIu64 " micro-credits\n", rest ? ", rounded up" : "", d->amount);
	compare(d, "2. amount", "amount", d->amount);
}

/* ---- bookings ---- */

/* floor(x * ppm / 10^6). */
static uint64_t fee_of(const struct derivation *d, uint64_t x)
{
	return (uint64_t)((unsigned __int128)x * d->ppm / 1000000);
}

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* The legs from i on that are one booking. */
static size_t legs_of(const json_t *bookings, size_t i)
{
	uint64_t txn = field_number(json_array_get(bookings, i), "txn");
	size_t n = 1;

	while (i + n < json_array_size(bookings) &&
	       field_number(json_array_get(bookings, i + n), "txn") == txn)
		n++;
	return n;
}

/* One booking: what went out of and into the accounts that matter. */
struct booked {
	const char *key;
	char when[UNITS_TEXT];
	int64_t balance;               /* of all legs: 0, or it is no booking */
	int64_t hold;                  /* into holds; negative: out of them */
	uint64_t moved;                /* sum of what left accounts */
	uint64_t free_hold, free_left; /* out of holds on, and straight from, an allowance */
	uint64_t given, node, fee;
};

static void add_leg(struct booked *b, const struct derivation *d, const json_t *leg)
{
	const char *account = field_text(leg, "account"), *source = field_text(leg, "source");
	int64_t amount = field_signed(leg, "amount");
	uint64_t size = amount < 0 ? -(uint64_t)amount : (uint64_t)amount;

	if (__builtin_add_overflow(b->balance, amount, &b->balance))
		b->balance = INT64_MAX;
	if (amount < 0)
		b->moved += size;
	if (starts(account, "hold:")) {
		b->hold += amount;
		b->free_hold += amount < 0 && starts(source, "free:") ? size : 0;
	} else if (strcmp(account, "sys:given") == 0) {
		b->given += size;
	} else if (amount > 0 && strcmp(account, d->node) == 0) {
		b->node += size;
	} else if (amount > 0 && strcmp(account, d->fee) == 0) {
		b->fee += size;
	} else if (amount < 0 && starts(account, "free:")) {
		b->free_left += size;
	}
}

static void read_booked(struct booked *b, struct derivation *d, size_t i, size_t n)
{
	const json_t *first = json_array_get(d->bookings, i);

	*b = (struct booked){.key = field_text(first, "key")};
	snprintf(b->when, sizeof(b->when), "%s", "");
	unit_time(b->when, field_number(first, "hour"));
	for (size_t j = i; j < i + n; j++)
		add_leg(b, d, json_array_get(d->bookings, j));
	if (b->balance != 0)
		wrong(d, "booking %s: its entries sum to %" PRId64 ", not 0", b->key, b->balance);
}

/* Where credit was set aside from, or went back to: one line a leg. */
static void say_holds(const struct derivation *d, const struct booked *b, size_t i, size_t n)
{
	for (size_t j = i; j < i + n; j++) {
		const json_t *leg = json_array_get(d->bookings, j);
		const char *source = field_text(leg, "source");
		int64_t amount = field_signed(leg, "amount");

		if (starts(field_text(leg, "account"), "hold:"))
			say(d, "   %.16s  %+" PRId64 " %s %s\n", b->when, amount,
			    amount < 0 ? "back to" : "from", source);
	}
}

/* What is posted is moved out of the hold: the allowance's part is given away, of the rest a share
 * is the fee. Cumulative, so that rounding never adds up. */
static void derive_posting(struct derivation *d, const struct booked *b)
{
	uint64_t before = d->paid, fee, target = 0;
	const char *number = strrchr(b->key, ':');
	bool held = b->hold != 0;

	uint64_t given = held ? b->given : b->free_left;

	if (!sum(d, b->key, &d->posted, b->moved) || !sum(d, b->key, &d->given, given) ||
	    !sum(d, b->key, &d->paid, b->moved - given))
		return;
	if (!held) {
		d->direct += b->moved;
		say(d,
		    "   %.16s  %" PRIu64 " = %" PRIu64 " of an allowance + %" PRIu64
		    " earned, straight from the purse (before there were holds)\n",
		    b->when, b->moved, given, b->moved - given);
		return;
	}
	fee = fee_of(d, d->paid) - fee_of(d, before);
	say(d,
	    "   %.16s  %" PRIu64 " = %" PRIu64 " of an allowance (never pays out) + %" PRIu64
	    " earned + %" PRIu64 " fee\n",
	    b->when, b->moved, b->given, b->moved - b->given - fee, fee);
	if (d->ppm)
		say(d,
		    "     fee: floor(%" PRIu64 " * %" PRIu64 " / 1000000) - floor(%" PRIu64
		    " * %" PRIu64 " / 1000000) = %" PRIu64 "\n",
		    d->paid, d->ppm, before, d->ppm, fee);
	if (!number || !text_u64(number + 1, 0, INT64_MAX, &target) || target != d->posted)
		wrong(d, "4. posted: %s makes it %" PRIu64, b->key, d->posted);
	if (b->given != b->free_hold)
		wrong(d, "4. posted: %s gives away %" PRIu64 ", of an allowance came %" PRIu64,
		      b->key, b->given, b->free_hold);
	/* With one account for both the books have one entry. */
	if (b->node + b->fee != b->moved - b->given ||
	    (strcmp(d->node, d->fee) != 0 && b->fee != fee))
		wrong(d,
		      "4. posted: %s pays a fee of %" PRIu64 " and %" PRIu64
		      " to the node, it comes to %" PRIu64 " and %" PRIu64,
		      b->key, b->fee, b->node, fee, b->moved - b->given - fee);
}

/* All bookings of one kind, in order. */
static void derive_kind(struct derivation *d, const char *kind)
{
	for (size_t i = 0, n; i < json_array_size(d->bookings); i += n) {
		struct booked b;

		n = legs_of(d->bookings, i);
		read_booked(&b, d, i, n);
		if (!starts(b.key, kind))
			continue;
		if (strcmp(kind, "pay:") == 0) {
			derive_posting(d, &b);
			continue;
		}
		say_holds(d, &b, i, n);
		if (b.hold >= 0)
			sum(d, b.key, &d->held, (uint64_t)b.hold);
		else
			sum(d, b.key, &d->returned, -(uint64_t)b.hold);
	}
}

static void derive_rest(struct derivation *d)
{
	uint64_t hold = d->held + d->direct - d->returned;
	uint64_t covered = hold < d->amount ? hold : d->amount;

	say(d,
	    "   held now: %" PRIu64 " set aside - %" PRIu64 " given back - %" PRIu64
	    " posted = %" PRIu64 "\n",
	    d->held + d->direct, d->returned, d->posted, hold - d->posted);
	compare(d, "5. given back: what is set aside and not given back", "hold", hold);
	compare(d, "4. posted", "posted", d->posted);
	compare(d, "4. posted: of it paid", "paid", d->paid);
	if (d->posted > covered)
		wrong(d,
		      "4. posted: %" PRIu64 " is more than the amount %" PRIu64
		      " or the hold %" PRIu64,
		      d->posted, d->amount, hold);
	say(d, "\n6. Signed and not posted\n   %" PRIu64 " - %" PRIu64 " = %" PRIu64, d->amount,
	    d->posted, d->amount - d->posted);
	say(d, ", of it %" PRIu64 " held and %" PRIu64 " short of credit\n", covered - d->posted,
	    d->amount - covered);
}

static void derive_bookings(struct derivation *d)
{
	say(d, "\n3. Set aside\n");
	derive_kind(d, "hold:");
	say(d, "   = %" PRIu64 "\n\n4. Posted, min(amount, what is set aside) each time\n",
	    d->held);
	derive_kind(d, "pay:");
	say(d, "   = %" PRIu64 ": %" PRIu64 " given, %" PRIu64 " paid\n\n5. Given back\n",
	    d->posted, d->given, d->paid);
	derive_kind(d, "release:");
	derive_rest(d);
}

/* ---- what nobody signed ---- */

static void derive_unsigned(struct derivation *d)
{
	const json_t *counted = json_object_get(d->said, "counted");
	uint64_t up = field_number(counted, "up"), down = field_number(counted, "down");

	say(d,
	    "\n7. Carried and not signed\n   up %" PRIu64 " - %" PRIu64 " = %" PRIu64
	    ", down %" PRIu64 " - %" PRIu64 " = %" PRIu64 " bytes%s\n",
	    up, d->up, up - d->up, down, d->down, down - d->down,
	    strcmp(field_text(d->said, "state"), "open") == 0 ? ", so far" : ": a debt, if not 0");
	if (up < d->up || down < d->down)
		wrong(d, "7. carried: less than what is signed");
}

/* What the client was willing to sign for. */
static void derive_counted(struct derivation *d)
{
	const json_t *counted = json_object_get(d->said, "counted");
	uint64_t up = field_number(counted, "up"), down = field_number(counted, "down");
	uint64_t ppm = le32_get(d->terms.body.loss_ppm), bytes = le64_get(d->terms.body.loss_bytes);
	uint64_t share = (uint64_t)((unsigned __int128)d->down * ppm / 1000000);

	say(d,
	    "\n3. What this device counted\n   up %" PRIu64 ": billed %" PRIu64 ", never more\n"
	    "   down %" PRIu64 ": billed %" PRIu64 ", at most %" PRIu64 " more: floor(%" PRIu64
	    " * %" PRIu64 " / 1000000) + %" PRIu64 "\n",
	    up, d->up, down, d->down, share + bytes, d->down, ppm, bytes);
	if (d->up > up)
		wrong(d, "3. counted: up %" PRIu64 " is more than was sent", d->up);
	if (d->down > down && d->down - down > share + bytes)
		wrong(d, "3. counted: down %" PRIu64 " is more than the terms allow", d->down);
}

/* ---- the command ---- */

static void print_head(const struct derivation *d)
{
	char provider[KEY_TEXT], payer[KEY_TEXT];

	say(d, "session %s (%s, %s)\n", field_text(d->said, "session"), field_text(d->said, "role"),
	    field_text(d->said, "state"));
	say(d, "   provider %s\n", field_id(provider, d->said, "provider"));
	say(d, "   payer    %s\n", field_id(payer, d->said, "payer"));
}

static bool account_of(char out[static 80], const json_t *said, const char *key)
{
	char hex[2 * KEY_LEN + 1];
	uint8_t id[KEY_LEN];

	if (!read_id(id, field_text(said, key)))
		return false;
	snprintf(out, 80, "user:%s", text_hex(hex, id, KEY_LEN));
	return true;
}

static bool read_said(struct derivation *d)
{
	d->has_receipt = json_is_string(json_object_get(d->said, "receipt"));
	d->ppm = field_number(d->said, "fee_ppm");
	if (!decode(&d->terms, sizeof(d->terms), d->said, "terms") ||
	    (d->has_receipt && !decode(&d->receipt, sizeof(d->receipt), d->said, "receipt")) ||
	    !account_of(d->node, d->said, "provider"))
		return false;
	d->price = le64_get(d->terms.body.price);
	return account_of(d->fee, d->said, "fee_account") || d->ppm == 0;
}

static int explain(struct derivation *d)
{
	int status;

	if (!read_said(d))
		return cli_fail(STATUS_FAILED,
				"what the daemon sent has no terms or no receipt; use "
				"its own culvert");
	print_head(d);
	if (!terms_valid(&d->terms))
		wrong(d, "2. amount: the terms are not signed by the provider");
	derive_bytes(d);
	derive_amount(d);
	if (d->bookings)
		derive_bookings(d);
	if (d->bookings)
		derive_unsigned(d);
	else
		derive_counted(d);
	status = json_array_size(d->wrong) ? STATUS_FAILED : STATUS_OK;
	if (status == STATUS_OK)
		say(d, "\nadds up\n");
	return status;
}

static void print_explained(const struct derivation *d)
{
	json_t *o = json_deep_copy(d->said);

	if (d->bookings)
		json_object_set(o, "bookings", (json_t *)(uintptr_t)d->bookings);
	json_object_set_new(o, "adds_up", json_boolean(json_array_size(d->wrong) == 0));
	json_object_set(o, "wrong", d->wrong);
	print_json(o);
}

int verb_explain(int argc, char **argv)
{
	char hex[2 * SESSION_ID_LEN + 1], query[64];
	struct api_sockets sockets;
	json_t *said, *bookings = NULL;
	struct derivation d = {.cli = NULL};
	struct cli cli;
	size_t which;
	int status = cli_parse(&cli, argc, argv, NULL, 0, 1);

	if (status == STATUS_OK)
		status = report_session(hex, &cli, "explain");
	if (status == STATUS_OK)
		status = api_find(&sockets, &cli, API_EITHER);
	if (status == STATUS_OK)
		status = report_fetch(&said, &sockets, "/v1/explain", hex, &which);
	if (status != STATUS_OK)
		return status;
	snprintf(query, sizeof(query), "&session=%s", hex);
	if (json_object_get(said, "hold"))
		status =
			api_list(&bookings, sockets.path[which], "/v1/bookings", "bookings", query);
	if (status == STATUS_OK) {
		d = (struct derivation){.cli = &cli, .said = said, .bookings = bookings};
		d.wrong = json_array();
		status = explain(&d);
		if (cli.json && json_array_size(d.wrong) + (status == STATUS_OK))
			print_explained(&d);
		json_decref(d.wrong);
	}
	json_decref(bookings);
	json_decref(said);
	return status;
}
