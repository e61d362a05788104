#include "relay/patience.h"

unsigned patience_looks(struct patience *l)
{
	bool trial = l->batch < PATIENCE_TRIAL;

	if (l->batch == PATIENCE_TRIAL)
		l->worthwhile = l->paid * PATIENCE_PAYS >= PATIENCE_TRIAL;
	if (++l->batch == PATIENCE_PERIOD)
		*l = (struct patience){.worthwhile = l->worthwhile};
	return trial || l->worthwhile ? PATIENCE_LOOKS : 0;
}

void patience_paid(struct patience *l)
{
	if (l->batch <= PATIENCE_TRIAL)
		l->paid++;
}
