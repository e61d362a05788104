#include "relay/session.h"

#include <assert.h>
#include <stdlib.h>

#include "base/table.h"

struct sessions {
	uint32_t max;
	struct session *slots; /* by handle */
	struct table *by_client;
	struct table *by_index; /* struct index_key, of all clients' live indices */
};

struct index_key {
	uint32_t exit, index;
};

static_assert(sizeof(struct net_addr) == 18, "an address is hashed as bytes: no padding");

struct sessions *sessions_create(uint32_t max)
{
	struct sessions *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->max = max;
	t->slots = calloc(max, sizeof(*t->slots));
	t->by_client = table_create(max, sizeof(struct net_addr));
	t->by_index = table_create((size_t)max * PLANE_INDICES, sizeof(struct index_key));
	if (!t->slots || !t->by_client || !t->by_index) {
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
	free(t->slots);
	free(t);
}

struct session *sessions_at(struct sessions *t, uint32_t handle)
{
	return handle < t->max && t->slots[handle].live ? &t->slots[handle] : NULL;
}

struct session *sessions_slot(struct sessions *t, uint32_t handle)
{
	return &t->slots[handle];
}

static struct session *slot_or_null(struct sessions *t, uint32_t value)
{
	return value == TABLE_NONE ? NULL : &t->slots[value];
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

bool sessions_install(struct sessions *t, const struct plane_session *state)
{
	struct session *s;

	if (state->handle >= t->max || t->slots[state->handle].live ||
	    sessions_by_client(t, &state->client))
		return false;
	if (!table_put(t->by_client, &state->client, state->handle))
		return false;
	s = &t->slots[state->handle];
	s->state = *state;
	s->live = true;
	s->unanswered = 0;
	s->lane = (struct udp_lane){0}; /* its address may be another */
	if (s->state.limit < session_used(s))
		s->state.limit = session_used(s);
	s->state.client_indices = s->state.exit_indices = (struct plane_indices){0};
	install_client_indices(t, s, &state->client_indices);
	for (unsigned i = 0; i < state->exit_indices.count && i < PLANE_INDICES; i++)
		session_learn_exit(s, indices_nth(&state->exit_indices, i));
	return true;
}

bool sessions_retire(struct sessions *t, uint32_t handle, struct plane_session *last)
{
	struct session *s = sessions_at(t, handle);

	if (!s)
		return false;
	*last = s->state;
	for (unsigned i = 0; i < last->client_indices.count; i++) {
		const struct index_key key = {last->exit, indices_nth(&last->client_indices, i)};

		table_remove(t->by_index, &key);
	}
	table_remove(t->by_client, &last->client);
	s->live = false;
	return true;
}
