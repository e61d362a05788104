#include "tunnel/route.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "tunnel/iproute.h"

/* Our name on every route and rule we make (rtm_protocol, an unassigned number): what does not
 * carry it is never removed. */
#define PROTOCOL "213"

enum {
	PROTOCOL_NUMBER = 213,
	REMOVALS_MAX = 32 /* more copies of a rule than any number of crashes leaves */
};

int route_address(const char *interface, const struct net_addr *ip, uint8_t bits)
{
	char line[128], text[NET_ADDR_TEXT];

	snprintf(line, sizeof(line), "address replace %s/%u dev %s\n", net_ip_text(text, ip), bits,
		 interface);
	return ip_batch(net_addr_is_v4(ip) ? IP_4 : IP_6, line);
}

/* Packets with the mark, the tunnel's own, skip both rules. Rules added later are looked at
 * earlier: anything more specific than a default route in main wins over the tunnel. The route into
 * the device goes with it; the one that is left then lets nothing pass by the tunnel. Its metric is
 * not the last there is: ip-route takes an IPv6 route with that for the kernel's own and does not
 * flush it. */
static int default_into(enum ip_family family, const char *interface, uint32_t mark)
{
	char lines[512];

	snprintf(lines, sizeof(lines),
		 "route replace default dev %s table %u protocol " PROTOCOL "\n"
		 "route replace unreachable default metric 4294967294 table %u protocol " PROTOCOL
		 "\n"
		 "rule add not fwmark %u table %u protocol " PROTOCOL "\n"
		 "rule add not fwmark %u table main suppress_prefixlength 0 protocol " PROTOCOL
		 "\n",
		 interface, mark, mark, mark, mark, mark);
	return ip_batch(family, lines);
}

/* With strict reverse path filtering the answers to marked packets would be looked up without their
 * mark and dropped. Left on afterwards, as wg-quick does: it changes nothing for unmarked packets.
 */
static void set_src_valid_mark(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/conf/all/src_valid_mark", "we");

	if (!f)
		return;
	fputs("1", f);
	fclose(f);
}

int route_into(const char *interface, const struct tunnel_prefix *prefixes, size_t count,
	       uint32_t mark)
{
	char line[192], text[NET_ADDR_TEXT];
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		const struct net_addr *net = &prefixes[i].net;
		enum ip_family family = net_addr_is_v4(net) ? IP_4 : IP_6;

		if (prefixes[i].bits == 0) {
			err = default_into(family, interface, mark);
			if (family == IP_4)
				set_src_valid_mark();
			continue;
		}
		snprintf(line, sizeof(line), "route replace %s/%u dev %s protocol " PROTOCOL "\n",
			 net_ip_text(text, net), prefixes[i].bits, interface);
		err = ip_batch(family, line);
	}
	return err;
}

static void remove_all(enum ip_family family, const char *line)
{
	for (int i = 0; i < REMOVALS_MAX && ip_try(family, line); i++)
		;
}

void route_clean(uint32_t mark)
{
	static const enum ip_family families[] = {IP_4, IP_6};
	char lookup[128], suppress[128], flush[128];

	snprintf(lookup, sizeof(lookup), "rule del not fwmark %u table %u protocol " PROTOCOL "\n",
		 mark, mark);
	snprintf(suppress, sizeof(suppress),
		 "rule del not fwmark %u table main suppress_prefixlength 0 protocol " PROTOCOL
		 "\n",
		 mark);
	snprintf(flush, sizeof(flush), "route flush table %u protocol " PROTOCOL "\n", mark);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		remove_all(families[i], lookup);
		remove_all(families[i], suppress);
		ip_try(families[i], flush);
	}
}

/* ---- watching ---- */

int route_watch_open(void)
{
	struct sockaddr_nl where = {.nl_family = AF_NETLINK,
				    .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
						 RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
						 RTMGRP_IPV6_ROUTE};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), err;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&where, sizeof(where)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* The interface being watched, with the index it has or, once removed, last had. */
struct watched {
	char name[IF_NAMESIZE];
	unsigned index;
};

static struct watched *watched_of(const char *interface)
{
	static struct watched last;
	unsigned index = if_nametoindex(interface);

	if (strncmp(last.name, interface, sizeof(last.name)) != 0) {
		snprintf(last.name, sizeof(last.name), "%s", interface);
		last.index = 0;
	}
	if (index)
		last.index = index;
	return &last;
}

/* An attribute of exactly len bytes (0: any) of a message whose fixed part has fixed bytes; NULL if
 * absent. */
static const void *attribute(const struct nlmsghdr *msg, size_t fixed, unsigned short type,
			     size_t len)
{
	const char *at = (const char *)NLMSG_DATA(msg) + NLMSG_ALIGN(fixed);
	size_t left;

	if (msg->nlmsg_len < NLMSG_SPACE(fixed))
		return NULL;
	left = msg->nlmsg_len - NLMSG_SPACE(fixed);
	while (left >= sizeof(struct rtattr)) {
		const struct rtattr *a = (const void *)at;
		size_t step = RTA_ALIGN((size_t)a->rta_len);

		if (a->rta_len < sizeof(*a) || a->rta_len > left)
			return NULL;
		if (a->rta_type == type && (!len || a->rta_len == RTA_LENGTH(len)))
			return RTA_DATA(a);
		if (step > left)
			return NULL;
		at += step;
		left -= step;
	}
	return NULL;
}

static bool link_is_other(const struct nlmsghdr *msg, const struct watched *w)
{
	const struct ifinfomsg *link = NLMSG_DATA(msg);
	/* names are NUL-terminated by the kernel and at most IF_NAMESIZE long */
	const char *name = attribute(msg, sizeof(*link), IFLA_IFNAME, 0);

	if (msg->nlmsg_len < NLMSG_LENGTH(sizeof(*link)))
		return false;
	return (unsigned)link->ifi_index != w->index &&
	       !(name && strncmp(name, w->name, sizeof(w->name)) == 0);
}

static bool route_is_other(const struct nlmsghdr *msg, const struct watched *w)
{
	const struct rtmsg *route = NLMSG_DATA(msg);
	const int *out = attribute(msg, sizeof(*route), RTA_OIF, sizeof(int));

	if (msg->nlmsg_len < NLMSG_LENGTH(sizeof(*route)) || route->rtm_flags & RTM_F_CLONED ||
	    route->rtm_protocol == PROTOCOL_NUMBER)
		return false;
	return !out || (unsigned)*out != w->index;
}

static bool message_is_other(const struct nlmsghdr *msg, const struct watched *w)
{
	const struct ifaddrmsg *address = NLMSG_DATA(msg);

	switch (msg->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return link_is_other(msg, w);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return msg->nlmsg_len >= NLMSG_LENGTH(sizeof(*address)) &&
		       address->ifa_index != w->index;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return route_is_other(msg, w);
	default:
		return false;
	}
}

static bool batch_has_other(const char *buf, size_t len, const struct watched *w)
{
	bool other = false;

	while (len >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *msg = (const void *)buf;
		size_t step = NLMSG_ALIGN((size_t)msg->nlmsg_len);

		if (msg->nlmsg_len < sizeof(*msg) || msg->nlmsg_len > len)
			break;
		other |= message_is_other(msg, w);
		if (step >= len)
			break;
		buf += step;
		len -= step;
	}
	return other;
}

bool route_watch_changed(int fd, const char *interface)
{
	const struct watched *w = watched_of(interface);
	_Alignas(struct nlmsghdr) char buf[16384];
	bool other = false;

	for (;;) {
		struct sockaddr_nl from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), MSG_TRUNC, (struct sockaddr *)&from,
				     &from_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return other || errno == ENOBUFS; /* lost messages: assume the worst */
		if (from.nl_pid != 0)
			continue; /* not from the kernel */
		other |= (size_t)n > sizeof(buf) || batch_has_other(buf, (size_t)n, w);
	}
}
