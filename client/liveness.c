#include "client/liveness.h"

/* A persistent keepalive (32 bytes) is never answered, so one or two of them mean nothing. */
#define UNANSWERED 96

static void liveness_heard(struct liveness *l, uint64_t now_ms, uint64_t tx, uint64_t rx)
{
	l->busy = rx - l->rx >= LIVENESS_BUSY;
	l->rx = rx;
	l->heard_ms = now_ms;
	l->tx_at_heard = tx;
	l->interval_ms = LIVENESS_REBIND_MS;
	l->rebind_at_ms = now_ms + LIVENESS_REBIND_MS;
	l->rebinds = 0;
	l->probed = false;
}

void liveness_start(struct liveness *l, uint64_t now_ms, uint64_t tx, uint64_t rx)
{
	*l = (struct liveness){.rx = rx, .tx = tx};
	liveness_heard(l, now_ms, tx, rx);
}

static bool unanswered(const struct liveness *l)
{
	return l->tx - l->tx_at_heard > UNANSWERED;
}

enum liveness_action liveness_step(struct liveness *l, uint64_t now_ms, uint64_t tx, uint64_t rx)
{
	l->tx = tx;
	if (rx != l->rx) {
		liveness_heard(l, now_ms, tx, rx);
		return LIVENESS_FINE;
	}
	if (!unanswered(l) && !l->busy)
		return LIVENESS_FINE;
	if (!l->probed && now_ms - l->heard_ms >= LIVENESS_PROBE_MS) {
		l->probed = true;
		return LIVENESS_PROBE;
	}
	/* A transfer that just ended looks like one that was cut: one fresh port settles it. */
	if (now_ms < l->rebind_at_ms || (l->rebinds > 0 && !unanswered(l)))
		return LIVENESS_FINE;
	l->rebinds++;
	l->rebind_at_ms = now_ms + l->interval_ms;
	l->interval_ms = l->interval_ms * 2 < LIVENESS_REBIND_MAX_MS ? l->interval_ms * 2
								     : LIVENESS_REBIND_MAX_MS;
	l->probed = false;
	return LIVENESS_REBIND;
}
