/*
 * The exit's nftables table, `inet culvert_<interface>`: what clients may reach, who is held for
 * lack of window, and the masquerade. Nothing outside that table is touched, and rules in it only
 * look at packets from or to the exit's interface. Main thread only.
 */
#ifndef EXIT_NAT_H
#define EXIT_NAT_H

#include "tunnel/device.h"

struct nat_config {
	char interface[16];
	char uplink[16]; /* empty: any interface but ours; else clients reach nothing by another */
	struct tunnel_prefix pool4, pool6; /* 0 bits: none */
	struct net_addr own4, own6;        /* the exit's inner addresses */
	bool dns4, dns6;                   /* clients may ask own4, own6 on port 53 */
	bool allow_smtp;
	const struct tunnel_prefix *allow; /* reachable though special */
	size_t allow_count;
};

enum {
	NAT_TEXT_MAX = 16384
};

/* The whole table as one atomic nft script, replacing one of the same name. Pure. False if it does
 * not fit. */
MUST_CHECK bool nat_compose(char *out, size_t size, const struct nat_config *c);

/* Puts the table in place. 0 or -errno, said by log_warnx. */
MUST_CHECK int nat_apply(const struct nat_config *c);
/* False if somebody removed it (a firewall reload flushes all). */
MUST_CHECK bool nat_present(const char *interface);
void nat_remove(const char *interface);

/* The inner addresses of one client; all-zero ip: none of that family. */
struct nat_pair {
	struct net_addr v4, v6;
};

/* Drops all forwarded packets of these clients in both directions (or no longer): one transaction.
 * 0 or -errno with nothing changed. */
MUST_CHECK int nat_hold(const char *interface, const struct nat_pair *pairs, size_t count,
			bool hold);

/* Sees to it that the kernel forwards in the families given: 0, or -errno with the line to run
 * said by log_warnx. */
MUST_CHECK int nat_forwarding(bool v4, bool v6);

#endif
