#include "accounting/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounting/batch_file.h"

#define BUFFER_SIZE ((size_t)1 << 20)
#define PPM         1000000

struct batch {
	struct batch_head_values values;
	struct merkle tree;
	uint8_t peaks[MERKLE_LEVELS][KEY_LEN]; /* of the tree before */
	uint32_t left[BATCH_KINDS];            /* records still to come */
	enum batch_kind kind;                  /* of the record before */
	uint8_t last[KEY_LEN];                 /* what that record is sorted by ... */
	uint64_t last_seq;
	bool any; /* ... if there is one of its kind */
	uint64_t earned, spent;
	int fd;          /* -1: the buffer is the whole file, and the caller's */
	uint8_t *buffer; /* what is not yet written */
	size_t used;
	off_t offset; /* of the buffer in the file */
	bool finished;
	int error;
};

uint64_t batch_length(const struct batch_head_values *v)
{
	return sizeof(struct batch_head) + (uint64_t)v->terms * sizeof(struct terms) +
	       (uint64_t)v->sessions * sizeof(struct batch_session) +
	       (uint64_t)v->receipts * sizeof(struct receipt) +
	       (uint64_t)v->accounts * sizeof(struct batch_account) +
	       (uint64_t)__builtin_popcountll(v->previous_size) * KEY_LEN;
}

uint64_t batch_fee(uint64_t paid, uint32_t ppm)
{
	return (uint64_t)((unsigned __int128)paid * ppm / PPM);
}

void batch_session_make(struct batch_session *out, const struct batch_session_values *v)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->domain, DOMAIN_SETTLED, DOMAIN_LEN);
	memcpy(out->session, v->session, SESSION_ID_LEN);
	out->seq = le64_of(v->seq);
	out->paid = le64_of(v->paid);
	out->before = le64_of(v->before);
	out->fee_ppm = le32_of(v->fee_ppm);
	if (v->fee_ppm)
		memcpy(out->fee_account, v->fee_account, KEY_LEN);
}

void batch_account_make(struct batch_account *out, const uint8_t key[static KEY_LEN],
			uint64_t earned, uint64_t spent)
{
	memcpy(out->domain, DOMAIN_ACCOUNT, DOMAIN_LEN);
	memcpy(out->key, key, KEY_LEN);
	out->earned = le64_of(earned);
	out->spent = le64_of(spent);
}

/* ---- writing ---- */

static int write_at(int fd, const uint8_t *data, size_t len, off_t offset)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
		offset += n;
	}
	return 0;
}

static int flush(struct batch *b)
{
	int err = b->fd < 0 ? 0 : write_at(b->fd, b->buffer, b->used, b->offset);

	if (!err && b->fd >= 0) {
		b->offset += (off_t)b->used;
		b->used = 0;
	}
	return err;
}

static int put(struct batch *b, const void *data, size_t len)
{
	int err = 0;

	if (b->fd >= 0 && b->used + len > BUFFER_SIZE)
		err = flush(b);
	if (err)
		return err;
	memcpy(b->buffer + b->used, data, len);
	b->used += len;
	return 0;
}

/* ---- the order of things ---- */

struct place {
	enum batch_kind kind;
	const uint8_t *key;
	size_t key_len;
	uint64_t seq;
};

/* The kinds before must be complete, this one not yet, and the record above the last of its kind.
 */
static bool in_order(const struct batch *b, const struct place *p)
{
	int order;

	for (int k = 0; k < (int)p->kind; k++)
		if (b->left[k])
			return false;
	if (b->left[p->kind] == 0)
		return false;
	if (!b->any || b->kind != p->kind)
		return true;
	order = memcmp(b->last, p->key, p->key_len);
	return order < 0 || (order == 0 && p->kind == BATCH_RECEIPTS && b->last_seq < p->seq);
}

static int add(struct batch *b, const struct place *p, const void *record, size_t len)
{
	uint8_t leaf[KEY_LEN];

	if (!in_order(b, p))
		return -EINVAL;
	merkle_leaf(leaf, record, len);
	merkle_append(&b->tree, leaf, NULL);
	b->left[p->kind]--;
	b->kind = p->kind;
	b->any = true;
	memcpy(b->last, p->key, p->key_len);
	b->last_seq = p->seq;
	return put(b, record, len);
}

static const uint8_t no_key[KEY_LEN];

static bool domain_is(const uint8_t domain[static DOMAIN_LEN], const char *expected)
{
	return memcmp(domain, expected, DOMAIN_LEN) == 0;
}

static bool ours(const struct batch *b, le64 network, const uint8_t node[static KEY_LEN])
{
	return le64_get(network) == b->values.network && memcmp(node, b->values.node, KEY_LEN) == 0;
}

static int keep(struct batch *b, int err)
{
	if (!b->error)
		b->error = err;
	return b->error;
}

/* ---- in public ---- */

static struct batch *create(const struct batch_head_values *v, const uint8_t (*peaks)[KEY_LEN])
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->values = *v;
	b->left[BATCH_TERMS] = v->terms;
	b->left[BATCH_SESSIONS] = v->sessions;
	b->left[BATCH_RECEIPTS] = v->receipts;
	b->left[BATCH_ACCOUNTS] = v->accounts;
	b->used = sizeof(struct batch_head);
	merkle_resume(&b->tree, v->previous_size, peaks);
	merkle_peaks(&b->tree, b->peaks);
	return b;
}

static int begin(struct batch **out, const struct batch_head_values *v,
		 const uint8_t (*peaks)[KEY_LEN])
{
	uint64_t records = (uint64_t)v->terms + v->sessions + v->receipts + v->accounts;
	uint8_t root[KEY_LEN];
	struct batch *b;

	*out = NULL;
	if (v->epoch == 0 || memcmp(v->node, no_key, KEY_LEN) == 0)
		return -EINVAL;
	if (v->previous_size > UINT64_MAX - records)
		return -ERANGE;
	b = create(v, peaks);
	if (!b)
		return -ENOMEM;
	merkle_root(&b->tree, root);
	if (memcmp(root, v->previous_root, KEY_LEN) != 0) {
		free(b);
		return -EINVAL;
	}
	*out = b;
	return 0;
}

int batch_begin(struct batch **out, const struct batch_head_values *v,
		const uint8_t (*peaks)[KEY_LEN], int fd)
{
	int err = begin(out, v, peaks);

	if (err)
		return err;
	(*out)->fd = fd;
	/* Zeros where the head will be: until then this is no batch. */
	(*out)->buffer = calloc(1, BUFFER_SIZE);
	if ((*out)->buffer)
		return 0;
	free(*out);
	*out = NULL;
	return -ENOMEM;
}

int batch_begin_memory(struct batch **out, const struct batch_head_values *v,
		       const uint8_t (*peaks)[KEY_LEN], uint8_t *bytes)
{
	int err = begin(out, v, peaks);

	if (err)
		return err;
	(*out)->fd = -1;
	(*out)->buffer = bytes;
	return 0;
}

int batch_terms(struct batch *b, const struct terms *t)
{
	uint8_t hash[KEY_LEN];
	const struct place p = {BATCH_TERMS, hash, sizeof(hash), 0};

	if (b->error)
		return b->error;
	terms_hash(hash, t);
	if (!domain_is(t->body.domain, DOMAIN_TERMS) || !ours(b, t->body.network, t->body.provider))
		return keep(b, -EINVAL);
	return keep(b, add(b, &p, t, sizeof(*t)));
}

int batch_session(struct batch *b, const struct batch_session *s)
{
	const struct place p = {BATCH_SESSIONS, s->session, sizeof(s->session), 0};
	uint32_t ppm = le32_get(s->fee_ppm);
	bool nobody = memcmp(s->fee_account, no_key, KEY_LEN) == 0;

	if (b->error)
		return b->error;
	if (!domain_is(s->domain, DOMAIN_SETTLED) || le64_get(s->before) > le64_get(s->paid) ||
	    ppm > PPM || (ppm == 0) != nobody || !crypto_is_zero(s->zero, sizeof(s->zero)))
		return keep(b, -EINVAL);
	return keep(b, add(b, &p, s, sizeof(*s)));
}

int batch_receipt(struct batch *b, const struct receipt *r)
{
	const struct receipt_body *body = &r->offer.body;
	const struct place p = {BATCH_RECEIPTS, body->session, sizeof(body->session),
				le64_get(body->seq)};

	if (b->error)
		return b->error;
	if (!domain_is(body->domain, DOMAIN_RECEIPT) || !ours(b, body->network, body->provider))
		return keep(b, -EINVAL);
	return keep(b, add(b, &p, r, sizeof(*r)));
}

int batch_account(struct batch *b, const struct batch_account *a)
{
	const struct place p = {BATCH_ACCOUNTS, a->key, sizeof(a->key), 0};
	uint64_t earned = le64_get(a->earned), spent = le64_get(a->spent);

	if (b->error)
		return b->error;
	if (!domain_is(a->domain, DOMAIN_ACCOUNT) || (earned == 0 && spent == 0))
		return keep(b, -EINVAL);
	if (__builtin_add_overflow(b->earned, earned, &b->earned) ||
	    __builtin_add_overflow(b->spent, spent, &b->spent))
		return keep(b, -ERANGE);
	return keep(b, add(b, &p, a, sizeof(*a)));
}

static void make_head(const struct batch *b, const struct identity *by, struct batch_head *out)
{
	const struct batch_head_values *v = &b->values;
	struct batch_head_body *h = &out->body;

	memset(out, 0, sizeof(*out));
	memcpy(h->domain, DOMAIN_BATCH, DOMAIN_LEN);
	h->version = BATCH_VERSION;
	h->network = le64_of(v->network);
	memcpy(h->node, v->node, KEY_LEN);
	h->epoch = le64_of(v->epoch);
	h->hour = le64_of(v->hour);
	h->previous_size = le64_of(v->previous_size);
	memcpy(h->previous_root, v->previous_root, KEY_LEN);
	h->size = le64_of(b->tree.size);
	merkle_root(&b->tree, h->root);
	h->terms = le32_of(v->terms);
	h->sessions = le32_of(v->sessions);
	h->receipts = le32_of(v->receipts);
	h->accounts = le32_of(v->accounts);
	h->earned = le64_of(b->earned);
	h->spent = le64_of(b->spent);
	identity_sign(out->signature, h, sizeof(*h), by);
}

int batch_finish(struct batch *b, const struct identity *by, struct batch_head *out)
{
	size_t peaks = (size_t)__builtin_popcountll(b->values.previous_size);
	int err = b->error;

	if (err)
		return err;
	for (int k = 0; k < BATCH_KINDS; k++)
		if (b->left[k])
			return keep(b, -EINVAL);
	if (b->finished || memcmp(by->id, b->values.node, KEY_LEN) != 0 || b->earned != b->spent)
		return keep(b, -EINVAL);
	b->finished = true;
	err = put(b, b->peaks, peaks * KEY_LEN);
	if (!err)
		err = flush(b);
	if (err)
		return keep(b, err);
	make_head(b, by, out);
	if (b->fd < 0)
		memcpy(b->buffer, out, sizeof(*out));
	else
		err = write_at(b->fd, (const uint8_t *)out, sizeof(*out), 0);
	return keep(b, err);
}

const struct merkle *batch_tree(const struct batch *b)
{
	return &b->tree;
}

void batch_free(struct batch *b)
{
	if (b && b->fd >= 0)
		free(b->buffer);
	free(b);
}
