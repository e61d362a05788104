#include "relay/rate.h"

#include <assert.h>

/*
 * The bucket is kept in bytes and not in time, so that nothing is rounded but what was earned by a
 * moment: earned(t) = floor(rate * (t - since)), from the start of these terms and not from the
 * last look, so no rounding adds up. `granted` is what was granted by then, raised to earned -
 * burst where less was (a full bucket gains nothing), so burst + earned - granted may be granted
 * now.
 *
 * Between two moments earned grows by less than rate * time + 1: so the bucket holds a byte less
 * than the burst, and what is granted never exceeds burst + rate * time by even a part of a byte.
 *
 * The state is one word, so taking is one compare-and-swap: the upper bits count changes of terms
 * (the lowest of them says which of the two terms holds), the rest is `granted`. Terms are written
 * only where no state points, before the state that points there. Whoever read them meanwhile finds
 * that the state has changed, and looks again; only sixteen changes within one look would fool it.
 */
enum {
	TERMS_BITS = 4,
	GRANTED_BITS = 64 - TERMS_BITS, /* at RATE_MAX that is 2.9 years under the same terms */
};
#define GRANTED_MASK ((1ull << GRANTED_BITS) - 1)
#define UNBOUND      (1ull << 63)

static_assert(sizeof(struct rate) == 64, "one cache line");

/* The bucket as it is at some moment. */
struct level {
	uint64_t bytes_per_s, since_ns, room; /* room: what it holds when full */
	uint64_t granted, earned;
};

static struct level level_at(const struct rate *r, uint64_t state, uint64_t now_ns)
{
	const struct rate_terms *t = &r->terms[state >> GRANTED_BITS & 1];
	struct level l = {
		.bytes_per_s = atomic_load_explicit(&t->bytes_per_s, memory_order_relaxed),
		.since_ns = atomic_load_explicit(&t->since_ns, memory_order_relaxed),
		.room = atomic_load_explicit(&t->burst, memory_order_relaxed),
		.granted = state & GRANTED_MASK,
	};

	if (l.room)
		l.room--;
	if (now_ns > l.since_ns)
		l.earned = rate_earned(l.bytes_per_s, now_ns - l.since_ns);
	if (l.granted < l.earned)
		l.granted = l.earned;
	return l;
}

/* `granted` is kept from room upwards, so that it is never negative: full is granted == earned. */
static uint64_t level_has(const struct level *l)
{
	uint64_t top = l->earned + l->room;

	return top > l->granted ? top - l->granted : 0;
}

static void write_terms(struct rate_terms *t, uint64_t bytes_per_s, uint64_t burst, uint64_t now_ns)
{
	atomic_store_explicit(&t->bytes_per_s, bytes_per_s, memory_order_relaxed);
	atomic_store_explicit(&t->burst, burst, memory_order_relaxed);
	atomic_store_explicit(&t->since_ns, now_ns, memory_order_relaxed);
}

void rate_init(struct rate *r, uint64_t bytes_per_s, uint64_t burst, uint64_t now_ns)
{
	write_terms(&r->terms[0], bytes_per_s, burst, now_ns);
	write_terms(&r->terms[1], 0, 0, 0);
	atomic_init(&r->allowance, UNBOUND);
	atomic_init(&r->state, 0);
}

void rate_set(struct rate *r, uint64_t bytes_per_s, uint64_t burst, uint64_t now_ns)
{
	uint64_t state = atomic_load_explicit(&r->state, memory_order_acquire);
	uint64_t terms = (state >> GRANTED_BITS) + 1;
	uint64_t room = burst ? burst - 1 : 0, has, next;
	struct level l;

	write_terms(&r->terms[terms & 1], bytes_per_s, burst, now_ns);
	do {
		l = level_at(r, state, now_ns);
		has = l.bytes_per_s == RATE_UNLIMITED ? room : level_has(&l);
		next = terms << GRANTED_BITS | (has < room ? room - has : 0);
	} while (!atomic_compare_exchange_weak_explicit(
		&r->state, &state, next, memory_order_release, memory_order_acquire));
}

static uint64_t take_bucket(struct rate *r, uint64_t now_ns, uint64_t at_least, uint64_t at_most)
{
	uint64_t state = atomic_load_explicit(&r->state, memory_order_acquire), next, n;
	struct level l;

	do {
		l = level_at(r, state, now_ns);
		if (l.bytes_per_s == RATE_UNLIMITED)
			return at_most;
		n = level_has(&l);
		if (n < at_least)
			return 0;
		if (n > at_most)
			n = at_most;
		next = (state & ~GRANTED_MASK) | (l.granted + n);
	} while (!atomic_compare_exchange_weak_explicit(
		&r->state, &state, next, memory_order_acq_rel, memory_order_acquire));
	return n;
}

/* Up to at_most of the allowance, if that is at_least; what the bucket does not grant of it is put
 * back by whoever took it. */
static uint64_t take_allowance(struct rate *r, uint64_t at_least, uint64_t at_most)
{
	uint64_t left = atomic_load_explicit(&r->allowance, memory_order_relaxed), n;

	do {
		if (left & UNBOUND)
			return at_most;
		n = left < at_most ? left : at_most;
		if (n < at_least)
			return 0;
	} while (!atomic_compare_exchange_weak_explicit(
		&r->allowance, &left, left - n, memory_order_relaxed, memory_order_relaxed));
	return n;
}

uint64_t rate_take(struct rate *r, uint64_t now_ns, uint64_t at_least, uint64_t at_most)
{
	bool bound = !(atomic_load_explicit(&r->allowance, memory_order_relaxed) & UNBOUND);
	uint64_t allowed = bound ? take_allowance(r, at_least, at_most) : at_most;
	uint64_t granted;

	if (!allowed)
		return 0;
	granted = take_bucket(r, now_ns, at_least, allowed);
	/* Unbound meanwhile: adding to it does not matter, the highest bit stays. */
	if (bound && granted < allowed)
		atomic_fetch_add_explicit(&r->allowance, allowed - granted, memory_order_relaxed);
	return granted;
}

uint64_t rate_holds(const struct rate *r, uint64_t now_ns)
{
	uint64_t state = atomic_load_explicit(&r->state, memory_order_acquire);
	struct level l = level_at(r, state, now_ns);

	return l.bytes_per_s == RATE_UNLIMITED ? UINT64_MAX : level_has(&l);
}

uint64_t rate_next(const struct rate *r, uint64_t now_ns, uint64_t at_least)
{
	uint64_t state = atomic_load_explicit(&r->state, memory_order_acquire);
	struct level l = level_at(r, state, now_ns);
	uint64_t wanted, at;

	if (rate_left(r) < at_least)
		return RATE_NOT_YET;
	if (l.bytes_per_s == RATE_UNLIMITED || level_has(&l) >= at_least)
		return now_ns;
	wanted = l.granted + at_least - l.room;
	at = l.since_ns + rate_time(l.bytes_per_s, wanted);
	return at > now_ns ? at : now_ns;
}

void rate_bound(struct rate *r)
{
	atomic_store_explicit(&r->allowance, 0, memory_order_relaxed);
}

void rate_unbound(struct rate *r)
{
	atomic_store_explicit(&r->allowance, UNBOUND, memory_order_relaxed);
}

void rate_allow(struct rate *r, uint64_t bytes)
{
	if (rate_left(r) != UINT64_MAX)
		atomic_fetch_add_explicit(&r->allowance, bytes, memory_order_relaxed);
}

uint64_t rate_withdraw(struct rate *r)
{
	/* Only the caller binds and unbinds, so it does not change in between. */
	if (rate_left(r) == UINT64_MAX)
		return 0;
	return atomic_exchange_explicit(&r->allowance, 0, memory_order_relaxed);
}

uint64_t rate_left(const struct rate *r)
{
	uint64_t left = atomic_load_explicit(&r->allowance, memory_order_relaxed);

	return left & UNBOUND ? UINT64_MAX : left;
}
