#include "relay/session.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

/* The next handle may be on another worker. */
struct losses_slot {
	_Alignas(LINE_BYTES) struct plane_losses of;
};

struct slots {
	uint32_t max;
	struct session *session;    /* by handle, at the start of a cache line */
	struct losses_slot *losses; /* by handle, all zero without a `lossy` session there */
};

struct index_key {
	uint32_t exit, index;
};

struct sessions {
	struct slots *slots;
	uint64_t *here; /* a bit for each handle */
	struct table *by_client;
	struct table *by_index; /* struct index_key, of all clients' live indices */
};

static_assert(sizeof(struct net_addr) == 18, "an address is hashed as bytes: no padding");
static_assert(offsetof(struct session, state) == 0 &&
		      offsetof(struct plane_session, packets_up) <= LINE_BYTES &&
		      offsetof(struct session, unanswered) <= 2 * LINE_BYTES,
	      "a datagram touches two cache lines of its session");

struct slots *slots_create(uint32_t max)
{
	struct slots *slots = calloc(1, sizeof(*slots));

	if (!slots)
		return NULL;
	slots->max = max;
	slots->session = lines_alloc(max, sizeof(*slots->session));
	slots->losses = lines_alloc(max, sizeof(*slots->losses));
	if (!slots->session || !slots->losses) {
		slots_destroy(slots);
		return NULL;
	}
	return slots;
}

void slots_destroy(struct slots *slots)
{
	if (!slots)
		return;
	lines_free(slots->losses);
	lines_free(slots->session);
	free(slots);
}

struct sessions *sessions_create(struct slots *slots)
{
	const void *clients =
		(const uint8_t *)slots->session + offsetof(struct session, state.client);
	struct sessions *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->slots = slots;
	t->here = lines_alloc(slots->max / 64 + 1, sizeof(*t->here));
	t->by_client = table_create_over(slots->max, sizeof(struct net_addr), clients,
					 sizeof(struct session));
	t->by_index = table_create((size_t)slots->max * PLANE_INDICES, sizeof(struct index_key));
	if (!t->here || !t->by_client || !t->by_index) {
		sessions_destroy(t);
		return NULL;
	}
	return t;
}

void sessions_destroy(struct sessions *t)
{
	if (!t)
		return;
	table_destroy(t->by_index);
	table_destroy(t->by_client);
	lines_free(t->here);
	free(t);
}

static bool is_here(const struct sessions *t, uint32_t handle)
{
	return handle < t->slots->max && t->here[handle / 64] >> handle % 64 & 1;
}

static void set_here(struct sessions *t, uint32_t handle, bool here)
{
	uint64_t bit = (uint64_t)1 << handle % 64;

	t->here[handle / 64] = here ? t->here[handle / 64] | bit : t->here[handle / 64] & ~bit;
}

struct session *sessions_at(struct sessions *t, uint32_t handle)
{
	return is_here(t, handle) ? &t->slots->session[handle] : NULL;
}

static struct session *slot_or_null(struct sessions *t, uint32_t value)
{
	return value == TABLE_NONE ? NULL : &t->slots->session[value];
}

struct session *sessions_by_client(struct sessions *t, const struct net_addr *client)
{
	return slot_or_null(t, table_find(t->by_client, client));
}

struct session *sessions_by_index(struct sessions *t, uint32_t exit, uint32_t index)
{
	const struct index_key key = {exit, index};

	return slot_or_null(t, table_find(t->by_index, &key));
}

uint32_t sessions_hash_client(const struct sessions *t, const struct net_addr *client)
{
	uint32_t hash = table_hash(t->by_client, client);

	table_prefetch(t->by_client, hash);
	return hash;
}

uint32_t sessions_hash_index(const struct sessions *t, uint32_t exit, uint32_t index)
{
	const struct index_key key = {exit, index};
	uint32_t hash = table_hash(t->by_index, &key);

	table_prefetch(t->by_index, hash);
	return hash;
}

static void prefetch_slot(const struct sessions *t, uint32_t handle)
{
	const uint8_t *slot = (const uint8_t *)&t->slots->session[handle];

	if (handle == TABLE_NONE)
		return;
	__builtin_prefetch(slot, 1);
	__builtin_prefetch(slot + LINE_BYTES, 1);
}

void sessions_prefetch_client(const struct sessions *t, uint32_t hash)
{
	prefetch_slot(t, table_peek(t->by_client, hash));
}

void sessions_prefetch_index(const struct sessions *t, uint32_t hash)
{
	prefetch_slot(t, table_peek(t->by_index, hash));
}

struct session *sessions_by_client_hashed(struct sessions *t, const struct net_addr *client,
					  uint32_t hash)
{
	if (!hash)
		return sessions_by_client(t, client);
	return slot_or_null(t, table_find_hashed(t->by_client, client, hash));
}

struct session *sessions_by_index_hashed(struct sessions *t, uint32_t exit, uint32_t index,
					 uint32_t hash)
{
	const struct index_key key = {exit, index};

	if (!hash)
		return sessions_by_index(t, exit, index);
	return slot_or_null(t, table_find_hashed(t->by_index, &key, hash));
}

/* The oldest comes first; what another thread handed over is not trusted to be in range. */
static uint32_t indices_nth(const struct plane_indices *p, unsigned n)
{
	return p->index[(p->next + 2U * PLANE_INDICES - p->count + n) % PLANE_INDICES];
}

static bool indices_have(const struct plane_indices *p, uint32_t index)
{
	for (unsigned i = 0; i < p->count; i++)
		if (indices_nth(p, i) == index)
			return true;
	return false;
}

static unsigned indices_newest(const struct plane_indices *p)
{
	return (p->next + PLANE_INDICES - 1U) % PLANE_INDICES;
}

/* True if an index had to leave for the new one; *left is it. */
static bool indices_push(struct plane_indices *p, uint32_t index, uint32_t *left)
{
	bool full = p->count == PLANE_INDICES;

	if (p->pending) {
		*left = p->index[indices_newest(p)];
		p->index[indices_newest(p)] = index;
		return true;
	}
	*left = p->index[p->next];
	p->index[p->next] = index;
	p->next = (uint8_t)((p->next + 1) % PLANE_INDICES);
	if (!full)
		p->count++;
	return full;
}

void sessions_learn_client(struct sessions *t, struct session *s, uint32_t index)
{
	struct index_key key = {s->state.exit, index};
	uint32_t left;

	if (indices_have(&s->state.client_indices, index))
		return;
	if (indices_push(&s->state.client_indices, index, &left)) {
		const struct index_key old = {s->state.exit, left};

		table_remove(t->by_index, &old);
	}
	s->state.client_indices.pending = true;
	/* Never full: it has room for PLANE_INDICES keys of every session. */
	if (!table_put(t->by_index, &key, s->state.handle))
		abort();
}

bool session_awaits(const struct session *s, uint32_t index)
{
	const struct plane_indices *p = &s->state.client_indices;

	return p->pending && p->index[indices_newest(p)] == index;
}

void session_answered(struct session *s)
{
	s->state.client_indices.pending = false;
}

void sessions_forget_pending(struct sessions *t, struct session *s, uint32_t index)
{
	struct plane_indices *p = &s->state.client_indices;
	const struct index_key key = {s->state.exit, index};

	if (!session_awaits(s, index))
		return;
	p->next = (uint8_t)indices_newest(p);
	p->count--;
	p->pending = false;
	table_remove(t->by_index, &key);
}

void session_learn_exit(struct session *s, uint32_t index)
{
	uint32_t left;

	if (!indices_have(&s->state.exit_indices, index))
		(void)indices_push(&s->state.exit_indices, index, &left);
}

bool session_knows_exit(const struct session *s, uint32_t index)
{
	return indices_have(&s->state.exit_indices, index);
}

/* Only the newest can have been pending; it may have been left out. */
static void install_client_indices(struct sessions *t, struct session *s,
				   const struct plane_indices *from)
{
	for (unsigned i = 0; i < from->count && i < PLANE_INDICES; i++) {
		uint32_t index = indices_nth(from, i);

		if (sessions_by_index(t, s->state.exit, index))
			continue;
		sessions_learn_client(t, s, index);
		s->state.client_indices.pending = from->pending && i + 1U == from->count;
	}
}

static void install_losses(struct sessions *t, struct session *s, const struct plane_losses *losses)
{
	static const struct plane_losses none;

	if (!losses)
		return;
	s->unpaid = (uint32_t)losses->unanswered;
	if (memcmp(losses->dropped, none.dropped, sizeof(none.dropped)) == 0)
		return;
	memcpy(sessions_drops(t, s)->dropped, losses->dropped, sizeof(losses->dropped));
}

bool sessions_install(struct sessions *t, const struct plane_session *state,
		      const struct plane_losses *losses)
{
	struct session *s;

	if (state->handle >= t->slots->max || is_here(t, state->handle) ||
	    sessions_by_client(t, &state->client))
		return false;
	s = &t->slots->session[state->handle];
	*s = (struct session){.state = *state};
	/* Never full: it has room for every handle. */
	if (!table_put(t->by_client, &state->client, state->handle))
		abort();
	set_here(t, state->handle, true);
	if (s->state.limit < session_used(s))
		s->state.limit = session_used(s);
	s->state.client_indices = s->state.exit_indices = (struct plane_indices){0};
	install_client_indices(t, s, &state->client_indices);
	for (unsigned i = 0; i < state->exit_indices.count && i < PLANE_INDICES; i++)
		session_learn_exit(s, indices_nth(&state->exit_indices, i));
	install_losses(t, s, losses);
	return true;
}

void sessions_retire(struct sessions *t, struct session *s)
{
	const struct plane_session *last = &s->state;

	for (unsigned i = 0; i < last->client_indices.count; i++) {
		const struct index_key key = {last->exit, indices_nth(&last->client_indices, i)};

		table_remove(t->by_index, &key);
	}
	table_remove(t->by_client, &last->client);
	if (s->lossy)
		t->slots->losses[last->handle].of = (struct plane_losses){0};
	set_here(t, last->handle, false);
}

struct plane_losses *sessions_drops(struct sessions *t, struct session *s)
{
	s->lossy = true;
	return &t->slots->losses[s->state.handle].of;
}

bool sessions_losses(const struct sessions *t, const struct session *s, struct plane_losses *out)
{
	if (!s->lossy && !s->unpaid)
		return false;
	if (s->lossy)
		*out = t->slots->losses[s->state.handle].of;
	else
		*out = (struct plane_losses){0};
	out->unanswered = s->unpaid;
	return true;
}
