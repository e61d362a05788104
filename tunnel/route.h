/*
 * Addresses, routes and rules of an interface, by iproute2 (`ip -batch -`, no shell). Main thread
 * only. 0 or -errno; what ip said is in the log.
 */
#ifndef TUNNEL_ROUTE_H
#define TUNNEL_ROUTE_H

#include "tunnel/device.h"

/* Adds an address (e.g. /32, /128, or an exit's pool address with its prefix length). */
MUST_CHECK int route_address(const char *interface, const struct net_addr *ip, uint8_t bits);

/*
 * Sends prefixes into the interface. A prefix of length 0 goes the wg-quick way: default route in
 * table fwmark, `not fwmark M lookup M` and `suppress_prefixlength 0` rules, so marked packets (the
 * tunnel's own) use the old routes. mark != 0.
 */
MUST_CHECK int route_into(const char *interface, const struct tunnel_prefix *prefixes, size_t count,
			  uint32_t mark);

/* Removes the rules and table of mark, as often as they are there; the routes go with the
 * interface. Safe to call when nothing is there: after a crash, before a start. */
void route_clean(uint32_t mark);

/* A netlink socket that becomes readable when links, addresses or routes change; -errno if none. */
MUST_CHECK int route_watch_open(void);
/* Drains it: true if anything but changes of `interface` itself was reported. */
bool route_watch_changed(int fd, const char *interface);

#endif
