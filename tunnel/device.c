#include "tunnel/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proto/crypto.h"
#include "tunnel/backend.h"

static int open_auto(struct tunnel *t)
{
	int err;

	/* Asking the kernel to make one is the only honest probe: without the module its list of
	 * devices is empty and no error. */
	t->ops = &kernel_ops;
	err = t->ops->open(t);
	if (err != -EOPNOTSUPP)
		return err;
	t->ops = &userspace_ops;
	return t->ops->open(t);
}

static int open_chosen(struct tunnel *t)
{
	int err = -EINVAL;

	switch (t->config.backend) {
	case TUNNEL_AUTO:
		return open_auto(t);
	case TUNNEL_KERNEL:
		t->ops = &kernel_ops;
		err = t->ops->open(t);
		if (err == -EOPNOTSUPP)
			log_warnx("this kernel has no WireGuard: load it (modprobe wireguard), or "
				  "set Backend = userspace and install wireguard-go");
		return err;
	case TUNNEL_USERSPACE:
		t->ops = &userspace_ops;
		return t->ops->open(t);
	case TUNNEL_FAKE:
		t->ops = &fake_ops;
		return t->ops->open(t);
	}
	return err;
}

static void tunnel_free(struct tunnel *t)
{
	crypto_secret_free(t->private_key);
	memory_destroy(t->memory);
	free(t);
}

/* Names go into files, commands and sockets: the kernel's own rules, and no surprises. */
static bool name_ok(const char name[static 16])
{
	size_t n = strnlen(name, 16);

	return n > 0 && n < 16 && name[0] != '-' && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		       n;
}

int tunnel_open(struct tunnel **out, const struct tunnel_config *config)
{
	struct tunnel *t;
	int err;

	if (!name_ok(config->name)) {
		log_warnx("an interface name has 1 to 15 letters, digits, '-', '_' or '.'");
		return -EINVAL;
	}
	t = xcalloc(1, sizeof(*t));
	t->config = *config;
	t->config.mtu = config->mtu ? config->mtu : 1420;
	t->watch_fd = -1;
	t->memory = memory_create();
	t->private_key = crypto_secret_alloc(KEY_LEN);
	memcpy(t->private_key, config->private_key, KEY_LEN);
	crypto_wipe(t->config.private_key, KEY_LEN);
	err = open_chosen(t);
	if (err)
		tunnel_free(t);
	else
		*out = t;
	return err;
}

void tunnel_close(struct tunnel *t)
{
	if (!t)
		return;
	t->ops->close(t);
	tunnel_free(t);
}

void tunnel_remove_stale(const char *name)
{
	kernel_remove_stale(name);
	userspace_remove_stale(name);
}

const char *tunnel_backend_name(const struct tunnel *t)
{
	return t->ops->name;
}

const char *tunnel_name(const struct tunnel *t)
{
	return t->config.name;
}

uint16_t tunnel_port(const struct tunnel *t)
{
	return t->config.port;
}

int tunnel_set_port(struct tunnel *t, uint16_t port)
{
	int err = t->ops->set_port(t, port);

	if (!err)
		t->config.port = port;
	return err;
}

static void count_one(void *arg, const struct backend_stat *stat)
{
	struct tunnel *t = arg;
	struct known_peer *k = memory_find(t->memory, stat->key);

	if (k && k->present)
		memory_count(k, stat);
}

int tunnel_set_peer(struct tunnel *t, const struct tunnel_peer *peer)
{
	const struct known_peer *k = memory_find(t->memory, peer->key);
	int err = t->ops->set_peer(t, peer, k && k->present);

	if (!err)
		memory_set(t->memory, peer);
	return err;
}

int tunnel_set_endpoint(struct tunnel *t, const uint8_t key[static KEY_LEN],
			const struct net_addr *endpoint)
{
	struct known_peer *k = memory_find(t->memory, key);
	int err;

	if (!k || !k->present)
		return -ENOENT;
	err = t->ops->set_endpoint(t, key, endpoint);
	if (err)
		return err;
	k->settings.has_endpoint = true;
	k->settings.endpoint = *endpoint;
	return 0;
}

int tunnel_nudge(struct tunnel *t, const uint8_t key[static KEY_LEN])
{
	struct known_peer *k = memory_find(t->memory, key);
	struct tunnel_peer quiet;
	int err;

	if (!k || !k->present)
		return -ENOENT;
	/* WireGuard sends a keepalive at once when the interval goes from nothing to something. */
	quiet = k->settings;
	quiet.keepalive = 0;
	err = t->ops->set_peer(t, &quiet, true);
	return err ? err : t->ops->set_peer(t, &k->settings, true);
}

int tunnel_remove_peer(struct tunnel *t, const uint8_t key[static KEY_LEN])
{
	struct known_peer *k = memory_find(t->memory, key);
	int err, removed;

	if (!k || !k->present)
		return -ENOENT;
	/* The counters go with the peer, so they are read first; if they cannot be, they are as
	 * last read, but the peer goes all the same: it must not be carried uncounted. If the
	 * device is dead, forgetting it is what counts, for then the repair does not bring it back.
	 */
	err = t->ops->read(t, count_one, t);
	removed = t->ops->remove_peer(t, key);
	memory_remove(t->memory, k);
	return removed ? removed : err;
}

int tunnel_read(struct tunnel *t, tunnel_each each, void *arg)
{
	const struct known_peer *k;
	struct tunnel_stat stat;
	int err = t->ops->read(t, count_one, t);

	if (err)
		return err;
	for (size_t i = 0; (k = memory_at(t->memory, i)); i++) {
		if (!k->present)
			continue;
		memory_stat(k, &stat);
		each(arg, &stat);
	}
	return 0;
}

int tunnel_read_peer(struct tunnel *t, const uint8_t key[static KEY_LEN], struct tunnel_stat *stat)
{
	const struct known_peer *k = memory_find(t->memory, key);
	int err = 0;

	if (!k)
		return -ENOENT;
	if (k->present)
		err = t->ops->read(t, count_one, t);
	memory_stat(k, stat);
	return err;
}

int tunnel_watch_fd(const struct tunnel *t)
{
	return t->watch_fd;
}

int tunnel_repair(struct tunnel *t)
{
	const struct known_peer *k;
	int err;

	t->ops->close(t);
	memory_ended(t->memory);
	err = t->ops->open(t);
	for (size_t i = 0; !err && (k = memory_at(t->memory, i)); i++) {
		if (k->present)
			err = t->ops->set_peer(t, &k->settings, false);
	}
	return err;
}
