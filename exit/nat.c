#include "exit/nat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/spawn.h"

/* The IANA special-purpose registries, as proto/ranges.h judges endpoints. */
static const char special4[] =
	"0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "
	"192.0.0.0/24, 192.0.2.0/24, 192.31.196.0/24, 192.52.193.0/24, 192.88.99.0/24, "
	"192.168.0.0/16, 192.175.48.0/24, 198.18.0.0/15, 198.51.100.0/24, 203.0.113.0/24, "
	"224.0.0.0/3";
/* All but 2000::/3, the global unicast space, and what is special inside it: Teredo and ORCHID
 * (2001::/23), documentation, 6to4. */
static const char special6[] =
	"::/3, 4000::/2, 8000::/1, 2001::/23, 2001:db8::/32, 2002::/16, 3fff::/20";

struct script {
	char *text;
	size_t size, len;
	bool full;
};

static void PRINTF(2, 3) put(struct script *s, const char *fmt, ...)
{
	size_t room = s->size - s->len;
	va_list args;
	int n;

	if (s->full)
		return;
	va_start(args, fmt);
	n = vsnprintf(s->text + s->len, room, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		s->full = true;
	else
		s->len += (size_t)n;
}

static bool is_none(const struct net_addr *a)
{
	static const struct net_addr none;

	return memcmp(a->ip, none.ip, sizeof(a->ip)) == 0;
}

static void put_allowed(struct script *s, const struct nat_config *c, bool v4)
{
	const char *family = v4 ? "ip" : "ip6";
	char text[NET_ADDR_TEXT];

	for (size_t i = 0; i < c->allow_count; i++) {
		const struct tunnel_prefix *a = &c->allow[i];

		if (net_addr_is_v4(&a->net) == v4)
			put(s, "\t\t%s daddr %s/%u counter accept\n", family,
			    net_ip_text(text, &a->net), a->bits);
	}
}

static void put_sets(struct script *s)
{
	put(s,
	    "\tset held4 { type ipv4_addr; }\n"
	    "\tset held6 { type ipv6_addr; }\n"
	    "\tset special4 { type ipv4_addr; flags interval; elements = { %s }; }\n"
	    "\tset special6 { type ipv6_addr; flags interval; elements = { %s }; }\n",
	    special4, special6);
}

static void put_pool_check(struct script *s, const char *family, const char *proto,
			   const struct tunnel_prefix *pool)
{
	char text[NET_ADDR_TEXT];

	if (pool->bits)
		put(s, "\t\t%s saddr != %s/%u counter drop\n", family,
		    net_ip_text(text, &pool->net), pool->bits);
	else
		put(s, "\t\tmeta nfproto %s counter drop\n", proto);
}

/* What clients send through us. An accept only ends the look at our own chain. */
static void put_from_client(struct script *s, const struct nat_config *c)
{
	put(s,
	    "\tchain from_client {\n"
	    "\t\toifname \"%s\" counter drop\n"
	    "\t\tip saddr @held4 counter drop\n"
	    "\t\tip6 saddr @held6 counter drop\n",
	    c->interface);
	put_pool_check(s, "ip", "ipv4", &c->pool4);
	put_pool_check(s, "ip6", "ipv6", &c->pool6);
	if (c->uplink[0])
		put(s, "\t\toifname != \"%s\" counter drop\n", c->uplink);
	if (!c->allow_smtp)
		put(s, "\t\ttcp dport 25 counter drop\n");
	put_allowed(s, c, true);
	put_allowed(s, c, false);
	put(s, "\t\tip daddr @special4 counter drop\n"
	       "\t\tip6 daddr @special6 counter drop\n"
	       "\t}\n");
}

/* What comes back: answers only, and nothing for those held. */
static void put_to_client(struct script *s)
{
	put(s, "\tchain to_client {\n"
	       "\t\tip daddr @held4 counter drop\n"
	       "\t\tip6 daddr @held6 counter drop\n"
	       "\t\tct state established,related accept\n"
	       "\t\tcounter drop\n"
	       "\t}\n");
}

static void put_own(struct script *s, const char *family, const struct net_addr *own, bool dns)
{
	bool v4 = net_addr_is_v4(own);
	char text[NET_ADDR_TEXT];

	if (is_none(own))
		return;
	net_ip_text(text, own);
	if (dns)
		put(s,
		    "\t\t%s daddr %s udp dport 53 accept\n"
		    "\t\t%s daddr %s tcp dport 53 accept\n",
		    family, text, family, text);
	put(s, "\t\t%s daddr %s %s type echo-request limit rate 50/second accept\n", family, text,
	    v4 ? "icmp" : "icmpv6");
}

/* What clients send to the exit itself. */
static void put_to_exit(struct script *s, const struct nat_config *c)
{
	put(s, "\tchain to_exit {\n");
	put_own(s, "ip", &c->own4, c->dns4);
	put_own(s, "ip6", &c->own6, c->dns6);
	put(s, "\t\ticmp type { destination-unreachable, time-exceeded, parameter-problem } "
	       "limit rate 50/second accept\n"
	       "\t\ticmpv6 type { destination-unreachable, packet-too-big, time-exceeded, "
	       "parameter-problem } limit rate 50/second accept\n"
	       "\t\tcounter drop\n"
	       "\t}\n");
}

static void put_masquerade(struct script *s, const char *family, const struct nat_config *c,
			   const struct tunnel_prefix *pool)
{
	char text[NET_ADDR_TEXT];

	if (pool->bits)
		put(s, "\t\t%s saddr %s/%u oifname %s\"%s\" counter masquerade random,persistent\n",
		    family, net_ip_text(text, &pool->net), pool->bits,
		    c->uplink[0] ? "" : "!= ", c->uplink[0] ? c->uplink : c->interface);
}

static void put_hooks(struct script *s, const struct nat_config *c)
{
	put(s,
	    "\tchain forward {\n"
	    "\t\ttype filter hook forward priority filter; policy accept;\n"
	    "\t\tiifname \"%s\" jump from_client\n"
	    "\t\toifname \"%s\" jump to_client\n"
	    "\t}\n"
	    "\tchain input {\n"
	    "\t\ttype filter hook input priority filter; policy accept;\n"
	    "\t\tiifname \"%s\" jump to_exit\n"
	    "\t}\n"
	    "\tchain postrouting {\n"
	    "\t\ttype nat hook postrouting priority srcnat; policy accept;\n",
	    c->interface, c->interface, c->interface);
	put_masquerade(s, "ip", c, &c->pool4);
	put_masquerade(s, "ip6", c, &c->pool6);
	put(s, "\t}\n");
}

bool nat_compose(char *out, size_t size, const struct nat_config *c)
{
	struct script s = {.text = out, .size = size};

	/* naming the table first makes the deletion good whether there was one or not */
	put(&s, "table inet culvert_%s\ndelete table inet culvert_%s\ntable inet culvert_%s {\n",
	    c->interface, c->interface, c->interface);
	put_sets(&s);
	put_from_client(&s, c);
	put_to_client(&s);
	put_to_exit(&s, c);
	put_hooks(&s, c);
	put(&s, "}\n");
	return !s.full;
}

static int nft(const char *script)
{
	static const char *const argv[] = {"nft", "-f", "-", NULL};
	char out[512];
	int status = spawn_run(argv, script, out, sizeof(out));

	if (status == 0)
		return 0;
	if (status < 0) {
		log_warnx("cannot run nft: %s; install nftables", strerror(-status));
		return status;
	}
	out[strcspn(out, "\n")] = '\0';
	log_warnx("nft refused the exit's rules (it needs CAP_NET_ADMIN and a kernel with "
		  "nf_tables and nft_masq): %s",
		  out);
	return -EIO;
}

int nat_apply(const struct nat_config *c)
{
	char *text = xcalloc(NAT_TEXT_MAX, 1);
	int err = nat_compose(text, NAT_TEXT_MAX, c) ? nft(text) : -EMSGSIZE;

	free(text);
	return err;
}

bool nat_present(const char *interface)
{
	char name[32], out[64];
	const char *argv[] = {"nft", "list", "set", "inet", name, "held4", NULL};

	snprintf(name, sizeof(name), "culvert_%s", interface);
	return spawn_run(argv, NULL, out, sizeof(out)) == 0;
}

void nat_remove(const char *interface)
{
	char script[128];

	snprintf(script, sizeof(script), "table inet culvert_%s\ndelete table inet culvert_%s\n",
		 interface, interface);
	if (nft(script))
		log_warnx("the exit's rules stay; remove them with: nft delete table inet "
			  "culvert_%s",
			  interface);
}

static void put_elements(struct script *s, const char *interface, const struct net_addr *a,
			 const char *set, bool hold)
{
	char text[NET_ADDR_TEXT];

	if (is_none(a))
		return;
	/* adding first makes the deletion good whether it was in or not */
	put(s, "add element inet culvert_%s %s { %s }\n", interface, set, net_ip_text(text, a));
	if (!hold)
		put(s, "delete element inet culvert_%s %s { %s }\n", interface, set, text);
}

int nat_hold(const char *interface, const struct nat_pair *pairs, size_t count, bool hold)
{
	struct script s = {.size = 1 + count * 512};
	int err;

	if (!count)
		return 0;
	s.text = xcalloc(s.size, 1);
	for (size_t i = 0; i < count; i++) {
		put_elements(&s, interface, &pairs[i].v4, "held4", hold);
		put_elements(&s, interface, &pairs[i].v6, "held6", hold);
	}
	err = s.full ? -EMSGSIZE : nft(s.text);
	free(s.text);
	return err;
}

/* ---- forwarding ---- */

static bool sysctl_is_on(const char *path)
{
	char c = '0';
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &c, 1) != 1)
		c = '0';
	close(fd);
	return c != '0';
}

static int sysctl_on(const char *path, const char *name, const char *hint)
{
	int fd, err = 0;

	if (sysctl_is_on(path))
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		err = -errno;
	if (fd >= 0)
		close(fd);
	if (err)
		log_warnx("this machine does not forward packets and that cannot be changed from "
			  "here: %s; run: sysctl -w %s=1%s",
			  strerror(-err), name, hint);
	else
		log_info("packet forwarding was off and is now on: %s=1%s", name, hint);
	return err;
}

int nat_forwarding(bool v4, bool v6)
{
	int err = 0;

	if (v4)
		err = sysctl_on("/proc/sys/net/ipv4/ip_forward", "net.ipv4.ip_forward", "");
	if (v6 && !err)
		err = sysctl_on(
			"/proc/sys/net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding",
			" (if this machine learns its IPv6 route from router advertisements, "
			"also: sysctl -w net.ipv6.conf.all.accept_ra=2)");
	return err;
}
