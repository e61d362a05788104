/* A device in memory, for tests of what uses tunnels. */
#include "tunnel/fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "tunnel/backend.h"

enum {
	FAKE_PEERS = 1024
};

struct fake {
	bool dead;
	size_t count;
	struct fake_peer {
		struct tunnel_peer settings; /* allowed is not kept */
		uint64_t rx, tx;
	} peers[FAKE_PEERS];
};

static unsigned fail_opens, fail_reads;

static struct fake_peer *find(struct tunnel *t, const uint8_t *key)
{
	for (size_t i = 0; t->fake && !t->fake->dead && i < t->fake->count; i++) {
		if (memcmp(t->fake->peers[i].settings.key, key, KEY_LEN) == 0)
			return &t->fake->peers[i];
	}
	return NULL;
}

static int fake_open(struct tunnel *t)
{
	if (fail_opens) {
		fail_opens--;
		return -ENOMEM;
	}
	t->watch_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->watch_fd < 0)
		return -errno;
	t->fake = xcalloc(1, sizeof(*t->fake));
	if (!t->config.port)
		t->config.port = 40000;
	return 0;
}

static void fake_close(struct tunnel *t)
{
	if (!t->fake)
		return;
	close(t->watch_fd);
	t->watch_fd = -1;
	free(t->fake);
	t->fake = NULL;
}

static int fake_state(const struct tunnel *t)
{
	return t->fake && !t->fake->dead ? 0 : -ECONNREFUSED;
}

static int fake_set_port(struct tunnel *t, uint16_t port)
{
	(void)port;
	return fake_state(t);
}

static int fake_set_peer(struct tunnel *t, const struct tunnel_peer *peer, bool exists)
{
	struct fake_peer *p = find(t, peer->key);

	if (fake_state(t))
		return fake_state(t);
	if (!p && exists)
		return 0;
	if (!p && t->fake->count == FAKE_PEERS)
		return -ENOSPC;
	if (!p) {
		p = &t->fake->peers[t->fake->count++];
		*p = (struct fake_peer){0};
	}
	p->settings = *peer;
	p->settings.allowed = NULL;
	return 0;
}

static int fake_set_endpoint(struct tunnel *t, const uint8_t *key, const struct net_addr *endpoint)
{
	struct fake_peer *p = find(t, key);

	if (p) {
		p->settings.has_endpoint = true;
		p->settings.endpoint = *endpoint;
	}
	return fake_state(t);
}

static int fake_remove_peer(struct tunnel *t, const uint8_t *key)
{
	struct fake_peer *p = find(t, key);

	if (p)
		*p = t->fake->peers[--t->fake->count];
	return fake_state(t);
}

static int fake_read(struct tunnel *t, backend_each each, void *arg)
{
	if (fail_reads) {
		fail_reads--;
		return -ETIMEDOUT;
	}
	for (size_t i = 0; fake_state(t) == 0 && i < t->fake->count; i++) {
		const struct fake_peer *p = &t->fake->peers[i];
		struct backend_stat stat = {.rx = p->rx,
					    .tx = p->tx,
					    .has_endpoint = p->settings.has_endpoint,
					    .endpoint = p->settings.endpoint};

		memcpy(stat.key, p->settings.key, KEY_LEN);
		each(arg, &stat);
	}
	return fake_state(t);
}

bool fake_count(struct tunnel *t, const uint8_t key[static KEY_LEN], uint64_t rx, uint64_t tx)
{
	struct fake_peer *p = find(t, key);

	if (!p)
		return false;
	p->rx += rx;
	p->tx += tx;
	return true;
}

void fake_die(struct tunnel *t)
{
	t->fake->dead = true;
	eventfd_write(t->watch_fd, 1);
}

void fake_fail_open(unsigned times)
{
	fail_opens = times;
}

void fake_fail_read(unsigned times)
{
	fail_reads = times;
}

bool fake_has_peer(struct tunnel *t, const uint8_t key[static KEY_LEN],
		   struct tunnel_peer *settings)
{
	struct fake_peer *p = find(t, key);

	if (p && settings)
		*settings = p->settings;
	return p != NULL;
}

const struct tunnel_ops fake_ops = {
	.name = "fake",
	.open = fake_open,
	.close = fake_close,
	.set_port = fake_set_port,
	.set_peer = fake_set_peer,
	.set_endpoint = fake_set_endpoint,
	.remove_peer = fake_remove_peer,
	.read = fake_read,
};
