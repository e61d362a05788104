#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "accounting/batch_proof.h"
#include "client/api.h"
#include "client/settle.h"
#include "client/units.h"

/* What came out of a proof, and what it is about. */
struct verdict {
	const char *why; /* NULL: it holds */
	struct batch_head head;
	char claim[256]; /* what it then proves */
};

static bool bytes_field(void *out, size_t len, const json_t *proof, const char *name)
{
	return bytes_from_base64(out, len, field_text(proof, name)) == (ssize_t)len;
}

static bool path_field(uint8_t out[static MERKLE_PROOF_MAX][KEY_LEN], size_t *count,
		       const json_t *proof)
{
	const json_t *list = json_object_get(proof, "path"), *item;
	size_t i;

	*count = json_array_size(list);
	if (!json_is_array(list) || *count > MERKLE_PROOF_MAX)
		return false;
	json_array_foreach(
		list, i, item) if (!json_is_string(item) ||
				   !key_from_base64(out[i], json_string_value(item))) return false;
	return true;
}

static bool read_inclusion(struct batch_inclusion *p, const json_t *proof)
{
	const json_t *index = json_object_get(proof, "index");
	ssize_t len = bytes_from_base64(p->leaf, sizeof(p->leaf), field_text(proof, "leaf"));

	p->leaf_len = len > 0 ? (size_t)len : 0;
	p->index = (uint64_t)json_integer_value(index);
	return len > 0 && json_is_integer(index) && json_integer_value(index) >= 0 &&
	       bytes_field(&p->head, sizeof(p->head), proof, "head") &&
	       path_field(p->path, &p->path_len, proof);
}

static bool read_extension(struct batch_extension *p, const json_t *proof)
{
	return bytes_field(&p->old, sizeof(p->old), proof, "old") &&
	       bytes_field(&p->new, sizeof(p->new), proof, "head") &&
	       path_field(p->path, &p->path_len, proof);
}

static void claim_inclusion(struct verdict *v, const struct batch_inclusion *p)
{
	char id[KEY_TEXT], earned[UNITS_TEXT], spent[UNITS_TEXT];
	struct batch_account a;
	struct receipt r;

	if (p->leaf_len == sizeof(a)) {
		memcpy(&a, p->leaf, sizeof(a));
		snprintf(v->claim, sizeof(v->claim), "%s has earned %s and spent %s credits",
			 key_to_base64(id, a.key), unit_credits(earned, le64_get(a.earned)),
			 unit_credits(spent, le64_get(a.spent)));
		return;
	}
	memcpy(&r, p->leaf, sizeof(r));
	snprintf(v->claim, sizeof(v->claim),
		 "%s signed receipt %" PRIu64 " for %s credits; it is in the log",
		 key_to_base64(id, r.offer.body.payer), le64_get(r.offer.body.seq),
		 unit_credits(spent, le64_get(r.offer.body.amount)));
}

static void judge_inclusion(struct verdict *v, const json_t *proof)
{
	struct batch_inclusion p;

	v->why = read_inclusion(&p, proof) ? batch_inclusion_check(&p)
					   : "fields of the proof are missing or malformed";
	if (v->why)
		return;
	v->head = p.head;
	claim_inclusion(v, &p);
}

static void judge_extension(struct verdict *v, const json_t *proof)
{
	struct batch_extension p;

	v->why = read_extension(&p, proof) ? batch_extension_check(&p)
					   : "fields of the proof are missing or malformed";
	if (v->why)
		return;
	v->head = p.new;
	snprintf(v->claim, sizeof(v->claim),
		 "the log begins with that of epoch %" PRIu64 ": nothing in it was changed",
		 le64_get(p.old.body.epoch));
}

static void judge(struct verdict *v, const json_t *proof, const uint8_t *node)
{
	const char *kind = field_text(proof, "proof");

	if (field_number(proof, "schema") != SETTLE_PROOF_SCHEMA)
		v->why = "not a proof of schema 1";
	else if (strcmp(kind, "inclusion") == 0)
		judge_inclusion(v, proof);
	else if (strcmp(kind, "consistency") == 0)
		judge_extension(v, proof);
	else
		v->why = "neither a proof of inclusion nor of consistency";
	if (!v->why && node && memcmp(v->head.body.node, node, KEY_LEN) != 0)
		v->why = "it is of another node";
}

static int report(const struct cli *cli, const char *path, const struct verdict *v)
{
	uint64_t epoch = v->why ? 0 : le64_get(v->head.body.epoch);
	char node[KEY_TEXT] = "";

	if (!v->why)
		key_to_base64(node, v->head.body.node);
	if (cli->json)
		print_json(json_pack("{s:i, s:b, s:s, s:s, s:I}", "schema", 1, "ok", !v->why,
				     v->why ? "why" : "claim", v->why ? v->why : v->claim, "node",
				     node, "epoch", (json_int_t)epoch));
	if (v->why)
		return cli_fail(STATUS_UNVERIFIED, "%s: %s; it proves nothing", path, v->why);
	if (!cli->json && !cli->quiet)
		printf("epoch %" PRIu64 " of %s: %s\n", epoch, node, v->claim);
	return STATUS_OK;
}

int settle_check_proof(const struct cli *cli, const struct settle_options *o)
{
	const char *path = cli->words.count == 2 ? cli->words.item[1] : NULL;
	struct verdict verdict = {.why = NULL};
	const uint8_t *node;
	uint8_t key[KEY_LEN];
	json_t *proof;
	FILE *in;
	int status = settle_node(&node, key, o);

	if (status != STATUS_OK)
		return status;
	if (!path)
		return cli_fail(STATUS_USAGE, "check-proof wants a file, or - for stdin; see "
					      "culvert help settle");
	in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!in)
		return cli_fail(cli_file_status(path), "%s: %s; give the file of a proof", path,
				strerror(errno));
	proof = json_loadf(in, JSON_REJECT_DUPLICATES, NULL);
	if (in != stdin)
		fclose(in);
	if (json_is_object(proof))
		judge(&verdict, proof, node);
	else
		verdict.why = "not a JSON object";
	json_decref(proof);
	return report(cli, path, &verdict);
}
