#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
	return a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool net_addr_is_v4(const struct net_addr *a)
{
	return memcmp(a->ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

bool net_addr_from_sockaddr(struct net_addr *out, const struct sockaddr *sa, socklen_t len)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	if (len >= sizeof(*in6) && sa->sa_family == AF_INET6) {
		memcpy(out->ip, &in6->sin6_addr, 16);
		out->port = ntohs(in6->sin6_port);
		return true;
	}
	if (len >= sizeof(*in) && sa->sa_family == AF_INET) {
		memcpy(out->ip, v4_prefix, 12);
		memcpy(out->ip + 12, &in->sin_addr, 4);
		out->port = ntohs(in->sin_port);
		return true;
	}
	return false;
}

void net_addr_to_sockaddr(struct sockaddr_in6 *out, const struct net_addr *a)
{
	memset(out, 0, sizeof(*out));
	out->sin6_family = AF_INET6;
	out->sin6_port = htons(a->port);
	memcpy(&out->sin6_addr, a->ip, 16);
}

static bool ip_parse(uint8_t ip[static 16], const char *text)
{
	if (inet_pton(AF_INET6, text, ip) == 1)
		return true;
	memcpy(ip, v4_prefix, 12);
	return inet_pton(AF_INET, text, ip + 12) == 1;
}

/* Splits "host:port" or "[host]:port" into host; NULL unless a colon and a port remain. */
static const char *split_port(char host[static NET_ADDR_TEXT], const char *text)
{
	bool bracket = text[0] == '[';
	const char *end = bracket ? strchr(text, ']') : strchr(text, ':');
	size_t n;

	if (!end)
		return NULL;
	text += bracket;
	n = (size_t)(end - text);
	if (n >= NET_ADDR_TEXT || (bracket && *++end != ':') || (bracket && !memchr(text, ':', n)))
		return NULL;
	memcpy(host, text, n);
	host[n] = '\0';
	return end + 1;
}

bool net_addr_parse(struct net_addr *out, const char *text)
{
	char host[NET_ADDR_TEXT];
	const char *port_text = split_port(host, text);
	uint64_t port;

	if (!port_text || !ip_parse(out->ip, host) || !text_u64(port_text, 1, 65535, &port))
		return false;
	out->port = (uint16_t)port;
	return true;
}

bool net_prefix_parse(struct net_addr *out, uint8_t *bits, const char *text)
{
	char host[NET_ADDR_TEXT];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	uint64_t v, min, max;

	if (n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	out->port = 0;
	if (!ip_parse(out->ip, host))
		return false;
	/* "::ffff:10.0.0.0/104" is 10.0.0.0/8; shorter than 96 it would span both families. */
	max = strchr(host, ':') ? 128 : 32;
	min = max == 128 && net_addr_is_v4(out) ? 96 : 0;
	v = max;
	if (slash && !text_u64(slash + 1, min, max, &v))
		return false;
	*bits = (uint8_t)(v - min);
	return true;
}

bool net_prefix_contains(const struct net_addr *net, uint8_t bits, const struct net_addr *a)
{
	unsigned total = bits;
	bool v4 = net_addr_is_v4(net);
	uint8_t mask;

	if (v4 != net_addr_is_v4(a))
		return false;
	if (v4)
		total += 96;
	if (memcmp(net->ip, a->ip, total / 8) != 0)
		return false;
	mask = (uint8_t)(0xff00 >> (total % 8));
	return total % 8 == 0 || ((net->ip[total / 8] ^ a->ip[total / 8]) & mask) == 0;
}

const char *net_ip_text(char out[static NET_ADDR_TEXT], const struct net_addr *a)
{
	bool v4 = net_addr_is_v4(a);

	if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->ip + 12 : a->ip, out, NET_ADDR_TEXT))
		out[0] = '\0';
	return out;
}

const char *net_addr_text(char out[static NET_ADDR_TEXT], const struct net_addr *a)
{
	char ip[NET_ADDR_TEXT];

	net_ip_text(ip, a);
	if (net_addr_is_v4(a))
		snprintf(out, NET_ADDR_TEXT, "%.15s:%u", ip, a->port);
	else
		snprintf(out, NET_ADDR_TEXT, "[%.45s]:%u", ip, a->port);
	return out;
}
