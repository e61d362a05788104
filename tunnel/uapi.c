#include "tunnel/uapi.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* ---- requests ---- */

static void PRINTF(2, 3) put(struct uapi_text *out, const char *fmt, ...)
{
	size_t room = out->size - out->len;
	va_list args;
	int n;

	if (out->full)
		return;
	va_start(args, fmt);
	n = vsnprintf(out->text + out->len, room, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		out->full = true;
	else
		out->len += (size_t)n;
}

static void put_key(struct uapi_text *out, const char *name, const uint8_t key[static KEY_LEN])
{
	char hex[2 * KEY_LEN + 1];

	put(out, "%s=%s\n", name, text_hex(hex, key, KEY_LEN));
	explicit_bzero(hex, sizeof(hex));
}

void uapi_begin(struct uapi_text *out, char *text, size_t size)
{
	*out = (struct uapi_text){.text = text, .size = size};
	put(out, "set=1\n");
}

void uapi_put_device(struct uapi_text *out, const uint8_t key[static KEY_LEN], uint32_t fwmark)
{
	put_key(out, "private_key", key);
	put(out, "fwmark=%u\n", fwmark);
}

void uapi_put_port(struct uapi_text *out, uint16_t port)
{
	put(out, "listen_port=%u\n", port);
}

static void put_address(struct uapi_text *out, const struct net_addr *endpoint)
{
	char text[NET_ADDR_TEXT];

	put(out, "endpoint=%s\n", net_addr_text(text, endpoint));
}

void uapi_put_peer(struct uapi_text *out, const struct tunnel_peer *peer, bool exists)
{
	char text[NET_ADDR_TEXT];

	put_key(out, "public_key", peer->key);
	if (exists)
		put(out, "update_only=true\n");
	if (peer->has_endpoint)
		put_address(out, &peer->endpoint);
	put(out, "persistent_keepalive_interval=%u\nreplace_allowed_ips=true\n", peer->keepalive);
	for (size_t i = 0; i < peer->allowed_count; i++)
		put(out, "allowed_ip=%s/%u\n", net_ip_text(text, &peer->allowed[i].net),
		    peer->allowed[i].bits);
}

void uapi_put_endpoint(struct uapi_text *out, const uint8_t key[static KEY_LEN],
		       const struct net_addr *endpoint)
{
	put_key(out, "public_key", key);
	put(out, "update_only=true\n");
	put_address(out, endpoint);
}

void uapi_put_removal(struct uapi_text *out, const uint8_t key[static KEY_LEN])
{
	put_key(out, "public_key", key);
	put(out, "remove=true\n");
}

bool uapi_end(struct uapi_text *out)
{
	put(out, "\n");
	return !out->full;
}

/* ---- answers ---- */

struct reader {
	uint16_t *port;
	backend_each each;
	void *arg;
	struct backend_stat peer;
	bool in_peer, done;
	int result;
};

static void finish_peer(struct reader *r)
{
	if (r->in_peer && r->each)
		r->each(r->arg, &r->peer);
	r->in_peer = false;
}

static bool read_public_key(struct reader *r, const char *value)
{
	finish_peer(r);
	memset(&r->peer, 0, sizeof(r->peer));
	r->in_peer = true;
	return text_unhex(r->peer.key, KEY_LEN, value);
}

static bool read_port(struct reader *r, const char *value)
{
	uint64_t v;

	if (!text_u64(value, 0, UINT16_MAX, &v))
		return false;
	if (r->port)
		*r->port = (uint16_t)v;
	return true;
}

static bool read_endpoint(struct reader *r, const char *value)
{
	r->peer.has_endpoint = net_addr_parse(&r->peer.endpoint, value);
	return true;
}

static bool read_rx(struct reader *r, const char *value)
{
	return text_u64(value, 0, UINT64_MAX, &r->peer.rx);
}

static bool read_tx(struct reader *r, const char *value)
{
	return text_u64(value, 0, UINT64_MAX, &r->peer.tx);
}

static bool read_handshake(struct reader *r, const char *value)
{
	return text_u64(value, 0, INT64_MAX, &r->peer.last_handshake);
}

static bool read_errno(struct reader *r, const char *value)
{
	uint64_t v;

	if (!text_u64(value + (value[0] == '-'), 0, 4095, &v))
		return false;
	finish_peer(r);
	r->result = -(int)v;
	r->done = true;
	return true;
}

static const struct {
	const char *name;
	bool of_peer;
	bool (*read)(struct reader *r, const char *value);
} keys[] = {
	{"public_key", false, read_public_key},
	{"listen_port", false, read_port},
	{"endpoint", true, read_endpoint},
	{"rx_bytes", true, read_rx},
	{"tx_bytes", true, read_tx},
	{"last_handshake_time_sec", true, read_handshake},
	{"errno", false, read_errno},
};

/* One line without its newline. */
static bool read_line(struct reader *r, const char *line, size_t len)
{
	const char *eq = memchr(line, '=', len);
	char value[128];
	size_t name_len, n;

	if (!eq || r->done || memchr(line, '\0', len))
		return false;
	name_len = (size_t)(eq - line);
	n = len - name_len - 1;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strlen(keys[i].name) != name_len || memcmp(keys[i].name, line, name_len) != 0)
			continue;
		if (n >= sizeof(value) || (keys[i].of_peer && !r->in_peer))
			return false;
		memcpy(value, eq + 1, n);
		value[n] = '\0';
		return keys[i].read(r, value);
	}
	return true;
}

bool uapi_complete(const char *text, size_t len)
{
	return len >= 2 && text[len - 1] == '\n' && text[len - 2] == '\n';
}

int uapi_parse(const char *text, size_t len, uint16_t *port, backend_each each, void *arg)
{
	struct reader r = {.port = port, .each = each, .arg = arg};
	const char *end = text + len;

	while (text < end && *text != '\n') {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		if (!newline || !read_line(&r, text, (size_t)(newline - text)))
			return -EBADMSG;
		text = newline + 1;
	}
	/* exactly the blank line is left, and errno was the last before it */
	if (!r.done || end - text != 1)
		return -EBADMSG;
	return r.result;
}
