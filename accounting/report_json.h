/*
 * Rows of reports as the API has them, the same from a node and from a client's agent
 * (docs/api.md). The caller owns what is returned.
 */
#ifndef ACCOUNTING_REPORT_JSON_H
#define ACCOUNTING_REPORT_JSON_H

#include <jansson.h>

#include "accounting/reconcile.h"

/* provider: out of a provider's books, which has holds and postings too. */
json_t *report_explain(const struct query_explain *x, bool provider);
json_t *report_booking(const struct query_booking *b);
json_t *report_earning(const struct query_earning *e);
/* What a reconciliation says of a session; pair NULL: of no other one. */
json_t *report_reconcile(const struct query_explain *x, bool live, const struct reconcile *r);

#endif
