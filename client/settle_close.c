/* Closing an epoch, listing them, and having the file of one made again: what the node does. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "client/api.h"
#include "client/grid.h"
#include "client/settle.h"
#include "client/units.h"

enum {
	WAIT_S = 600,
	WAIT_MAX = 86400,
	POLL_MS = 100,
	HOUR = 3600,
};

/* ---- waiting for a file ---- */

/* The row of one epoch, the caller's. */
static int fetch_epoch(json_t **row, const char *socket, uint64_t epoch)
{
	char request[64];
	json_t *answer;
	int status;

	snprintf(request, sizeof(request), "GET /v1/epochs?after=%" PRIu64, epoch - 1);
	status = api_request(&answer, socket, request, NULL, false);
	if (status != STATUS_OK)
		return status;
	*row = json_incref(json_array_get(json_object_get(answer, "epochs"), 0));
	json_decref(answer);
	if (*row && field_number(*row, "epoch") == epoch)
		return STATUS_OK;
	json_decref(*row);
	return cli_fail(STATUS_FAILED, "epoch %" PRIu64 " is not listed; see culvert settle list",
			epoch);
}

static bool finished(const json_t *row)
{
	const char *state = field_text(row, "state");

	return strcmp(state, "done") == 0 || strcmp(state, "pruned") == 0;
}

/* Until its file is there: STATUS_OK, *row the caller's. */
static int await(json_t **row, const char *socket, uint64_t epoch, uint64_t seconds)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
	uint64_t until = clock_ms() + seconds * 1000;

	for (;;) {
		int status = fetch_epoch(row, socket, epoch);

		if (status != STATUS_OK)
			return status;
		if (*field_text(*row, "error")) {
			status = cli_fail(STATUS_FAILED,
					  "the file of epoch %" PRIu64 " is not made: %s", epoch,
					  field_text(*row, "error"));
			json_decref(*row);
			return status;
		}
		if (finished(*row))
			return STATUS_OK;
		json_decref(*row);
		if (clock_ms() >= until)
			return cli_fail(STATUS_TIMEOUT,
					"epoch %" PRIu64 " is still being written after %" PRIu64
					" s, and will be without this command; see culvert settle "
					"list",
					epoch, seconds);
		nanosleep(&pause, NULL);
	}
}

static void print_epoch(const struct cli *cli, json_t *row, bool new)
{
	static const char *const numbers[] = {"epoch", "sessions", "receipts", "accounts"};
	char earned[UNITS_TEXT];

	if (cli->json) {
		json_object_set_new(row, "new", json_boolean(new));
		print_json(row);
		return;
	}
	if (!cli->quiet) {
		for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
			printf("%-10s%" PRIu64 "\n", numbers[i], field_number(row, numbers[i]));
		printf("%-10s%s credits, in all epochs\n", "earned",
		       unit_credits(earned, field_number(row, "earned")));
		printf("%-10s%s\n", "root", field_text(row, "root"));
		printf("%-10s%s\n", "file", field_text(row, "path"));
	}
	json_decref(row);
}

/* Asks the node to settle; STATUS_OK with *answer the caller's. epoch 0: a new one. */
static int ask(json_t **answer, const char *socket, uint64_t epoch)
{
	json_t *body = epoch ? json_pack("{s:I}", "epoch", (json_int_t)epoch) : json_object();
	int status = api_request(answer, socket, "POST /v1/settle", body, false);

	json_decref(body);
	return status;
}

static int read_wait(uint64_t *seconds, const struct settle_options *o)
{
	*seconds = WAIT_S;
	if (o->wait && !text_u64(o->wait, 1, WAIT_MAX, seconds))
		return cli_fail(STATUS_USAGE, "--wait wants seconds, 1 to %d", WAIT_MAX);
	return STATUS_OK;
}

static int nothing_new(const struct cli *cli, json_t *answer)
{
	uint64_t last = field_number(answer, "epoch");

	if (cli->json) {
		print_json(answer);
		return STATUS_OK;
	}
	if (!cli->quiet && last)
		printf("nothing was signed since epoch %" PRIu64 "; no batch is made\n", last);
	else if (!cli->quiet)
		puts("nothing was signed yet; no batch is made");
	json_decref(answer);
	return STATUS_OK;
}

int settle_close(const struct cli *cli, const struct settle_options *o)
{
	struct api_sockets sockets;
	json_t *answer, *row;
	uint64_t seconds, epoch;
	int status = read_wait(&seconds, o);

	if (status == STATUS_OK)
		status = api_find(&sockets, cli, API_NODE);
	if (status == STATUS_OK)
		status = ask(&answer, sockets.path[0], 0);
	if (status != STATUS_OK)
		return status;
	if (!field_true(answer, "new"))
		return nothing_new(cli, answer);
	epoch = field_number(answer, "epoch");
	json_decref(answer);
	status = await(&row, sockets.path[0], epoch, seconds);
	if (status == STATUS_OK)
		print_epoch(cli, row, true);
	return status;
}

/* ---- listing ---- */

static void print_row(struct grid *g, const json_t *row)
{
	char text[UNITS_TEXT];

	grid_cell(g, "%" PRIu64, field_number(row, "epoch"));
	grid_cell(g, "%s", unit_time(text, field_number(row, "hour") * HOUR));
	grid_cell(g, "%s", field_text(row, "state"));
	grid_cell(g, "%" PRIu64, field_number(row, "receipts"));
	grid_cell(g, "%" PRIu64, field_number(row, "accounts"));
	grid_cell(g, "%s", unit_credits(text, field_number(row, "earned")));
	grid_cell(g, "%s", field_text(row, "root"));
	grid_cell(g, "%s", field_text(row, *field_text(row, "error") ? "error" : "path"));
}

int settle_list(const struct cli *cli, const struct settle_options *o)
{
	static const char *const titles[] = {">EPOCH",    "CLOSED",  "STATE", ">RECEIPTS",
					     ">ACCOUNTS", ">EARNED", "ROOT",  "FILE"};
	struct api_sockets sockets;
	struct grid *grid;
	json_t *rows, *row;
	size_t i;
	int status = api_find(&sockets, cli, API_NODE);

	(void)o;
	if (cli->words.count != 1)
		return cli_fail(STATUS_USAGE, "list takes nothing more; see culvert help settle");
	if (status == STATUS_OK)
		status = api_list(&rows, sockets.path[0], "/v1/epochs", "epochs", "");
	if (status != STATUS_OK)
		return status;
	if (cli->json) {
		print_json(json_pack("{s:i, s:o}", "schema", 1, "epochs", rows));
		return STATUS_OK;
	}
	grid = grid_create(titles, ARRAY_SIZE(titles));
	json_array_foreach(rows, i, row) print_row(grid, row);
	grid_print(grid, "nothing settled yet; culvert settle makes the first batch");
	json_decref(rows);
	return STATUS_OK;
}

/* ---- again ---- */

static int copy_bytes(int out, int in)
{
	char buf[1 << 16];
	ssize_t n;
	int err = 0;

	while (!err && (n = read(in, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		err = n < 0 ? -errno : fd_write_all(out, buf, (size_t)n);
	}
	return err || fsync(out) == 0 ? err : -errno;
}

/* A copy in another place; never over anything, and never half. */
static int copy_to(const char *to, const char *from)
{
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), out, err;

	if (in < 0)
		return cli_fail(cli_file_status(from), "%s: %s; it is there, and root may copy it",
				from, strerror(errno));
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	err = out < 0 ? -errno : copy_bytes(out, in);
	close(in);
	if (out >= 0) {
		close(out);
		if (!err)
			err = file_sync_directory(to);
		if (err)
			unlink(to);
	}
	if (!err)
		return STATUS_OK;
	return cli_fail(err == -EACCES ? STATUS_DENIED : STATUS_FAILED,
			"%s: %s; nothing is overwritten, give another name or make room", to,
			strerror(-err));
}

static int make_again(json_t **row, const struct cli *cli, uint64_t epoch,
		      const struct settle_options *o)
{
	struct api_sockets sockets;
	json_t *answer;
	uint64_t seconds;
	int status = read_wait(&seconds, o);

	if (status == STATUS_OK)
		status = api_find(&sockets, cli, API_NODE);
	if (status == STATUS_OK)
		status = ask(&answer, sockets.path[0], epoch);
	if (status != STATUS_OK)
		return status;
	json_decref(answer);
	return await(row, sockets.path[0], epoch, seconds);
}

int settle_export(const struct cli *cli, const struct settle_options *o)
{
	uint64_t epoch;
	json_t *row;
	int status;

	if (cli->words.count != 2 || !text_u64(cli->words.item[1], 1, INT64_MAX, &epoch))
		return cli_fail(STATUS_USAGE,
				"export wants the number of an epoch; see culvert settle list");
	status = make_again(&row, cli, epoch, o);
	if (status != STATUS_OK)
		return status;
	if (o->output)
		status = copy_to(o->output, field_text(row, "path"));
	if (status != STATUS_OK) {
		json_decref(row);
		return status;
	}
	if (o->output)
		json_object_set_new(row, "path", json_string(o->output));
	print_epoch(cli, row, false);
	return STATUS_OK;
}
