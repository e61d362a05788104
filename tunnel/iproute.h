/* Running iproute2 on a few lines of batch input. Private to tunnel/. Main thread only. */
#ifndef TUNNEL_IPROUTE_H
#define TUNNEL_IPROUTE_H

#include "base/base.h"

enum ip_family {
	IP_ANY,
	IP_4,
	IP_6,
};

/* `ip [-4|-6] -batch -` on lines. 0; -EIO if ip refused one (said by log_warnx); -errno if it
 * cannot be run (said too). */
MUST_CHECK int ip_batch(enum ip_family family, const char *lines);
/* The same for what may fail: nothing is said. True if ip took every line. */
bool ip_try(enum ip_family family, const char *lines);

/* Sets the link's MTU and brings it up. */
MUST_CHECK int ip_link_up(const char *interface, uint16_t mtu);

#endif
