#include "client/grants.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "client/units.h"

#define SUFFIX     ".grant"
#define NAME_BYTES 16
#define FILE_MAX   4096

const char *grants_path(char out[static GRANTS_PATH], const char *data_dir)
{
	snprintf(out, GRANTS_PATH, "%s/grants", data_dir);
	return out;
}

static bool is_grant_name(const char *name)
{
	size_t n = strlen(name);

	return name[0] != '.' && n > strlen(SUFFIX) && n < GRANTS_NAME &&
	       strcmp(name + n - strlen(SUFFIX), SUFFIX) == 0;
}

static void load_one(struct grant_file *f, const char *dir)
{
	char path[GRANTS_PATH + GRANTS_NAME], text[FILE_MAX + 1];

	snprintf(path, sizeof(path), "%.*s/%s", GRANTS_PATH - 1, dir, f->name);
	f->readable = file_read(path, text, FILE_MAX) > 0 && grant_from_text(&f->grant, text);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct grant_file *)a)->name, ((const struct grant_file *)b)->name);
}

size_t grants_load(struct grant_file **out, const char *dir)
{
	struct grant_file *files = xcalloc(GRANTS_MAX, sizeof(*files));
	DIR *d = opendir(dir);
	struct dirent *entry;
	size_t n = 0;

	while (d && n < GRANTS_MAX && (entry = readdir(d))) {
		if (!is_grant_name(entry->d_name))
			continue;
		snprintf(files[n].name, GRANTS_NAME, "%.*s", GRANTS_NAME - 1, entry->d_name);
		load_one(&files[n++], dir);
	}
	if (d)
		closedir(d);
	qsort(files, n, sizeof(*files), by_name);
	*out = files;
	return n;
}

json_t *grants_row(const struct grant_file *f, const char *said)
{
	const struct grant_body *b = &f->grant.body;
	char issuer[KEY_TEXT], payer[KEY_TEXT], node[KEY_TEXT], serial[2 * NONCE_LEN + 1];

	if (!f->readable)
		return json_pack("{s:s, s:s}", "file", f->name, "said", "this is no grant");
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "file", f->name, "issuer",
			 key_to_base64(issuer, b->issuer), "serial",
			 text_hex(serial, b->serial, NONCE_LEN), "payer",
			 key_to_base64(payer, b->payer), "node", key_to_base64(node, b->relay),
			 "limit", (json_int_t)le64_get(b->limit), "expires",
			 (json_int_t)le64_get(b->expires), "said", said);
}

/* Is there room for a file of that name? */
static int room_for(const char *dir, const char *name)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	unsigned others = 0;

	if (!d)
		return -errno;
	while ((entry = readdir(d)))
		others += is_grant_name(entry->d_name) && strcmp(entry->d_name, name) != 0;
	closedir(d);
	return others < GRANTS_MAX ? 0 : -EMFILE;
}

int grants_add(char name[static GRANTS_NAME], const char *dir, const struct grant *g)
{
	char path[GRANTS_PATH + GRANTS_NAME], line[GRANT_TEXT_MAX], text[FILE_MAX];
	char hex[2 * NAME_BYTES + 1], node[KEY_TEXT], amount[UNITS_TEXT], until[UNITS_TEXT];
	uint8_t hash[KEY_LEN];
	int err = dir_make(dir, 0700);

	hash256(hash, g, sizeof(*g));
	snprintf(name, GRANTS_NAME, "%s" SUFFIX, text_hex(hex, hash, NAME_BYTES));
	snprintf(path, sizeof(path), "%.*s/%s", GRANTS_PATH - 1, dir, name);
	snprintf(text, sizeof(text), "# %s credits at %s, expires: %s\n%s",
		 unit_credits(amount, le64_get(g->body.limit)), key_to_base64(node, g->body.relay),
		 unit_time(until, le64_get(g->body.expires)), grant_to_text(line, sizeof(line), g));
	if (!err)
		err = room_for(dir, name);
	if (!err)
		err = file_create(path, text, strlen(text), 0600);
	return err == -EEXIST ? 0 : err;
}
