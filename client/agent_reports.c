#include "client/agent_reports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/report_json.h"

static int books_of(struct query_explain *out, struct agent *a,
		    const uint8_t session[static SESSION_ID_LEN])
{
	struct query q = {.kind = QUERY_EXPLAIN, .has_session = true};
	struct query_rows *rows = xcalloc(1, sizeof(*rows));
	int err;

	memcpy(q.session, session, sizeof(q.session));
	err = wallet_query(agent_wallet(a), &q, rows);
	if (!err)
		*out = rows->explain[0];
	free(rows);
	return err;
}

int agent_explain(json_t **out, struct agent *a, const struct query *q)
{
	struct query_explain x;
	int err = books_of(&x, a, q->session);

	if (!err)
		*out = report_explain(&x, false);
	return err;
}

/* What the agent knows of a session that is open, newer than the books. */
static bool side_live(struct reconcile_side *side, const struct provider_view *v,
		      const struct query_explain *x)
{
	if (v->state != PROVIDER_OPEN || memcmp(v->session, x->session, SESSION_ID_LEN) != 0)
		return false;
	side->counted_up = v->counted.up;
	side->counted_down = v->counted.down;
	if (v->claimed.up + v->claimed.down > side->claimed_up + side->claimed_down) {
		side->claimed_up = v->claimed.up;
		side->claimed_down = v->claimed.down;
	}
	return true;
}

static bool side_of(struct reconcile_side *side, struct agent *a, const struct query_explain *x)
{
	struct agent_view v;

	agent_view(a, &v);
	reconcile_side(side, x);
	return side_live(side, &v.relay, x) || side_live(side, &v.exit, x);
}

int agent_reconcile(json_t **out, struct agent *a, const struct query *q)
{
	struct query_explain mine, pair;
	struct reconcile_side sides[2];
	struct reconcile counts;
	bool live, relay;
	int err = books_of(&mine, a, q->session);

	if (!err && mine.has_pair)
		err = books_of(&pair, a, mine.pair);
	if (err)
		return err;
	relay = mine.role == ROLE_RELAY;
	live = side_of(&sides[0], a, &mine);
	if (mine.has_pair)
		(void)side_of(&sides[1], a, &pair);
	if (!mine.has_pair)
		reconcile_client(&counts, relay ? &sides[0] : NULL, relay ? NULL : &sides[0]);
	else
		reconcile_client(&counts, &sides[relay ? 0 : 1], &sides[relay ? 1 : 0]);
	*out = report_reconcile(&mine, live, &counts);
	return 0;
}
