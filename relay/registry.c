#include "relay/registry.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proto/crypto.h"

struct registry {
	uint32_t capacity, serial;
	uint32_t free_sessions, free_payers; /* how many are on each stack */
	uint32_t *free_session, *free_payer;
	struct table *by_id, *by_statement, *by_payer, *by_owner;
	struct relay_session *session;
	struct relay_payer *payer;
};

static void *array(size_t count, size_t size)
{
	void *p = calloc(count, size);

	if (!p)
		fatalx("relay: no memory for the session table; lower MaxSessions");
	return p;
}

static uint32_t *full_stack(uint32_t capacity)
{
	uint32_t *stack = array(capacity, sizeof(*stack));

	for (uint32_t i = 0; i < capacity; i++)
		stack[i] = capacity - 1 - i;
	return stack;
}

static struct table *over(const struct registry *g, const uint8_t *key, size_t len, size_t stride)
{
	return table_create_over(g->capacity, len, key, stride);
}

struct registry *registry_create(uint32_t max_sessions)
{
	struct registry *g = xcalloc(1, sizeof(*g));

	g->capacity = g->free_sessions = g->free_payers = max_sessions;
	g->free_session = full_stack(max_sessions);
	g->free_payer = full_stack(max_sessions);
	g->session = array(max_sessions, sizeof(*g->session));
	g->payer = array(max_sessions, sizeof(*g->payer));
	g->by_id = over(g, g->session->id, SESSION_ID_LEN, sizeof(*g->session));
	g->by_statement = over(g, g->session->statement, KEY_LEN, sizeof(*g->session));
	g->by_payer = over(g, g->payer->id, KEY_LEN, sizeof(*g->payer));
	g->by_owner = over(g, g->session->owner, KEY_LEN, sizeof(*g->session));
	if (!g->by_id || !g->by_statement || !g->by_payer || !g->by_owner)
		fatalx("relay: no memory for the session table; lower MaxSessions");
	return g;
}

void registry_keep(struct receipt_offer **kept, const struct receipt_offer *offer)
{
	if (!offer) {
		free(*kept);
		*kept = NULL;
		return;
	}
	if (!*kept)
		*kept = xcalloc(1, sizeof(**kept));
	**kept = *offer;
}

void registry_lost(struct relay_session *s, const struct plane_losses *losses)
{
	s->unanswered = losses->unanswered;
	if (!s->losses && crypto_is_zero(losses->dropped, sizeof(losses->dropped)))
		return;
	if (!s->losses)
		s->losses = xcalloc(1, sizeof(*s->losses));
	*s->losses = *losses;
}

struct plane_losses registry_losses(const struct relay_session *s)
{
	return s->losses ? *s->losses : (struct plane_losses){.unanswered = s->unanswered};
}

/* What most sessions do not have most of the time is not in the slot. */
static void wipe(struct relay_session *s)
{
	registry_keep(&s->bill.offer, NULL);
	registry_keep(&s->bill.debt, NULL);
	free(s->losses);
	crypto_wipe(s, sizeof(*s));
}

void registry_destroy(struct registry *g)
{
	if (!g)
		return;
	/* Those that are free are clean; to write to them would cost memory that they never had. */
	for (uint32_t i = 0; i < g->capacity; i++)
		if (g->session[i].phase != PHASE_FREE)
			wipe(&g->session[i]);
	table_destroy(g->by_id);
	table_destroy(g->by_statement);
	table_destroy(g->by_payer);
	table_destroy(g->by_owner);
	free(g->session);
	free(g->payer);
	free(g->free_session);
	free(g->free_payer);
	free(g);
}

static void put(struct table *t, const void *key, uint32_t value)
{
	if (!table_put(t, key, value))
		fatalx("relay: a session table has fewer places than sessions");
}

static uint32_t payer_slot(struct registry *g, const uint8_t *id)
{
	uint32_t slot = table_find(g->by_payer, id);

	if (slot != TABLE_NONE)
		return slot;
	slot = g->free_payer[--g->free_payers];
	g->payer[slot] = (struct relay_payer){.first = TABLE_NONE};
	memcpy(g->payer[slot].id, id, KEY_LEN);
	put(g->by_payer, id, slot);
	return slot;
}

static void list_remove(struct registry *g, uint32_t *first, enum registry_list list,
			uint32_t handle)
{
	while (*first != handle)
		first = &g->session[*first].next[list];
	*first = g->session[handle].next[list];
}

static void list_of_owner_remove(struct registry *g, const struct relay_session *s)
{
	uint32_t first = table_find(g->by_owner, s->owner);

	list_remove(g, &first, LIST_OWNER, s->handle);
	if (first == TABLE_NONE)
		table_remove(g->by_owner, s->owner);
	else
		put(g->by_owner, s->owner, first);
}

struct relay_session *registry_add(struct registry *g, const uint8_t owner[static KEY_LEN],
				   const uint8_t payer[static KEY_LEN],
				   const uint8_t statement[static KEY_LEN])
{
	struct relay_session *s;
	uint32_t handle;

	if (g->free_sessions == 0)
		return NULL;
	handle = g->free_session[--g->free_sessions];
	s = &g->session[handle];
	*s = (struct relay_session){
		.phase = PHASE_OPENING,
		.handle = handle,
		.serial = ++g->serial,
		.payer = payer_slot(g, payer),
	};
	crypto_random(s->id, sizeof(s->id));
	crypto_random(s->bind.key, sizeof(s->bind.key));
	memcpy(s->statement, statement, KEY_LEN);
	memcpy(s->owner, owner, KEY_LEN);
	put(g->by_id, s->id, handle);
	put(g->by_statement, s->statement, handle);
	s->next[LIST_OWNER] = table_find(g->by_owner, owner);
	put(g->by_owner, owner, handle);
	s->next[LIST_PAYER] = g->payer[s->payer].first;
	g->payer[s->payer].first = handle;
	g->payer[s->payer].sessions++;
	return s;
}

void registry_remove(struct registry *g, struct relay_session *s)
{
	struct relay_payer *payer = &g->payer[s->payer];
	uint32_t handle = s->handle;

	share_leave(&payer->group, &s->share);
	table_remove(g->by_id, s->id);
	table_remove(g->by_statement, s->statement);
	list_of_owner_remove(g, s);
	list_remove(g, &payer->first, LIST_PAYER, handle);
	if (--payer->sessions == 0) {
		table_remove(g->by_payer, payer->id);
		g->free_payer[g->free_payers++] = s->payer;
	}
	wipe(s);
	s->handle = handle; /* whoever walks the table finds on from here */
	g->free_session[g->free_sessions++] = handle;
}

struct relay_session *registry_by_handle(struct registry *g, uint32_t handle)
{
	if (handle >= g->capacity || g->session[handle].phase == PHASE_FREE)
		return NULL;
	return &g->session[handle];
}

struct relay_session *registry_by_id(struct registry *g, const uint8_t id[static SESSION_ID_LEN])
{
	return registry_by_handle(g, table_find(g->by_id, id));
}

struct relay_session *registry_by_statement(struct registry *g,
					    const uint8_t statement[static KEY_LEN])
{
	return registry_by_handle(g, table_find(g->by_statement, statement));
}

struct relay_session *registry_next(struct registry *g, const struct relay_session *s)
{
	for (uint32_t i = s ? s->handle + 1 : 0; i < g->capacity; i++)
		if (g->session[i].phase != PHASE_FREE)
			return &g->session[i];
	return NULL;
}

struct relay_session *registry_of_payer(struct registry *g, const struct relay_payer *payer)
{
	return registry_by_handle(g, payer->first);
}

struct relay_session *registry_of_owner(struct registry *g, const uint8_t owner[static KEY_LEN])
{
	return registry_by_handle(g, table_find(g->by_owner, owner));
}

struct relay_session *registry_behind(struct registry *g, const struct relay_session *s,
				      enum registry_list list)
{
	return registry_by_handle(g, s->next[list]);
}

struct relay_session *registry_oldest_ended(struct registry *g)
{
	struct relay_session *oldest = NULL;

	for (struct relay_session *s = registry_next(g, NULL); s; s = registry_next(g, s))
		if (s->phase == PHASE_ENDED && (!oldest || s->ended_ms < oldest->ended_ms))
			oldest = s;
	return oldest;
}

struct relay_payer *registry_payer(struct registry *g, const struct relay_session *s)
{
	return &g->payer[s->payer];
}

struct relay_payer *registry_payer_by_id(struct registry *g, const uint8_t id[static KEY_LEN])
{
	uint32_t slot = table_find(g->by_payer, id);

	return slot == TABLE_NONE ? NULL : &g->payer[slot];
}

uint32_t registry_count(const struct registry *g)
{
	return g->capacity - g->free_sessions;
}
