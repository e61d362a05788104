#include "accounting/reconcile.h"

#include "base/log.h"

/* Counts are far below 2^63, see BYTES_MAX; what a peer claims is judged before it gets here. */
static int64_t less(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b);
}

static void row_add(struct reconcile *r, const struct reconcile_row *row)
{
	if (r->rows == RECONCILE_ROWS)
		fatalx("reconcile: more than %d rows", RECONCILE_ROWS);
	r->row[r->rows++] = *row;
}

void reconcile_count(struct reconcile *r, const char *name, uint64_t up, uint64_t down)
{
	row_add(r, &(struct reconcile_row){name, true, (int64_t)up, (int64_t)down});
}

void reconcile_line(struct reconcile *r, const char *name, int64_t up, int64_t down)
{
	if (up || down)
		row_add(r, &(struct reconcile_row){name, false, up, down});
}

bool reconcile_adds_up(const struct reconcile *r)
{
	int64_t up = 0, down = 0;

	for (size_t i = 0; i < r->rows; i++) {
		const struct reconcile_row *row = &r->row[i];

		if (row->count && i > 0 && (row->up != up || row->down != down))
			return false;
		up = row->count ? row->up : up + row->up;
		down = row->count ? row->down : down + row->down;
	}
	return true;
}

static void offer_totals(const struct receipt_offer *offer, uint64_t *up, uint64_t *down)
{
	*up = le64_get(offer->body.bytes_up);
	*down = le64_get(offer->body.bytes_down);
}

void reconcile_side(struct reconcile_side *out, const struct query_explain *x)
{
	*out = (struct reconcile_side){
		.counted_up = x->counted_up,
		.counted_down = x->counted_down,
		.seen_up = x->seen_up,
		.seen_down = x->seen_down,
	};
	if (x->has_receipt)
		offer_totals(&x->receipt.offer, &out->signed_up, &out->signed_down);
	out->claimed_up = out->signed_up;
	out->claimed_down = out->signed_down;
	if (x->has_offer)
		offer_totals(&x->offer, &out->claimed_up, &out->claimed_down);
}

struct between {
	const char *lost_up, *lost_down; /* less arrived than was sent */
	const char *over_up, *over_down; /* more was billed further on than before */
};

static void lines_between(struct reconcile *r, const struct between *names, int64_t up,
			  int64_t down)
{
	reconcile_line(r, up < 0 ? names->lost_up : names->over_up, up, 0);
	reconcile_line(r, down > 0 ? names->lost_down : names->over_down, 0, down);
}

static void lines_unsigned(struct reconcile *r, const struct reconcile_side *s, int sign)
{
	reconcile_line(r, sign > 0 ? "claimed_unsigned" : "claimed_unsigned_before",
		       sign * less(s->claimed_up, s->signed_up),
		       sign * less(s->claimed_down, s->signed_down));
}

/* Our device, then one provider. */
static void device_to(struct reconcile *r, const struct reconcile_side *s, bool relay)
{
	static const struct between to_relay = {"before_relay", "behind_relay", "beyond_sent",
						"after_receipt"};
	static const struct between to_exit = {"before_exit", "behind_exit", "beyond_sent",
					       "after_receipt"};

	reconcile_count(r, "device", s->counted_up, s->counted_down);
	reconcile_line(r, "since_receipt", less(s->seen_up, s->counted_up),
		       less(s->seen_down, s->counted_down));
	lines_between(r, relay ? &to_relay : &to_exit, less(s->signed_up, s->seen_up),
		      less(s->signed_down, s->seen_down));
	lines_unsigned(r, s, 1);
	reconcile_count(r, relay ? "relay" : "exit", s->claimed_up, s->claimed_down);
}

static void relay_to_exit(struct reconcile *r, const struct reconcile_side *relay,
			  const struct reconcile_side *exit)
{
	/* What our device counted in one session's time and not in the other's. */
	static const struct between names = {"relay_to_exit", "exit_to_relay", "only_exit_bills",
					     "only_relay_bills"};
	int64_t up = less(exit->seen_up, relay->seen_up);
	int64_t down = less(exit->seen_down, relay->seen_down);

	lines_unsigned(r, relay, -1);
	reconcile_line(r, "other_times", up, down);
	lines_between(r, &names, less(exit->signed_up, relay->signed_up) - up,
		      less(exit->signed_down, relay->signed_down) - down);
	lines_unsigned(r, exit, 1);
	reconcile_count(r, "exit", exit->claimed_up, exit->claimed_down);
}

void reconcile_client(struct reconcile *out, const struct reconcile_side *relay,
		      const struct reconcile_side *exit)
{
	*out = (struct reconcile){.rows = 0};
	if (relay)
		device_to(out, relay, true);
	else if (exit)
		device_to(out, exit, false);
	if (relay && exit)
		relay_to_exit(out, relay, exit);
}

void reconcile_books(struct reconcile *out, const struct query_explain *x,
		     const struct reconcile_carried *carried)
{
	struct reconcile_side s;
	uint64_t up = carried ? carried->up : x->counted_up;
	uint64_t down = carried ? carried->down : x->counted_down;

	reconcile_side(&s, x);
	reconcile_count(out, "carried", up, down);
	reconcile_line(out, "no_receipt_yet", less(s.claimed_up, up), less(s.claimed_down, down));
	reconcile_count(out, "issued", s.claimed_up, s.claimed_down);
	reconcile_line(out, "unsigned", less(s.signed_up, s.claimed_up),
		       less(s.signed_down, s.claimed_down));
	reconcile_count(out, "signed", s.signed_up, s.signed_down);
}
