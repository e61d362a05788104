/*
 * A load generator: clients here, the exit in another network namespace (see traffic/traffic.h),
 * what is measured in between. Commands on stdin, one JSON line on stdout for each:
 *
 *   load TARGET:PORT EXIT_NETNS EXIT:PORT FLOWS OFFLOAD [RELAY_DESCRIPTOR EXIT_DESCRIPTOR | turn]
 *
 * makes the flows, says how many are ready (with descriptors: real sessions, see rig.h; turn: TURN
 * channels to the exit), then obeys. OFFLOAD 1: clients and exit take
 * buffers of several datagrams.
 *
 *   trial WORD=NUMBER...   one run, see trial.c; words left out are 0
 *   rebind                 TURN channels are kept for five minutes more
 *   idle COUNT             so many sessions more, which stay idle
 *   delay MS               receipts are signed so much later from now on
 *   stats                  totals since the start
 *   quit
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "tests/bench/traffic/guests.h"
#include "tests/bench/traffic/take.h"
#include "tests/bench/traffic/trial.h"

enum {
	DRAIN_MS = 20
};

static void print_counts(const char *name, const struct count c[2])
{
	printf("\"%s\":{\"up\":[%lu,%lu],\"down\":[%lu,%lu]},", name, c[WAY_UP].packets,
	       c[WAY_UP].bytes, c[WAY_DOWN].packets, c[WAY_DOWN].bytes);
}

/* What is still under way arrives, or is lost. */
static void drain(void)
{
	for (unsigned quiet = 0; quiet < DRAIN_MS; quiet++) {
		while (take_some(WAY_UP) + take_some(WAY_DOWN))
			quiet = 0;
		traffic_nap(1000000);
		traffic_serve();
	}
}

static void command_stats(void)
{
	struct totals sum;
	uint64_t receipts = 0, bad = 0;
	unsigned met = 0;

	drain();
	sum = traffic_totals();
	for (unsigned i = 0; i < traffic.flow_count; i++) {
		met += traffic.flows[i].met;
		if (!traffic.clients)
			continue;
		receipts += traffic.clients[i].receipts;
		bad += traffic.clients[i].bad_receipts;
	}
	printf("{");
	print_counts("sent", sum.sent);
	print_counts("received", sum.received);
	printf("\"receipts\":%lu,\"bad_receipts\":%lu,\"met\":%u}\n", receipts, bad, met);
}

static bool command(char *line)
{
	struct trial t;
	unsigned n;

	if (strncmp(line, "trial ", 6) == 0 && trial_parse(&t, line + 6))
		trial_run(&t);
	else if (strncmp(line, "rebind", 6) == 0)
		printf("{\"ready\":%u}\n", traffic_bind_channels());
	else if (sscanf(line, "idle %u", &n) == 1)
		printf("{\"ready\":%u}\n", guests_open_idle(n));
	else if (sscanf(line, "delay %u", &traffic.rig.sign_delay_ms) == 1)
		printf("{\"delay\":%u}\n", traffic.rig.sign_delay_ms);
	else if (strncmp(line, "stats", 5) == 0)
		command_stats();
	else
		return false;
	fflush(stdout);
	return true;
}

static void load(struct descriptor *d, const char *path)
{
	char text[DESCRIPTOR_TEXT_MAX];

	if (file_read(path, text, sizeof(text) - 1) < 0 || !descriptor_from_text(d, text))
		fatalx("%s: no descriptor", path);
}

static void parse(int argc, char **argv)
{
	if (argc < 6 || argc > 8 || !net_addr_parse(&traffic.target, argv[1]) ||
	    !net_addr_parse(&traffic.exit_addr, argv[3]))
		fatalx("usage: load TARGET:PORT EXIT_NETNS EXIT:PORT FLOWS OFFLOAD "
		       "[RELAY_DESCRIPTOR EXIT_DESCRIPTOR | turn]");
	traffic.flow_count = (unsigned)strtoul(argv[4], NULL, 10);
	if (!traffic.flow_count || traffic.flow_count > TRAFFIC_FLOWS)
		fatalx("1 to %d flows", TRAFFIC_FLOWS);
	traffic.offload = argv[5][0] == '1';
	if (argc < 8)
		return;
	load(&traffic.rig.relay, argv[6]);
	load(&traffic.rig.exit, argv[7]);
	traffic.rig.relay_addr = traffic.target;
	wg_mac1_key(traffic.rig.exit_mac1_key, traffic.rig.exit.body.wg_key);
}

static void start(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		fatal("limits");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || prctl(PR_SET_TIMERSLACK, 1) < 0)
		fatal("limits");
	traffic.rig.base = event_base_new();
	if (!traffic.rig.base)
		fatalx("no event loop");
}

int main(int argc, char **argv)
{
	char line[256];

	log_init("load", LOG_LEVEL_INFO);
	crypto_start();
	parse(argc, argv);
	start();
	traffic_open_exit(argv[2]);
	printf("{\"ready\":%u}\n", argc == 8   ? traffic_open_sessions()
				   : argc == 7 ? traffic_open_channels()
					       : traffic_open_plain());
	fflush(stdout);
	/* Between commands the control channel goes on, unhurried. */
	for (;;) {
		struct pollfd p = {STDIN_FILENO, POLLIN, 0};

		traffic_serve();
		take_some(WAY_UP);
		if (poll(&p, 1, 20) <= 0)
			continue;
		if (!fgets(line, sizeof(line), stdin) || strncmp(line, "quit", 4) == 0)
			return 0;
		if (!command(line)) {
			printf("{\"error\":\"bad command\"}\n");
			fflush(stdout);
		}
	}
}
