#include "accounting/report_json.h"

#include "base/text.h"

enum {
	HOUR = 3600,
	DAY = 24 * HOUR,
};

/* JSON's integers have 63 bits; anything above is shown as the highest. */
static json_t *number(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *key(const uint8_t bytes[static KEY_LEN])
{
	char text[KEY_TEXT];

	return json_string(key_to_base64(text, bytes));
}

static json_t *session_id(const uint8_t id[static SESSION_ID_LEN])
{
	char text[2 * SESSION_ID_LEN + 1];

	return json_string(text_hex(text, id, SESSION_ID_LEN));
}

static json_t *bytes(bool there, const void *p, size_t n)
{
	char text[CRYPTO_BASE64_LEN(sizeof(struct receipt))];

	return there ? json_string(bytes_to_base64(text, sizeof(text), p, n)) : json_null();
}

static json_t *both(uint64_t up, uint64_t down)
{
	return json_pack("{s:o, s:o}", "up", number(up), "down", number(down));
}

static const char *state_text(uint8_t state)
{
	static const char *const texts[] = {
		[SESSION_OPEN] = "open",
		[SESSION_CLOSED] = "closed",
		[SESSION_UNPAID] = "unpaid",
		[SESSION_FROZEN] = "frozen",
	};

	return state < ARRAY_SIZE(texts) ? texts[state] : "?";
}

/* Whose session it is. */
static json_t *about(const struct query_explain *x)
{
	return json_pack("{s:o, s:s, s:s, s:o, s:o}", "session", session_id(x->session), "role",
			 x->role == ROLE_EXIT ? "exit" : "relay", "state", state_text(x->state),
			 "provider", key(x->provider), "payer", key(x->payer));
}

static void add_receipt(json_t *o, const struct query_explain *x)
{
	const struct receipt_body *b = &x->receipt.offer.body;

	json_object_set_new(o, "terms", bytes(true, &x->terms, sizeof(x->terms)));
	json_object_set_new(o, "price", number(le64_get(x->terms.body.price)));
	json_object_set_new(o, "receipt", bytes(x->has_receipt, &x->receipt, sizeof(x->receipt)));
	json_object_set_new(o, "seq", number(le64_get(b->seq)));
	json_object_set_new(o, "bytes_up", number(le64_get(b->bytes_up)));
	json_object_set_new(o, "bytes_down", number(le64_get(b->bytes_down)));
	json_object_set_new(o, "amount", number(le64_get(b->amount)));
	json_object_set_new(o, "offer", bytes(x->has_offer, &x->offer, sizeof(x->offer)));
}

json_t *report_explain(const struct query_explain *x, bool provider)
{
	json_t *o = about(x);

	json_object_set_new(o, "opened", number(x->opened_hour * HOUR));
	add_receipt(o, x);
	json_object_set_new(o, "counted", both(x->counted_up, x->counted_down));
	if (!provider)
		return o;
	json_object_set_new(o, "hold", number(x->hold));
	json_object_set_new(o, "posted", number(x->posted));
	json_object_set_new(o, "paid", number(x->paid));
	json_object_set_new(o, "fee_ppm", number(x->fee_ppm));
	json_object_set_new(o, "fee_account",
			    x->has_fee_account ? key(x->fee_account) : json_null());
	return o;
}

json_t *report_booking(const struct query_booking *b)
{
	return json_pack("{s:o, s:s, s:o, s:o, s:s, s:s, s:I}", "txn", number(b->txn), "key",
			 b->key, "hour", number(b->hour * HOUR), "bytes", number(b->bytes),
			 "account", b->account, "source", b->source, "amount",
			 (json_int_t)b->amount);
}

json_t *report_earning(const struct query_earning *e)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "day", number(e->day * DAY),
			 "payer", key(e->payer), "postings", number(e->postings), "bytes",
			 number(e->bytes), "amount", number(e->amount), "allowance",
			 number(e->allowance), "fee", number(e->fee), "earned", number(e->earned));
}

json_t *report_reconcile(const struct query_explain *x, bool live, const struct reconcile *r)
{
	json_t *o = about(x), *rows = json_array();

	for (size_t i = 0; i < r->rows; i++) {
		const struct reconcile_row *row = &r->row[i];

		json_array_append_new(
			rows, json_pack("{s:s, s:I, s:I}", row->count ? "count" : "line", row->name,
					"up", (json_int_t)row->up, "down", (json_int_t)row->down));
	}
	json_object_set_new(o, "live", json_boolean(live));
	json_object_set_new(o, "pair", x->has_pair ? session_id(x->pair) : json_null());
	json_object_set_new(o, "rows", rows);
	return o;
}
