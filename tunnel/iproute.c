#include "tunnel/iproute.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/spawn.h"

static int run(enum ip_family family, const char *lines, char *out, size_t out_size)
{
	const char *any[] = {"ip", "-batch", "-", NULL};
	const char *one[] = {"ip", family == IP_4 ? "-4" : "-6", "-batch", "-", NULL};

	return spawn_run(family == IP_ANY ? any : one, lines, out, out_size);
}

int ip_batch(enum ip_family family, const char *lines)
{
	char out[256];
	int status = run(family, lines, out, sizeof(out));

	if (status == 0)
		return 0;
	if (status < 0) {
		log_warnx("cannot run ip: %s; install iproute2", strerror(-status));
		return status;
	}
	out[strcspn(out, "\n")] = '\0';
	log_warnx("ip refused \"%.*s\": %s", (int)strcspn(lines, "\n"), lines, out);
	return -EIO;
}

bool ip_try(enum ip_family family, const char *lines)
{
	char out[256];

	return run(family, lines, out, sizeof(out)) == 0;
}

int ip_link_up(const char *interface, uint16_t mtu)
{
	char lines[128];

	snprintf(lines, sizeof(lines), "link set dev %s mtu %u up\n", interface, mtu);
	return ip_batch(IP_ANY, lines);
}
