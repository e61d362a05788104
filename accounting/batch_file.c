#include "accounting/batch_file.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char *batch_reason_name(enum batch_reason r)
{
	static const char *const names[BATCH_REASONS] = {
		[BATCH_OK] = "ok",
		[BATCH_BAD_HEAD] = "head",
		[BATCH_BAD_LENGTH] = "length",
		[BATCH_BAD_NODE] = "node",
		[BATCH_BAD_NETWORK] = "network",
		[BATCH_BAD_SIGNATURE] = "signature",
		[BATCH_BAD_EPOCH] = "epoch",
		[BATCH_BAD_PREVIOUS] = "previous",
		[BATCH_BAD_PEAKS] = "peaks",
		[BATCH_BAD_ORDER] = "order",
		[BATCH_BAD_TERMS] = "terms",
		[BATCH_BAD_SESSION] = "session",
		[BATCH_BAD_RECEIPT] = "receipt",
		[BATCH_BAD_CHAIN] = "chain",
		[BATCH_BAD_PAID] = "paid",
		[BATCH_UNUSED] = "unused",
		[BATCH_BAD_ACCOUNT] = "account",
		[BATCH_BAD_TOTALS] = "totals",
		[BATCH_BAD_SUMS] = "sums",
		[BATCH_BAD_ROOT] = "root",
	};

	return names[r];
}

const char *batch_fault_text(char out[static BATCH_FAULT_TEXT], const struct batch_fault *f)
{
	if (f->what)
		snprintf(out, BATCH_FAULT_TEXT, "%s %" PRIu64 ", byte %" PRIu64 ": %s", f->what,
			 f->number, f->offset, f->why);
	else
		snprintf(out, BATCH_FAULT_TEXT, "byte %" PRIu64 ": %s", f->offset, f->why);
	return out;
}

int batch_refuse(struct batch_fault *f, enum batch_reason reason, uint64_t offset, const char *why)
{
	*f = (struct batch_fault){.reason = reason, .why = why, .offset = offset};
	return -EBADMSG;
}

size_t batch_record_len(enum batch_kind kind)
{
	static const size_t lengths[BATCH_KINDS] = {
		[BATCH_TERMS] = sizeof(struct terms),
		[BATCH_SESSIONS] = sizeof(struct batch_session),
		[BATCH_RECEIPTS] = sizeof(struct receipt),
		[BATCH_ACCOUNTS] = sizeof(struct batch_account),
	};

	return lengths[kind];
}

const char *batch_record_name(enum batch_kind kind)
{
	static const char *const names[BATCH_KINDS] = {
		[BATCH_TERMS] = "terms",
		[BATCH_SESSIONS] = "session",
		[BATCH_RECEIPTS] = "receipt",
		[BATCH_ACCOUNTS] = "account",
	};

	return names[kind];
}

static int read_bytes(FILE *in, void *out, size_t len)
{
	errno = 0;
	if (fread(out, 1, len, in) == len)
		return 0;
	return ferror(in) && errno ? -errno : -EIO;
}

static int seek(FILE *in, uint64_t offset)
{
	return fseeko(in, (off_t)offset, SEEK_SET) == 0 ? 0 : -errno;
}

static int find_length(FILE *in, uint64_t *length)
{
	off_t end;

	if (fseeko(in, 0, SEEK_END) != 0)
		return -errno;
	end = ftello(in);
	if (end < 0)
		return -errno;
	*length = (uint64_t)end;
	return seek(in, 0);
}

int batch_head_form(const struct batch_head_body *h, struct batch_fault *f)
{
	uint64_t records = (uint64_t)le32_get(h->terms) + le32_get(h->sessions) +
			   le32_get(h->receipts) + le32_get(h->accounts);
	uint64_t before = le64_get(h->previous_size), epoch = le64_get(h->epoch);

	if (memcmp(h->domain, DOMAIN_BATCH, DOMAIN_LEN) != 0)
		return batch_refuse(f, BATCH_BAD_HEAD, 0, "this is no settlement batch");
	if (h->version != BATCH_VERSION)
		return batch_refuse(f, BATCH_BAD_HEAD, offsetof(struct batch_head_body, version),
				    "another version; use the culvert that wrote it");
	if (!crypto_is_zero(h->zero, sizeof(h->zero)))
		return batch_refuse(f, BATCH_BAD_HEAD, offsetof(struct batch_head_body, zero),
				    "bytes that must be zero are not");
	if (crypto_is_zero(h->node, sizeof(h->node)))
		return batch_refuse(f, BATCH_BAD_HEAD, offsetof(struct batch_head_body, node),
				    "it names no node");
	if (epoch == 0)
		return batch_refuse(f, BATCH_BAD_HEAD, offsetof(struct batch_head_body, epoch),
				    "epochs count from 1");
	if (epoch == 1 && before != 0)
		return batch_refuse(f, BATCH_BAD_HEAD,
				    offsetof(struct batch_head_body, previous_size),
				    "nothing comes before epoch 1");
	if (before > UINT64_MAX - records || le64_get(h->size) != before + records)
		return batch_refuse(f, BATCH_BAD_HEAD, offsetof(struct batch_head_body, size),
				    "the size is not the size before and the number of records");
	return 0;
}

static int check_length(const struct batch_file *b, uint64_t length, struct batch_fault *f)
{
	uint64_t peaks = (uint64_t)__builtin_popcountll(le64_get(b->head.body.previous_size));
	uint64_t announced = b->end + peaks * KEY_LEN;

	if (length < announced)
		return batch_refuse(f, BATCH_BAD_LENGTH, length,
				    "the file ends before all that its head announces");
	if (length > announced)
		return batch_refuse(f, BATCH_BAD_LENGTH, announced,
				    "the file goes on behind all that its head announces");
	return 0;
}

int batch_file_begin(struct batch_file *b, FILE *in, struct batch_fault *f)
{
	const struct batch_head_body *h = &b->head.body;
	uint64_t length = 0;
	int err = find_length(in, &length);

	b->in = in;
	if (err)
		return err;
	if (length < sizeof(b->head))
		return batch_refuse(f, BATCH_BAD_LENGTH, length, "the file ends within its head");
	err = read_bytes(in, &b->head, sizeof(b->head));
	if (err)
		return err;
	b->count[BATCH_TERMS] = le32_get(h->terms);
	b->count[BATCH_SESSIONS] = le32_get(h->sessions);
	b->count[BATCH_RECEIPTS] = le32_get(h->receipts);
	b->count[BATCH_ACCOUNTS] = le32_get(h->accounts);
	b->end = sizeof(b->head);
	for (int k = 0; k < BATCH_KINDS; k++)
		b->end += (uint64_t)b->count[k] * batch_record_len((enum batch_kind)k);
	err = batch_head_form(h, f);
	return err ? err : check_length(b, length, f);
}

int batch_file_peaks(struct batch_file *b, struct merkle *tree, struct batch_fault *f)
{
	const struct batch_head_body *h = &b->head.body;
	uint64_t before = le64_get(h->previous_size);
	uint8_t peaks[MERKLE_LEVELS][KEY_LEN], root[KEY_LEN];
	int err = seek(b->in, b->end);

	if (!err)
		err = read_bytes(b->in, peaks,
				 (size_t)__builtin_popcountll(before) * sizeof(*peaks));
	if (err)
		return err;
	merkle_resume(tree, before, (const uint8_t(*)[KEY_LEN])peaks);
	merkle_root(tree, root);
	if (memcmp(root, h->previous_root, KEY_LEN) != 0)
		return batch_refuse(f, BATCH_BAD_PEAKS, b->end,
				    "the peaks of the tree before do not make the root before");
	b->next = sizeof(b->head);
	return seek(b->in, sizeof(b->head));
}

int batch_file_read(struct batch_file *b, void *record, size_t len)
{
	b->offset = b->next;
	b->next += len;
	return read_bytes(b->in, record, len);
}
