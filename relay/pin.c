#include "relay/pin.h"

#include <sched.h>

bool pin_thread(pthread_t thread, unsigned number, unsigned count)
{
	cpu_set_t allowed, own;
	unsigned seen = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0 ||
	    (unsigned)CPU_COUNT(&allowed) != count)
		return false;
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || seen++ != number)
			continue;
		CPU_ZERO(&own);
		CPU_SET(cpu, &own);
		return pthread_setaffinity_np(thread, sizeof(own), &own) == 0;
	}
	return false;
}
