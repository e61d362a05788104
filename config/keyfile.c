#include "config/keyfile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "proto/descriptor.h"

enum {
	KEY_FILE_MAX = 256,
};

static const char *reason(ssize_t err)
{
	switch (-err) {
	case ENOENT:
		return "no such file; make it with culvert init, or give the right path";
	case ELOOP:
		return "is a symbolic link; name the file itself";
	case EPERM:
		return "can be read by others or is not ours; chown it to who runs this and chmod "
		       "600 it";
	case EACCES:
		return "may not be read by this user; run as root or chown it";
	case EFBIG:
		return "is too long for what it should be; give the right path";
	case EINVAL:
		return "is no regular file; give the right path";
	case EEXIST:
		return "is there already; nothing is overwritten: move it away or choose another "
		       "directory";
	default:
		return strerror((int)-err);
	}
}

static bool refuse(char error[static CONFIG_ERROR_MAX], const char *path, const char *why)
{
	snprintf(error, CONFIG_ERROR_MAX, "%.*s: %s", CONFIG_PATH_MAX, path, why);
	return false;
}

/* Ends text at its last character that is no blank or line end. */
static void trim(char *text)
{
	size_t n = strlen(text);

	while (n && strchr(" \t\r\n", text[n - 1]))
		n--;
	text[n] = '\0';
}

bool keyfile_read(uint8_t key[static KEY_LEN], const char *path,
		  char error[static CONFIG_ERROR_MAX])
{
	char text[KEY_FILE_MAX + 1];
	ssize_t n = file_read_secret(path, text, KEY_FILE_MAX);
	bool ok;

	if (n < 0)
		return refuse(error, path, reason(n));
	trim(text);
	ok = strlen(text) == KEY_TEXT - 1 && strlen(text) + 4 >= (size_t)n &&
	     key_from_base64(key, text) && !crypto_is_zero(key, KEY_LEN);
	crypto_wipe(text, sizeof(text));
	return ok || refuse(error, path,
			    "is not one line of 44 base64 characters as wg genkey "
			    "writes it; give the right path or make a new key");
}

bool keyfile_create(uint8_t key[static KEY_LEN], const char *path, bool clamp,
		    char error[static CONFIG_ERROR_MAX])
{
	char text[KEY_TEXT + 1];
	int err;

	if (clamp)
		x25519_generate(key);
	else
		crypto_random(key, KEY_LEN);
	key_to_base64(text, key);
	text[KEY_TEXT - 1] = '\n';
	err = file_create(path, text, KEY_TEXT, 0600);
	crypto_wipe(text, sizeof(text));
	return !err || refuse(error, path, reason(err));
}

bool descriptor_file_read(struct descriptor *out, const char *path, uint64_t network,
			  uint64_t now_s, char error[static CONFIG_ERROR_MAX])
{
	char text[DESCRIPTOR_TEXT_MAX + 1];
	ssize_t n = file_read(path, text, DESCRIPTOR_TEXT_MAX);
	enum descriptor_verdict verdict;

	if (n < 0)
		return refuse(error, path,
			      n == -ENOENT ? "no such file; get the descriptor from the node's "
					     "operator (culvert descriptor show)"
					   : reason(n));
	if (strlen(text) != (size_t)n || !descriptor_from_text(out, text))
		return refuse(error, path,
			      "is no node descriptor (a line culvert-node-1 ...); give the right "
			      "path");
	verdict = descriptor_check(out, network, now_s);
	if (verdict == DESCRIPTOR_OK)
		return true;
	snprintf(error, CONFIG_ERROR_MAX, "%.*s: %s; get a new one from the node's operator",
		 CONFIG_PATH_MAX, path, descriptor_verdict_text(verdict));
	return false;
}
