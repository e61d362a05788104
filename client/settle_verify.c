#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/batch_verify.h"
#include "base/log.h"
#include "base/text.h"
#include "client/api.h"
#include "client/grid.h"
#include "client/settle.h"
#include "client/units.h"

/* What is printed in the end, file by file. */
struct report {
	const struct cli *cli;
	struct grid *grid;
	json_t *batches;
	json_t *refused;
	struct batch_head last;
	uint64_t epochs, receipts;
};

static void add_row(struct report *r, const char *path, const struct batch_head_body *h)
{
	char earned[UNITS_TEXT], spent[UNITS_TEXT], root[KEY_TEXT];

	key_to_base64(root, h->root);
	grid_cell(r->grid, "%" PRIu64, le64_get(h->epoch));
	grid_cell(r->grid, "%" PRIu64, le64_get(h->size));
	grid_cell(r->grid, "%" PRIu32, le32_get(h->receipts));
	grid_cell(r->grid, "%s", unit_credits(earned, le64_get(h->earned)));
	grid_cell(r->grid, "%s", unit_credits(spent, le64_get(h->spent)));
	grid_cell(r->grid, "%s", root);
	grid_cell(r->grid, "%s", path);
	json_array_append_new(r->batches,
			      json_pack("{s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I}", "file",
					path, "epoch", (json_int_t)le64_get(h->epoch), "hour",
					(json_int_t)le64_get(h->hour), "size",
					(json_int_t)le64_get(h->size), "root", root, "receipts",
					(json_int_t)le32_get(h->receipts), "accounts",
					(json_int_t)le32_get(h->accounts), "earned",
					(json_int_t)le64_get(h->earned), "spent",
					(json_int_t)le64_get(h->spent)));
	r->epochs++;
	r->receipts += le32_get(h->receipts);
}

static int refused(struct report *r, const char *path, const struct batch_fault *f)
{
	char text[BATCH_FAULT_TEXT];

	r->refused = json_pack("{s:s, s:s, s:s, s:I}", "file", path, "reason",
			       batch_reason_name(f->reason), "why", f->why, "byte",
			       (json_int_t)f->offset);
	return cli_fail(STATUS_UNVERIFIED,
			"%s: %s (%s); do not rely on it, and ask its node for this epoch again",
			path, batch_fault_text(text, f), batch_reason_name(f->reason));
}

static int verify_file(struct report *r, struct batch_chain *chain, const char *path)
{
	FILE *in = fopen(path, "re");
	struct batch_fault fault;
	int err;

	if (!in)
		return cli_fail(cli_file_status(path), "%s: %s; give the files of epochs", path,
				strerror(errno));
	err = batch_chain_next(chain, in, &r->last, &fault);
	fclose(in);
	if (err == -EBADMSG)
		return refused(r, path, &fault);
	if (err)
		return cli_fail(STATUS_FAILED, "%s: %s while reading; try again", path,
				strerror(-err));
	add_row(r, path, &r->last.body);
	return STATUS_OK;
}

static int is_batch(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 6 && strcmp(e->d_name + n - 6, ".batch") == 0;
}

/* A directory stands for the batches in it; their names sort as their epochs do. */
static int verify_directory(struct report *r, struct batch_chain *chain, const char *path, int n,
			    struct dirent **names)
{
	int status = n ? STATUS_OK
		       : cli_fail(STATUS_NOT_FOUND,
				  "%s: holds no file *.batch; see culvert help "
				  "settle",
				  path);

	for (int i = 0; i < n; i++) {
		char *file;

		if (asprintf(&file, "%s/%s", path, names[i]->d_name) < 0)
			fatalx("out of memory");
		if (status == STATUS_OK)
			status = verify_file(r, chain, file);
		free(file);
		free(names[i]);
	}
	free(names);
	return status;
}

static int verify_path(struct report *r, struct batch_chain *chain, const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, is_batch, alphasort);

	return n < 0 ? verify_file(r, chain, path) : verify_directory(r, chain, path, n, names);
}

static void print_sum(const struct report *r)
{
	const struct batch_head_body *h = &r->last.body;
	char node[KEY_TEXT], credits[UNITS_TEXT];

	printf("%" PRIu64 " epochs of %s hold: %" PRIu64 " receipts; in all %s credits earned and "
	       "spent by %" PRIu32 " accounts\n",
	       r->epochs, key_to_base64(node, h->node), r->receipts,
	       unit_credits(credits, le64_get(h->earned)), le32_get(h->accounts));
}

static void print_report(struct report *r, int status)
{
	char node[KEY_TEXT] = "";

	if (r->epochs)
		key_to_base64(node, r->last.body.node);
	if (r->cli->json) {
		json_t *all = json_pack("{s:i, s:b, s:s, s:I, s:o}", "schema", 1, "ok",
					status == STATUS_OK, "node", node, "receipts",
					(json_int_t)r->receipts, "batches", r->batches);

		if (r->refused)
			json_object_set_new(all, "refused", r->refused);
		print_json(all);
		grid_free(r->grid);
		return;
	}
	json_decref(r->batches);
	json_decref(r->refused);
	if (r->cli->quiet) {
		grid_free(r->grid);
		return;
	}
	grid_print(r->grid, "no epoch holds");
	if (r->epochs > 1)
		print_sum(r);
}

int settle_verify(const struct cli *cli, const struct settle_options *o)
{
	static const char *const titles[] = {">EPOCH", ">SIZE", ">RECEIPTS", ">EARNED",
					     ">SPENT", "ROOT",  "FILE"};
	struct report report = {.cli = cli};
	struct batch_rules rules = {.lost = o->lost};
	struct batch_chain *chain;
	uint8_t key[KEY_LEN];
	uint64_t network;
	int status = settle_node(&rules.node, key, o);

	if (status != STATUS_OK)
		return status;
	if (o->network && !text_u64(o->network, 0, UINT64_MAX, &network))
		return cli_fail(STATUS_USAGE, "--network wants a number; %s is none", o->network);
	rules.network = o->network ? &network : NULL;
	if (cli->words.count < 2)
		return cli_fail(STATUS_USAGE,
				"verify wants files in the order of their epochs, or their "
				"directory; see culvert help settle");
	chain = batch_chain_create(&rules);
	if (!chain)
		fatalx("out of memory");
	report.grid = grid_create(titles, ARRAY_SIZE(titles));
	report.batches = json_array();
	for (size_t i = 1; i < cli->words.count && status == STATUS_OK; i++)
		status = verify_path(&report, chain, cli->words.item[i]);
	batch_chain_free(chain);
	print_report(&report, status);
	return status;
}
