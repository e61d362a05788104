#include "accounting/batch_proof.h"

#include <errno.h>
#include <string.h>

/* Room for any record. */
struct record {
	uint8_t bytes[sizeof(struct receipt)];
	size_t len;
};

static bool is_asked_for(const struct batch_query *q, enum batch_kind kind, const struct record *r)
{
	struct batch_account account;
	struct receipt receipt;

	if (q->kind != kind)
		return false;
	if (kind == BATCH_ACCOUNTS) {
		memcpy(&account, r->bytes, sizeof(account));
		return memcmp(account.key, q->account, KEY_LEN) == 0;
	}
	memcpy(&receipt, r->bytes, sizeof(receipt));
	return memcmp(receipt.offer.body.session, q->session, SESSION_ID_LEN) == 0 &&
	       le64_get(receipt.offer.body.seq) == q->seq;
}

static int read_record(struct batch_file *b, enum batch_kind kind, struct record *r)
{
	r->len = batch_record_len(kind);
	return batch_file_read(b, r->bytes, r->len);
}

static int find(struct batch_file *b, const struct batch_query *q, struct batch_inclusion *out)
{
	uint64_t index = le64_get(b->head.body.previous_size);
	struct record r;

	for (int kind = 0; kind < BATCH_KINDS; kind++)
		for (uint32_t i = 0; i < b->count[kind]; i++, index++) {
			int err = read_record(b, (enum batch_kind)kind, &r);

			if (err)
				return err;
			if (!is_asked_for(q, (enum batch_kind)kind, &r))
				continue;
			memcpy(out->leaf, r.bytes, r.len);
			out->leaf_len = r.len;
			out->index = index;
			return 0;
		}
	return -ENOENT;
}

/* Hashes all records, for the subtrees the proof wants. */
static int collect(struct batch_file *b, struct merkle_proof *proof, struct batch_fault *f)
{
	struct merkle tree;
	uint8_t leaf[KEY_LEN];
	struct record r;
	int err = batch_file_peaks(b, &tree, f);

	for (int kind = 0; kind < BATCH_KINDS; kind++)
		for (uint32_t i = 0; i < b->count[kind] && !err; i++) {
			err = read_record(b, (enum batch_kind)kind, &r);
			merkle_leaf(leaf, r.bytes, r.len);
			merkle_append(&tree, leaf, proof);
		}
	if (err)
		return err;
	merkle_root(&tree, leaf);
	if (memcmp(leaf, b->head.body.root, KEY_LEN) != 0 || !merkle_finish(proof, &tree))
		return batch_refuse(f, BATCH_BAD_ROOT, offsetof(struct batch_head_body, root),
				    "the records do not make the root");
	return 0;
}

static bool is_signed(const struct batch_head *h)
{
	return identity_verify(h->signature, &h->body, sizeof(h->body), h->body.node);
}

static int begin(struct batch_file *b, FILE *in, struct batch_fault *f)
{
	int err;

	*f = (struct batch_fault){.reason = BATCH_OK};
	err = batch_file_begin(b, in, f);
	if (!err && !is_signed(&b->head))
		return batch_refuse(f, BATCH_BAD_SIGNATURE, sizeof(b->head.body),
				    "the node did not sign this head");
	return err;
}

static size_t copy_path(uint8_t out[static MERKLE_PROOF_MAX][KEY_LEN], const struct merkle_proof *p)
{
	for (size_t i = 0; i < p->count; i++)
		memcpy(out[i], p->item[i].hash, KEY_LEN);
	return p->count;
}

int batch_prove_inclusion(struct batch_inclusion *out, FILE *in, const struct batch_query *q,
			  struct batch_fault *f)
{
	struct merkle_proof proof;
	struct merkle tree;
	struct batch_file b;
	int err = begin(&b, in, f);

	if (!err)
		err = batch_file_peaks(&b, &tree, f);
	if (!err)
		err = find(&b, q, out);
	if (err)
		return err;
	out->head = b.head;
	if (!merkle_want_inclusion(&proof, out->index, le64_get(b.head.body.size)))
		return -ENOENT; /* cannot be: find counted below the size */
	err = collect(&b, &proof, f);
	if (!err)
		out->path_len = copy_path(out->path, &proof);
	return err;
}

int batch_prove_extension(struct batch_extension *out, FILE *in, const struct batch_head *old,
			  struct batch_fault *f)
{
	const struct batch_head_body *h;
	struct merkle_proof proof;
	struct batch_file b;
	int err = begin(&b, in, f);

	if (err)
		return err;
	h = &b.head.body;
	if (le64_get(h->previous_size) != le64_get(old->body.size) ||
	    memcmp(h->previous_root, old->body.root, KEY_LEN) != 0 ||
	    !merkle_want_consistency(&proof, le64_get(old->body.size), le64_get(h->size)))
		return -ENOENT;
	out->old = *old;
	out->new = b.head;
	err = collect(&b, &proof, f);
	if (!err)
		out->path_len = copy_path(out->path, &proof);
	return err;
}

/* ---- checking ---- */

static const char *head_fault(const struct batch_head *h)
{
	struct batch_fault f;

	if (batch_head_form(&h->body, &f))
		return f.why;
	return is_signed(h) ? NULL : "the node did not sign this head";
}

/* What is under a receipt's signatures, as far as it can be told without its terms. */
static const char *receipt_fault(const struct batch_inclusion *p)
{
	const struct batch_head_body *h = &p->head.body;
	struct receipt r;

	memcpy(&r, p->leaf, sizeof(r));
	if (memcmp(r.offer.body.provider, h->node, KEY_LEN) != 0 ||
	    memcmp(&r.offer.body.network, &h->network, sizeof(h->network)) != 0)
		return "the receipt is of another node or network";
	if (!identity_verify(r.offer.provider_signature, &r.offer.body, sizeof(r.offer.body),
			     r.offer.body.provider))
		return "the node did not sign the receipt";
	if (!identity_verify(r.payer_signature, &r.offer, sizeof(r.offer), r.offer.body.payer))
		return "the payer did not sign the receipt";
	return NULL;
}

static bool leaf_is(const struct batch_inclusion *p, const char *domain, size_t len)
{
	return p->leaf_len == len && memcmp(p->leaf, domain, DOMAIN_LEN) == 0;
}

const char *batch_inclusion_check(const struct batch_inclusion *p)
{
	const struct batch_head_body *h = &p->head.body;
	const struct merkle_path path = {p->path, p->path_len};
	const char *why = head_fault(&p->head);
	uint8_t leaf[KEY_LEN];

	if (why)
		return why;
	if (!leaf_is(p, DOMAIN_ACCOUNT, sizeof(struct batch_account)) &&
	    !leaf_is(p, DOMAIN_RECEIPT, sizeof(struct receipt)))
		return "the leaf is neither an account nor a receipt";
	merkle_leaf(leaf, p->leaf, p->leaf_len);
	if (!merkle_includes(h->root, le64_get(h->size), p->index, leaf, &path))
		return "the leaf is not in the tree the node signed";
	return p->leaf_len == sizeof(struct receipt) ? receipt_fault(p) : NULL;
}

const char *batch_extension_check(const struct batch_extension *p)
{
	const struct batch_head_body *old = &p->old.body, *new = &p->new.body;
	const struct merkle_claim before = {le64_get(old->size), old->root};
	const struct merkle_claim after = {le64_get(new->size), new->root};
	const struct merkle_path path = {p->path, p->path_len};
	const char *why = head_fault(&p->old);

	if (!why)
		why = head_fault(&p->new);
	if (why)
		return why;
	if (memcmp(old->node, new->node, KEY_LEN) != 0 ||
	    memcmp(&old->network, &new->network, sizeof(new->network)) != 0)
		return "the two heads are of different nodes or networks";
	if (le64_get(old->epoch) >= le64_get(new->epoch))
		return "the second head is not of a later epoch than the first";
	if (!merkle_extends(&before, &after, &path))
		return "the second tree does not begin with the first";
	return NULL;
}
