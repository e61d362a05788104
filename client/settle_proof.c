#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "accounting/batch_proof.h"
#include "base/text.h"
#include "client/api.h"
#include "client/settle.h"

static json_t *base64(const void *bytes, size_t len)
{
	char text[CRYPTO_BASE64_LEN(sizeof(struct receipt))];

	return json_string(bytes_to_base64(text, sizeof(text), bytes, len));
}

static json_t *path_json(const uint8_t (*path)[KEY_LEN], size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, base64(path[i], KEY_LEN));
	return list;
}

/* One line: proofs are kept and sent as such. */
static void print_line(json_t *proof)
{
	json_dumpf(proof, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(proof);
}

static void print_inclusion(const struct batch_inclusion *p)
{
	print_line(json_pack("{s:i, s:s, s:o, s:o, s:I, s:o}", "schema", SETTLE_PROOF_SCHEMA,
			     "proof", "inclusion", "head", base64(&p->head, sizeof(p->head)),
			     "leaf", base64(p->leaf, p->leaf_len), "index", (json_int_t)p->index,
			     "path", path_json(p->path, p->path_len)));
}

static void print_extension(const struct batch_extension *p)
{
	print_line(json_pack("{s:i, s:s, s:o, s:o, s:o}", "schema", SETTLE_PROOF_SCHEMA, "proof",
			     "consistency", "old", base64(&p->old, sizeof(p->old)), "head",
			     base64(&p->new, sizeof(p->new)), "path",
			     path_json(p->path, p->path_len)));
}

/* What a proof could not be made of. */
static int failed(const char *path, int err, const struct batch_fault *f, const char *missing)
{
	char text[BATCH_FAULT_TEXT];

	if (err == -ENOENT)
		return cli_fail(STATUS_NOT_FOUND, "%s: %s", path, missing);
	if (err == -EBADMSG)
		return cli_fail(STATUS_UNVERIFIED, "%s: %s (%s); see culvert settle verify", path,
				batch_fault_text(text, f), batch_reason_name(f->reason));
	return cli_fail(STATUS_FAILED, "%s: %s while reading; try again", path, strerror(-err));
}

static int open_batch(FILE **in, const char *path)
{
	*in = fopen(path, "re");
	if (*in)
		return STATUS_OK;
	return cli_fail(cli_file_status(path), "%s: %s; give the file of an epoch", path,
			strerror(errno));
}

/* SESSION:SEQ */
static bool read_receipt_name(struct batch_query *q, const char *text)
{
	char session[2 * SESSION_ID_LEN + 1];
	size_t n = strcspn(text, ":");

	if (n != 2 * SESSION_ID_LEN || text[n] != ':')
		return false;
	memcpy(session, text, n);
	session[n] = '\0';
	return text_unhex(q->session, SESSION_ID_LEN, session) &&
	       text_u64(text + n + 1, 1, UINT64_MAX, &q->seq);
}

static int prove_inclusion(const struct cli *cli, const struct settle_options *o)
{
	struct batch_query q = {.kind = o->account ? BATCH_ACCOUNTS : BATCH_RECEIPTS};
	struct batch_inclusion proof;
	struct batch_fault fault;
	FILE *in;
	int err, status;

	if (o->account && !read_id(q.account, o->account))
		return cli_fail(STATUS_USAGE,
				"--account wants an id, 44 characters; %s is "
				"something else",
				o->account);
	if (o->receipt && !read_receipt_name(&q, o->receipt))
		return cli_fail(STATUS_USAGE,
				"--receipt wants SESSION:NUMBER, the session as 32 hex digits; "
				"%s is something else",
				o->receipt);
	status = open_batch(&in, cli->words.item[1]);
	if (status != STATUS_OK)
		return status;
	err = batch_prove_inclusion(&proof, in, &q, &fault);
	fclose(in);
	if (err)
		return failed(cli->words.item[1], err, &fault,
			      "the epoch has no such record; try another epoch's file");
	print_inclusion(&proof);
	return STATUS_OK;
}

static int prove_extension(const struct cli *cli)
{
	struct batch_extension proof;
	struct batch_fault fault;
	struct batch_file old;
	FILE *in;
	int err, status = open_batch(&in, cli->words.item[1]);

	if (status != STATUS_OK)
		return status;
	err = batch_file_begin(&old, in, &fault);
	fclose(in);
	if (err)
		return failed(cli->words.item[1], err, &fault, "");
	status = open_batch(&in, cli->words.item[2]);
	if (status != STATUS_OK)
		return status;
	err = batch_prove_extension(&proof, in, &old.head, &fault);
	fclose(in);
	if (err)
		return failed(cli->words.item[2], err, &fault,
			      "it is not the epoch right after the first file's; give two files "
			      "that follow each other");
	print_extension(&proof);
	return STATUS_OK;
}

int settle_proof(const struct cli *cli, const struct settle_options *o)
{
	bool one = cli->words.count == 2, two = cli->words.count == 3;

	if ((o->account != NULL) + (o->receipt != NULL) + o->consistency != 1 ||
	    (o->consistency ? !two : !one))
		return cli_fail(STATUS_USAGE,
				"proof wants a file and --account or --receipt, or two files and "
				"--consistency; see culvert help settle");
	return o->consistency ? prove_extension(cli) : prove_inclusion(cli, o);
}
