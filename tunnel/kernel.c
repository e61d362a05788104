/* WireGuard in the kernel, by wireguard-tools' embeddable netlink library. */
#include <wireguard.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proto/crypto.h"
#include "tunnel/backend.h"
#include "tunnel/iproute.h"

static void device_init(wg_device *dev, const struct tunnel *t)
{
	memset(dev, 0, sizeof(*dev));
	memcpy(dev->name, t->config.name, sizeof(dev->name));
}

static int apply_peer(const struct tunnel *t, wg_peer *peer)
{
	wg_device dev;

	device_init(&dev, t);
	dev.first_peer = dev.last_peer = peer;
	return wg_set_device(&dev);
}

static int kernel_set_port(struct tunnel *t, uint16_t port)
{
	wg_device dev;

	device_init(&dev, t);
	dev.flags = WGDEVICE_HAS_LISTEN_PORT;
	dev.listen_port = port;
	return wg_set_device(&dev);
}

static int configure(struct tunnel *t)
{
	wg_device dev;
	int err;

	device_init(&dev, t);
	dev.flags = WGDEVICE_HAS_PRIVATE_KEY | WGDEVICE_HAS_LISTEN_PORT | WGDEVICE_HAS_FWMARK |
		    WGDEVICE_REPLACE_PEERS;
	memcpy(dev.private_key, t->private_key, KEY_LEN);
	dev.listen_port = t->config.port;
	dev.fwmark = t->config.fwmark;
	err = wg_set_device(&dev);
	crypto_wipe(&dev, sizeof(dev));
	return err ? err : ip_link_up(t->config.name, t->config.mtu);
}

static void free_device(wg_device *dev)
{
	crypto_wipe(dev->private_key, KEY_LEN);
	wg_free_device(dev);
}

static void stat_of(struct backend_stat *out, const wg_peer *peer)
{
	const struct sockaddr *sa = &peer->endpoint.addr;

	memset(out, 0, sizeof(*out));
	memcpy(out->key, peer->public_key, KEY_LEN);
	out->rx = peer->rx_bytes;
	out->tx = peer->tx_bytes;
	out->last_handshake = (uint64_t)peer->last_handshake_time.tv_sec;
	out->has_endpoint = net_addr_from_sockaddr(&out->endpoint, sa, sizeof(peer->endpoint));
}

static int kernel_read(struct tunnel *t, backend_each each, void *arg)
{
	struct backend_stat stat;
	wg_device *dev;
	wg_peer *peer;
	int err = wg_get_device(&dev, t->config.name);

	if (err)
		return err;
	if (dev->listen_port)
		t->config.port = dev->listen_port;
	wg_for_each_peer(dev, peer)
	{
		stat_of(&stat, peer);
		each(arg, &stat);
	}
	free_device(dev);
	return 0;
}

static void ignore(void *arg, const struct backend_stat *stat)
{
	(void)arg;
	(void)stat;
}

static void kernel_close(struct tunnel *t)
{
	wg_del_device(t->config.name);
}

static int kernel_open(struct tunnel *t)
{
	int err = wg_add_device(t->config.name);

	if (err == -EPERM)
		log_warnx("making a WireGuard interface needs CAP_NET_ADMIN: run as root or by the "
			  "systemd unit");
	else if (err == -EEXIST)
		log_warnx("interface %s exists already; choose another Interface, or remove it "
			  "with: ip link del %s",
			  t->config.name, t->config.name);
	if (err)
		return err;
	err = configure(t);
	if (!err)
		err = kernel_read(t, ignore, NULL);
	if (err) {
		log_warnx("interface %s: cannot set up kernel WireGuard: %s", t->config.name,
			  strerror(-err));
		kernel_close(t);
	}
	return err;
}

static void endpoint_of(wg_peer *out, const struct net_addr *endpoint)
{
	struct sockaddr_in6 in6;

	net_addr_to_sockaddr(&in6, endpoint);
	if (!net_addr_is_v4(endpoint)) {
		out->endpoint.addr6 = in6;
		return;
	}
	out->endpoint.addr4.sin_family = AF_INET;
	out->endpoint.addr4.sin_port = in6.sin6_port;
	memcpy(&out->endpoint.addr4.sin_addr, endpoint->ip + 12, 4);
}

static void allowed_of(wg_allowedip *out, const struct tunnel_prefix *prefix)
{
	out->cidr = prefix->bits;
	if (net_addr_is_v4(&prefix->net)) {
		out->family = AF_INET;
		memcpy(&out->ip4, prefix->net.ip + 12, 4);
	} else {
		out->family = AF_INET6;
		memcpy(&out->ip6, prefix->net.ip, 16);
	}
}

static int kernel_set_peer(struct tunnel *t, const struct tunnel_peer *peer, bool exists)
{
	wg_allowedip *allowed = xcalloc(peer->allowed_count, sizeof(*allowed));
	wg_peer p = {.flags = WGPEER_HAS_PUBLIC_KEY | WGPEER_REPLACE_ALLOWEDIPS |
			      WGPEER_HAS_PERSISTENT_KEEPALIVE_INTERVAL};
	int err;

	(void)exists; /* the library has no update-only; the caller never names a removed peer */
	memcpy(p.public_key, peer->key, KEY_LEN);
	p.persistent_keepalive_interval = peer->keepalive;
	if (peer->has_endpoint)
		endpoint_of(&p, &peer->endpoint);
	for (size_t i = 0; i < peer->allowed_count; i++) {
		allowed_of(&allowed[i], &peer->allowed[i]);
		allowed[i].next_allowedip = i + 1 < peer->allowed_count ? &allowed[i + 1] : NULL;
	}
	if (peer->allowed_count) {
		p.first_allowedip = &allowed[0];
		p.last_allowedip = &allowed[peer->allowed_count - 1];
	}
	err = apply_peer(t, &p);
	free(allowed);
	return err;
}

static int kernel_set_endpoint(struct tunnel *t, const uint8_t *key,
			       const struct net_addr *endpoint)
{
	wg_peer p = {.flags = WGPEER_HAS_PUBLIC_KEY};

	memcpy(p.public_key, key, KEY_LEN);
	endpoint_of(&p, endpoint);
	return apply_peer(t, &p);
}

static int kernel_remove_peer(struct tunnel *t, const uint8_t *key)
{
	wg_peer p = {.flags = WGPEER_HAS_PUBLIC_KEY | WGPEER_REMOVE_ME};

	memcpy(p.public_key, key, KEY_LEN);
	return apply_peer(t, &p);
}

void kernel_remove_stale(const char *name)
{
	wg_device *dev;

	if (wg_get_device(&dev, name) != 0)
		return;
	free_device(dev);
	wg_del_device(name);
}

const struct tunnel_ops kernel_ops = {
	.name = "kernel",
	.open = kernel_open,
	.close = kernel_close,
	.set_port = kernel_set_port,
	.set_peer = kernel_set_peer,
	.set_endpoint = kernel_set_endpoint,
	.remove_peer = kernel_remove_peer,
	.read = kernel_read,
};
