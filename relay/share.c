#include "relay/share.h"

static uint64_t above(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t used(const struct share_member *m)
{
	return above(m->counted, m->signed_total);
}

static uint64_t held(const struct share_member *m)
{
	return above(m->visible, m->signed_total);
}

void share_join(struct share_group *g, struct share_member *m)
{
	m->limit = m->visible = m->counted > m->signed_total ? m->counted : m->signed_total;
	m->pending = 0;
	m->remote = m->ended = m->changed = false;
	m->next = g->head;
	g->head = m;
	g->count++;
}

void share_leave(struct share_group *g, struct share_member *m)
{
	for (struct share_member **p = &g->head; *p; p = &(*p)->next) {
		if (*p != m)
			continue;
		*p = m->next;
		m->next = NULL;
		g->count--;
		return;
	}
}

/*
 * The level at which sessions that carried more than an even split keep what they carried, and the
 * others have equal parts of the rest. Each round pins at least one session more, or ends.
 */
static uint64_t level(const struct share_group *g)
{
	uint64_t fair = g->window;
	uint32_t pinned = UINT32_MAX;

	for (;;) {
		uint64_t rest = g->window;
		uint32_t now_pinned = 0;

		for (const struct share_member *m = g->head; m; m = m->next) {
			if (!m->ended && used(m) <= fair)
				continue;
			rest = above(rest, used(m));
			now_pinned++;
		}
		if (now_pinned == g->count)
			return 0;
		if (now_pinned == pinned)
			return fair;
		pinned = now_pinned;
		fair = rest / (g->count - now_pinned);
	}
}

static uint64_t target(const struct share_member *m, uint64_t fair)
{
	return m->ended || used(m) > fair ? used(m) : fair;
}

static void lower(struct share_member *m, uint64_t limit)
{
	m->limit = limit;
	m->changed = true;
	if (!m->remote)
		m->visible = limit;
}

/* Raises m towards limit as far as free bytes go and returns how many are left. */
static uint64_t raise(struct share_member *m, uint64_t limit, uint64_t free_bytes)
{
	uint64_t most = m->visible + free_bytes;

	if (limit > most)
		limit = most;
	if (limit == m->limit)
		return free_bytes;
	m->limit = limit;
	m->changed = true;
	if (limit > m->visible) {
		free_bytes -= limit - m->visible;
		m->visible = limit;
	}
	return free_bytes;
}

/* What the workers may let through unsigned, all sessions together. */
static uint64_t exposed(const struct share_group *g)
{
	uint64_t sum = 0;

	for (const struct share_member *m = g->head; m; m = m->next)
		if (__builtin_add_overflow(sum, held(m), &sum))
			return UINT64_MAX;
	return sum;
}

void share_plan(struct share_group *g)
{
	uint64_t fair = g->count ? level(g) : 0, out, free_bytes;

	for (struct share_member *m = g->head; m; m = m->next) {
		uint64_t want = m->signed_total + target(m, fair);

		if (want < m->limit)
			lower(m, want);
	}
	/* Beyond a window that shrank nothing rises, not even to what a worker may still apply. */
	out = exposed(g);
	if (out > g->window)
		return;
	free_bytes = g->window - out;
	for (struct share_member *m = g->head; m; m = m->next) {
		uint64_t want = m->signed_total + target(m, fair);

		if (want > m->limit)
			free_bytes = raise(m, want, free_bytes);
	}
}

uint64_t share_prospect(const struct share_group *g)
{
	uint64_t rest = g->window;

	for (const struct share_member *m = g->head; m; m = m->next)
		rest = above(rest, used(m));
	return rest / (g->count + 1);
}

void share_sent(struct share_member *m)
{
	m->changed = false;
	m->pending++;
}

static void saw(struct share_member *m, uint64_t counted)
{
	if (counted > m->counted)
		m->counted = counted;
}

void share_limited(struct share_member *m, uint64_t limit, uint64_t counted)
{
	saw(m, counted);
	if (m->pending > 0)
		m->pending--;
	if (m->pending == 0 && m->remote) {
		m->visible = limit > m->limit ? limit : m->limit;
		m->limit = m->visible;
	}
}

void share_installed(struct share_member *m)
{
	m->remote = true;
	m->pending = 0;
	m->changed = false;
}

void share_retired(struct share_member *m, uint64_t limit, uint64_t counted)
{
	saw(m, counted);
	m->remote = false;
	m->pending = 0;
	m->changed = false;
	m->limit = m->visible = limit > m->counted ? limit : m->counted;
}

void share_signed(struct share_member *m, uint64_t total)
{
	if (total > m->signed_total)
		m->signed_total = total;
}

void share_end(struct share_member *m)
{
	m->ended = true;
	m->remote = false;
	m->pending = 0;
	m->limit = m->visible = m->counted;
}
