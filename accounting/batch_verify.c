#include "accounting/batch_verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/batch_check.h"

struct batch_chain *batch_chain_create(const struct batch_rules *rules)
{
	struct batch_chain *c = calloc(1, sizeof(*c));

	if (c)
		c->rules = rules;
	return c;
}

void batch_chain_free(struct batch_chain *c)
{
	if (!c)
		return;
	free(c->known);
	batch_totals_clear(&c->totals);
	free(c);
}

/* ---- the head ---- */

#define AT(field) offsetof(struct batch_head_body, field)

static int check_party(struct batch_check *k)
{
	const struct batch_head_body *h = &k->file.head.body, *before = &k->chain->head.body;
	const struct batch_rules *rules = k->chain->rules;

	if (rules->node && memcmp(h->node, rules->node, KEY_LEN) != 0)
		return batch_refuse(k->fault, BATCH_BAD_NODE, AT(node), "it is of another node");
	if (k->chain->any && memcmp(h->node, before->node, KEY_LEN) != 0)
		return batch_refuse(k->fault, BATCH_BAD_NODE, AT(node),
				    "it is of another node than the file before");
	if (rules->network && le64_get(h->network) != *rules->network)
		return batch_refuse(k->fault, BATCH_BAD_NETWORK, AT(network),
				    "it is of another network");
	if (k->chain->any && le64_get(h->network) != le64_get(before->network))
		return batch_refuse(k->fault, BATCH_BAD_NETWORK, AT(network),
				    "it is of another network than the file before");
	if (!identity_verify(k->file.head.signature, h, sizeof(*h), h->node))
		return batch_refuse(k->fault, BATCH_BAD_SIGNATURE, sizeof(*h),
				    "the node did not sign this head");
	return 0;
}

/* Behind the file before, at once or, where that is allowed, with epochs lost between. */
static int check_place(struct batch_check *k)
{
	const struct batch_head_body *h = &k->file.head.body, *before = &k->chain->head.body;
	uint64_t epoch = le64_get(h->epoch), last = le64_get(before->epoch);

	k->exact = epoch == 1;
	k->since = epoch;
	if (!k->chain->any)
		return 0;
	if (epoch <= last)
		return batch_refuse(k->fault, BATCH_BAD_EPOCH, AT(epoch),
				    "its epoch is not later than that of the file before");
	k->exact = epoch == last + 1;
	if (k->exact && (le64_get(h->previous_size) != le64_get(before->size) ||
			 memcmp(h->previous_root, before->root, KEY_LEN) != 0))
		return batch_refuse(k->fault, BATCH_BAD_PREVIOUS, AT(previous_size),
				    "its tree does not go on from that of the file before");
	if (k->exact) {
		k->since = k->chain->since;
		return 0;
	}
	if (!k->chain->rules->lost)
		return batch_refuse(k->fault, BATCH_BAD_EPOCH, AT(epoch),
				    "epochs are missing between it and the file before; find them, "
				    "or say that they are lost");
	if (le64_get(h->previous_size) < le64_get(before->size) ||
	    (le64_get(h->previous_size) == le64_get(before->size) &&
	     memcmp(h->previous_root, before->root, KEY_LEN) != 0))
		return batch_refuse(k->fault, BATCH_BAD_PREVIOUS, AT(previous_size),
				    "its tree cannot go on from that of the file before");
	return 0;
}

/* ---- all of it ---- */

static int check_sums(struct batch_check *k)
{
	const struct batch_head_body *h = &k->file.head.body;
	uint8_t root[KEY_LEN];

	if (le64_get(h->earned) != k->earned || le64_get(h->spent) != k->spent)
		return batch_refuse(k->fault, BATCH_BAD_SUMS, AT(earned),
				    "the head's sums are not those of the accounts");
	if (k->earned != k->spent)
		return batch_refuse(k->fault, BATCH_BAD_SUMS, AT(earned),
				    "as much must be earned as is spent");
	merkle_root(&k->tree, root);
	if (memcmp(h->root, root, KEY_LEN) != 0)
		return batch_refuse(k->fault, BATCH_BAD_ROOT, AT(root),
				    "the records do not make the root");
	return 0;
}

/* The sessions of this file replace those of the same id in the chain. */
static int keep_sessions(struct batch_check *k)
{
	struct batch_chain *c = k->chain;
	size_t n = k->file.count[BATCH_SESSIONS], i = 0, j = 0, count = 0;
	struct batch_settled *all = calloc(c->known_count + n + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	while (i < c->known_count || j < n) {
		int order = i == c->known_count ? 1
			    : j == n            ? -1
				     : batch_settled_order(&c->known[i], &k->sessions[j]);

		if (order < 0) {
			all[count++] = c->known[i++];
			continue;
		}
		i += order == 0;
		all[count] = k->sessions[j++];
		all[count].epoch = le64_get(k->file.head.body.epoch);
		all[count++].seen = false;
	}
	free(c->known);
	c->known = all;
	c->known_count = count;
	return 0;
}

static int check_file(struct batch_check *k, FILE *in, struct batch_totals *after)
{
	int err = batch_file_begin(&k->file, in, k->fault);

	if (!err)
		err = check_party(k);
	if (!err)
		err = check_place(k);
	if (!err)
		err = batch_file_peaks(&k->file, &k->tree, k->fault);
	if (!err)
		err = batch_check_records(k, after);
	if (!err)
		err = check_sums(k);
	return err ? err : keep_sessions(k);
}

int batch_chain_next(struct batch_chain *c, FILE *in, struct batch_head *head,
		     struct batch_fault *f)
{
	struct batch_check k = {.chain = c, .fault = f};
	struct batch_totals after = {0};
	int err;

	*f = (struct batch_fault){.reason = BATCH_OK};
	err = check_file(&k, in, &after);
	if (err) {
		batch_totals_clear(&after);
	} else {
		*head = c->head = k.file.head;
		c->since = k.since;
		c->any = true;
		batch_totals_clear(&c->totals);
		c->totals = after;
	}
	free(k.terms);
	free(k.sessions);
	batch_totals_clear(&k.totals);
	return err;
}
