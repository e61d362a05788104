#include "tests/lib/books.h"

#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"

void test_identity(struct identity *out, uint8_t n)
{
	uint8_t seed[KEY_LEN];

	memset(seed, n, sizeof(seed));
	identity_from_seed(out, seed);
}

void test_dir_make(char out[static TEST_DIR])
{
	struct statfs fs;

	if (dir_make("build/tmp", 0700) < 0)
		fatal("build/tmp");
	snprintf(out, TEST_DIR, "build/tmp/test-XXXXXX");
	if (!mkdtemp(out) || statfs(out, &fs) < 0)
		fatal("%s", out);
	if (fs.f_type == TMPFS_MAGIC)
		fatalx("%s: a tmpfs proves nothing about crashes", out);
}

void test_dir_remove(const char *dir)
{
	const char *const argv[] = {"rm", "-rf", "--", dir, NULL};
	char out[256];

	if (spawn_run(argv, NULL, out, sizeof(out)) != 0)
		fatalx("%s: %s", dir, out);
}

void test_ledger_config(struct ledger_config *out, const char *dir)
{
	char seed[KEY_TEXT];
	uint8_t key[KEY_LEN];

	memset(key, 1, sizeof(key));
	*out = (struct ledger_config){
		.network = 7,
		.roles = ROLE_RELAY | ROLE_EXIT,
		.name = "test",
		.announce4 = {.ip = {[10] = 0xff, 0xff, 192, 0, 2, 1}, .port = 51820},
		.wg_port = 51821,
		.price = {0, 1000, 1000},
		.window_start = 1 << 20,
		.window_cap = 64 << 20,
		.receipt_seconds = 60,
		.loss_ppm = 10000,
		.loss_bytes = 65536,
		.terms_days = 30,
		.free_allowance = 1000000,
	};
	memset(out->control_key, 2, KEY_LEN);
	memset(out->wg_key, 3, KEY_LEN);
	snprintf(out->database, sizeof(out->database), "%s/ledger.db", dir);
	snprintf(out->identity_file, sizeof(out->identity_file), "%s/identity", dir);
	snprintf(out->descriptor_file, sizeof(out->descriptor_file), "%s/node.descriptor", dir);
	key_to_base64(seed, key);
	if (file_replace(out->identity_file, seed, strlen(seed), 0600) < 0)
		fatalx("%s", out->identity_file);
}
