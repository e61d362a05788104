#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "client/api.h"
#include "client/units.h"

/* Text of a daemon, without what could steer a terminal. */
static void put_text(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
}

static void put_id(const json_t *object)
{
	char id[KEY_TEXT];

	printf("  %-12s%s\n", "id", field_id(id, object, "id"));
}

static void put_field(const char *name, const json_t *object, const char *key)
{
	printf("  %-12s", name);
	put_text(field_text(object, key));
	putchar('\n');
}

/* "1.2 GiB" of a member, in one of two buffers that live until the second next call. */
static const char *bytes(const json_t *object, const char *key)
{
	static char texts[2][TEXT_UNITS];
	static unsigned turn;

	turn ^= 1;
	return text_iec(texts[turn], field_number(object, key));
}

static void print_direction(const json_t *relay, const char *direction, const char *label)
{
	const json_t *in = json_object_get(json_object_get(relay, "in"), direction);
	const json_t *out = json_object_get(json_object_get(relay, "out"), direction);

	printf("  %-12sin %s (%" PRIu64 " packets), ", label, bytes(in, "bytes"),
	       field_number(in, "packets"));
	printf("out %s (%" PRIu64 " packets)\n", bytes(out, "bytes"), field_number(out, "packets"));
}

static void print_drops(const json_t *drops)
{
	const char *reason;
	const json_t *drop;
	bool any = false;

	printf("  %-12s", "dropped");
	json_object_foreach((json_t *)(uintptr_t)drops, reason, drop)
	{
		uint64_t n = field_number(json_object_get(drop, "up"), "packets") +
			     field_number(json_object_get(drop, "down"), "packets");

		if (n == 0)
			continue;
		printf("%s%s %" PRIu64, any ? ", " : "", reason, n);
		any = true;
	}
	puts(any ? " (packets)" : "nothing");
}

static void print_offload(const json_t *relay)
{
	const json_t *o = json_object_get(relay, "offload");
	const bool in = json_is_true(json_object_get(o, "in"));
	const bool out = json_is_true(json_object_get(o, "out"));

	printf("  %-12s%s, %" PRIu64 " destinations refused it\n", "offload",
	       in && out ? "in and out"
	       : in      ? "in only: this kernel has no UDP_SEGMENT"
	       : out     ? "out only: this kernel has no UDP_GRO"
			 : "none: this kernel has no UDP_GRO and no UDP_SEGMENT",
	       field_number(o, "refused"));
}

static void print_receipt_counts(const json_t *role)
{
	printf("  %-12s%" PRIu64 " issued, %" PRIu64 " signed, %" PRIu64 " disputes\n", "receipts",
	       field_number(role, "receipts_issued"), field_number(role, "receipts_signed"),
	       field_number(role, "disputes"));
}

static const char *rate_or_none(char out[static UNITS_TEXT], const json_t *relay, const char *key)
{
	uint64_t bits = field_number(relay, key);

	return bits ? unit_rate(out, bits) : "none";
}

/* "  limits      50.0 Mbit/s, a session 8.0 Mbit/s; 12 packets wait" */
static void print_limits(const json_t *relay)
{
	const json_t *queued = json_object_get(relay, "queued");
	char rate[UNITS_TEXT], peer[UNITS_TEXT];

	if (!field_number(relay, "rate") && !field_number(relay, "peer_rate"))
		return;
	printf("  %-12s%s, a session %s; %" PRIu64 " packets wait\n", "limits",
	       rate_or_none(rate, relay, "rate"), rate_or_none(peer, relay, "peer_rate"),
	       field_number(json_object_get(queued, "up"), "packets") +
		       field_number(json_object_get(queued, "down"), "packets"));
}

/* "  month       1.2 TiB of 2.0 TiB, 38.2 Mbit/s until 2026-12-01" */
static void print_month(const json_t *m)
{
	const bool waiting = json_is_true(json_object_get(m, "waiting"));
	uint64_t cap = field_number(m, "cap"), rate = field_number(m, "rate");
	char text[TEXT_UNITS], day[UNITS_TEXT], pace[UNITS_TEXT];

	unit_time(day, field_number(m, "ends"));
	day[strcspn(day, " ")] = '\0';
	printf("  %-12s%s of %s, ", "month", bytes(m, "carried"), text_iec(text, cap));
	if (waiting)
		puts("and no more until the books take it");
	else if (rate)
		printf("%s until %s\n", unit_rate(pace, rate), day);
	else
		printf("used up until %s\n", day);
}

static void print_relay(const json_t *relay)
{
	printf("relay on UDP port %" PRIu64 ": %" PRIu64 " sessions, %" PRIu64 " exits, %" PRIu64
	       " workers\n",
	       field_number(relay, "port"), field_number(relay, "sessions"),
	       field_number(relay, "exits"), field_number(relay, "workers"));
	print_direction(relay, "up", "up");
	print_direction(relay, "down", "down");
	print_drops(json_object_get(relay, "drops"));
	print_limits(relay);
	print_offload(relay);
	printf("  %-12s%" PRIu64 " (%" PRIu64 " bad, %" PRIu64 " replayed), %" PRIu64 " moves\n",
	       "binds", field_number(relay, "binds"), field_number(relay, "bad_binds"),
	       field_number(relay, "replayed_binds"), field_number(relay, "moves"));
	if (json_object_get(relay, "month"))
		print_month(json_object_get(relay, "month"));
	print_receipt_counts(relay);
}

static void print_exit(const json_t *role)
{
	printf("exit: %" PRIu64 " peers, WireGuard by ", field_number(role, "peers"));
	put_text(field_text(role, "backend"));
	printf(", repaired %" PRIu64 " times\n", field_number(role, "repairs"));
	printf("  %-12s%s\n", "up", bytes(role, "up"));
	printf("  %-12s%s\n", "down", bytes(role, "down"));
	print_receipt_counts(role);
}

static void print_node(const json_t *s)
{
	const json_t *relay = json_object_get(s, "relay"), *role = json_object_get(s, "exit");
	char text[UNITS_TEXT];

	fputs("node ", stdout);
	put_text(field_text(s, "name"));
	printf(", up %s, network %" PRIu64 ", version ",
	       unit_duration(text, field_number(s, "uptime_s")), field_number(s, "network"));
	put_text(field_text(s, "version"));
	putchar('\n');
	put_id(s);
	if (relay)
		print_relay(relay);
	if (role)
		print_exit(role);
}

static void print_hop(const json_t *hop, const char *what)
{
	char text[UNITS_TEXT];

	printf("%s ", what);
	put_text(field_text(hop, "name"));
	printf(": up %s, down %s, ", bytes(hop, "up"), bytes(hop, "down"));
	printf("signed %s\n", bytes(hop, "signed"));
	put_id(hop);
	put_field("session", hop, "session");
	printf("  %-12s%s\n", "window", bytes(hop, "window"));
	printf("  %-12s%s credits\n", "credit", unit_credits(text, field_number(hop, "credit")));
	if (*field_text(hop, "trouble"))
		put_field("trouble", hop, "trouble");
}

static void print_client(const json_t *s)
{
	const json_t *counted = json_object_get(s, "counted");
	uint64_t handshake = field_number(s, "last_handshake"), now = clock_wall();
	char text[UNITS_TEXT];

	fputs("client ", stdout);
	put_text(field_text(s, "state"));
	if (*field_text(s, "interface")) {
		fputs(", interface ", stdout);
		put_text(field_text(s, "interface"));
		fputs(" by ", stdout);
		put_text(field_text(s, "backend"));
	}
	putchar('\n');
	put_id(s);
	if (handshake)
		printf("  %-12s%s ago\n", "handshake",
		       unit_duration(text, now > handshake ? now - handshake : 0));
	printf("  %-12sup %s, down %s\n", "counted", bytes(counted, "up"), bytes(counted, "down"));
	printf("  %-12s%" PRIu64 " rebinds, %" PRIu64 " reconnects\n", "path",
	       field_number(s, "rebinds"), field_number(s, "reconnects"));
	if (json_object_get(s, "relay"))
		print_hop(json_object_get(s, "relay"), "relay");
	if (json_object_get(s, "exit"))
		print_hop(json_object_get(s, "exit"), "exit");
}

static bool is_client(const json_t *s)
{
	return strcmp(field_text(s, "role"), "client") == 0;
}

/* Those that answer, in order; STATUS_OK with *count > 0, or why not, said. */
static int ask(const struct api_sockets *sockets, json_t *answers[static 2], size_t *count)
{
	int status;

	*count = 0;
	for (size_t i = 0; i < sockets->count; i++) {
		status = api_request(&answers[*count], sockets->path[i], "GET /v1/status", NULL,
				     true);
		if (status == STATUS_OK)
			++*count;
		else if (status != STATUS_NO_DAEMON && *count == 0)
			return status;
	}
	/* Nobody: ask once more for the sentence that says so. */
	return *count ? STATUS_OK : api_first(&answers[0], sockets, "GET /v1/status", NULL);
}

static void show(const struct cli *cli, json_t *answers[static 2], size_t count)
{
	if (cli->json) {
		if (count == 2)
			json_object_set(answers[0], "node", answers[1]);
		print_json(json_incref(answers[0]));
		return;
	}
	for (size_t i = 0; i < count && !cli->quiet; i++) {
		if (i)
			putchar('\n');
		if (is_client(answers[i]))
			print_client(answers[i]);
		else
			print_node(answers[i]);
	}
}

int verb_status(int argc, char **argv)
{
	bool exit_code = false;
	const struct cli_option options[] = {{"exit-code", 0, CLI_FLAG, &exit_code}};
	json_t *answers[2] = {NULL, NULL};
	struct api_sockets sockets;
	struct cli cli;
	size_t count;
	int status = cli_parse(&cli, argc, argv, options, ARRAY_SIZE(options), 0);

	if (status == STATUS_OK)
		status = api_find(&sockets, &cli, API_EITHER);
	if (status == STATUS_OK)
		status = ask(&sockets, answers, &count);
	if (status != STATUS_OK)
		return status;
	show(&cli, answers, count);
	if (exit_code &&
	    (!is_client(answers[0]) || strcmp(field_text(answers[0], "state"), "connected") != 0))
		status = STATUS_NOT_CONNECTED;
	json_decref(answers[0]);
	json_decref(answers[1]);
	return status;
}
