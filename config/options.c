#include "config/options.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "config/assign.h"
#include "config/parse.h"

#define AT(field)   offsetof(struct config_node, field)
#define HERE(field) offsetof(struct config_client, field)

enum {
	DAY_MAX = 366,
	SHARE_MAX = 500000,
	RETENTION_MAX = 36500,
};
#define MICRO_PER_GIB "micro-credits per GiB"
#define PRICE_MAX     1000000000000000u
/* Whoever comes gets one every month: millions of them fit the account they come from. */
#define ALLOWANCE_MAX 1000000000000u
#define TIB           (1ull << 40)
/* In bytes/s: 64 kbit/s, less of which carries no tunnel, and 100 Gbit/s. */
#define RATE_MIN    8000
#define RATE_MOST   12500000000ull
#define MONTHLY_MAX (1ull << 60)

static const struct option node_options[] = {
	{"Node", "Name", OPTION_NAME, AT(name), 0, "culvert", 0, 0, NULL,
	 "What others call this node: 1 to 31 of a-z, 0-9 and -."},
	{"Node", "Roles", OPTION_ROLES, AT(roles), 0, "relay", 0, 0, NULL,
	 "What this node does: relay (forwards sealed tunnels to exits), exit (lets them out), or "
	 "both."},
	{"Node", "Identity", OPTION_PATH, AT(identity), 0, "identity.key", 0, 0, NULL,
	 "The key that signs receipts and is this node's name in the books. Losing it loses the "
	 "credits earned. Relative paths start at this file's directory."},
	{"Node", "ControlKey", OPTION_PATH, AT(control_key), 0, "control.key", 0, 0, NULL,
	 "The key of the control channel."},
	{"Node", "DataDir", OPTION_PATH, AT(data_dir), 0, "/var/lib/culvert", 0, 0, NULL,
	 "Where the books and this node's descriptor are kept."},
	{"Node", "Network", OPTION_U64, AT(network), 0, "1", 1, INT64_MAX, NULL,
	 "Nodes and clients of different networks have nothing to do with each other."},
	{"Node", "Listen", OPTION_ENDPOINT, AT(listen), 0, "[::]:51820", 0, 0, NULL,
	 "The one public UDP port, for tunnels and control alike. [::] serves IPv4 and IPv6."},
	{"Node", "Announce", OPTION_ANNOUNCE, AT(announce4), AT(announce6), NULL, 0, 0, NULL,
	 "Where clients reach that port from outside: ADDRESS:PORT, one IPv4 and one IPv6 at most. "
	 "At least one is needed."},
	{"Node", "AllowRange", OPTION_RANGES, AT(allow), 0, NULL, 0, 0, NULL,
	 "A private or special network to send to all the same: for a relay's exits, and for an "
	 "exit's clients. Leave it out unless you run a network of your own."},

	{"Relay", "Exit", OPTION_PATHS, AT(exits), AT(exit_count), NULL, 0, 0, NULL,
	 "The descriptor file of an exit this relay forwards to; one a line, up to 64. It expires: "
	 "get the exit's newer one in time, and reload."},
	{"Relay", "Workers", OPTION_U32, AT(workers), 0, "0", 0, 64, "threads",
	 "Threads that forward; 0: one per processor. If there are just as many as processors the "
	 "node may use, each stays on its own."},
	{"Relay", "MaxSessions", OPTION_U32, AT(max_sessions), 0, "4096", 1, 1000000, "sessions",
	 "Sessions at once."},
	{"Relay", "SessionsPerPayer", OPTION_U32, AT(sessions_per_payer), 0, "8", 1, 65536,
	 "sessions", "Sessions at once of one payer; they share one credit window."},
	{"Relay", "SessionsPerAddress", OPTION_U32, AT(sessions_per_address), 0, "0", 0, 1000000,
	 "sessions",
	 "Sessions of one IPv4 address or IPv6 /64 while more than half of MaxSessions are in use; "
	 "0: a quarter of MaxSessions. Its control channels, if this node is no exit: twice that."},
	{"Relay", "Idle", OPTION_SECONDS, AT(idle_seconds), 0, "300 s", 10, 86400, "seconds",
	 "A session without traffic or a sign of life of its client for so long is closed. Used by "
	 "the exit role too."},
	{"Relay", "Rate", OPTION_RATE, AT(rate), 0, "none", RATE_MIN, RATE_MOST, NULL,
	 "What the relay may send, e.g. 50 Mbit/s: UDP payload, up and down together. Sessions "
	 "share "
	 "it fairly. Set it to 90 to 95 % of an uplink that is slower than this machine."},
	{"Relay", "PeerRate", OPTION_RATE, AT(peer_rate), 0, "none", RATE_MIN, RATE_MOST, NULL,
	 "The same for each session."},
	{"Relay", "MonthlyCap", OPTION_BYTES, AT(monthly_cap), 0, "0", 0, MONTHLY_MAX, NULL,
	 "What the relay may carry in a calendar month (UTC), e.g. 2 TiB: UDP payload it sends, up "
	 "and down together. It is spread over the month and never exceeded; 0: no limit."},

	{"Exit", "Interface", OPTION_IFACE, AT(interface), 0, "culvert0", 0, 0, NULL,
	 "The WireGuard interface this exit makes, and removes when it stops."},
	{"Exit", "WireGuardKey", OPTION_PATH, AT(wg_key), 0, "wg.key", 0, 0, NULL,
	 "The interface's private key, as `wg genkey` writes it."},
	{"Exit", "WireGuardPort", OPTION_U16, AT(wg_port), 0, "51821", 1, 65535, NULL,
	 "The interface's UDP port; not that of Listen."},
	{"Exit", "Backend", OPTION_BACKEND, AT(backend), 0, "auto", 0, 0, NULL,
	 "kernel, userspace (wireguard-go), or auto: the kernel's if it has WireGuard."},
	{"Exit", "AddressPool", OPTION_POOLS, AT(pool4), AT(pool6),
	 "10.64.0.0/16, fd64:7664:706e::/64", 0, 0, NULL,
	 "Inner addresses given to clients, one IPv4 and one IPv6 network; the first of each is "
	 "the exit's own."},
	{"Exit", "DNS", OPTION_IPS, AT(dns4), AT(dns6), NULL, 0, 0, NULL,
	 "Name servers clients are told of, one IPv4 and one IPv6 at most. `culvert up` does not "
	 "set them."},
	{"Exit", "AllowSmtp", OPTION_YES_NO, AT(allow_smtp), 0, "no", 0, 0, NULL,
	 "Let clients reach TCP port 25. Expect complaints about spam."},
	{"Exit", "MaxPeers", OPTION_U32, AT(max_peers), 0, "256", 1, 65000, "peers",
	 "Clients at once."},
	{"Exit", "Uplink", OPTION_IFACE, AT(uplink), 0, NULL, 0, 0, NULL,
	 "The interface towards the internet; left out: whichever the routes say."},

	{"Price", "RelayPerGiB", OPTION_U64, AT(relay_price), 0, "1000", 0, PRICE_MAX,
	 MICRO_PER_GIB, "What a relayed GiB costs, in micro-credits, up and down alike."},
	{"Price", "ExitPerGiB", OPTION_U64, AT(exit_price), 0, "2000", 0, PRICE_MAX, MICRO_PER_GIB,
	 "What a GiB through the exit costs, in micro-credits."},
	{"Price", "FreeAllowance", OPTION_U64, AT(free_allowance), 0, "2000", 0, ALLOWANCE_MAX,
	 "micro-credits",
	 "What each payer may spend every month before it needs credit; 0: nothing. The default "
	 "buys a GiB or two at the default prices."},
	{"Price", "WindowStart", OPTION_BYTES, AT(window_start), 0, "1 MiB", 1024, TIB, NULL,
	 "What an unknown payer may use before it must have signed: what you can lose to each "
	 "key."},
	{"Price", "WindowCap", OPTION_BYTES, AT(window_cap), 0, "64 MiB", 1024, TIB, NULL,
	 "The same for a payer who has always signed; the window doubles up to here."},
	{"Price", "ReceiptEvery", OPTION_SECONDS, AT(receipt_seconds), 0, "30 s", 1, 86400,
	 "seconds", "A receipt at least this often while bytes flow (and every quarter window)."},
	{"Price", "LossShare", OPTION_SHARE, AT(loss_ppm), 0, "5 %", 0, SHARE_MAX, "ppm",
	 "Down bytes lost behind this node's meter that the payer bears, as a share of them. "
	 "`culvert up` refuses terms with more than 20 %."},
	{"Price", "LossConstant", OPTION_BYTES, AT(loss_bytes), 0, "8 MiB", 0, TIB, NULL,
	 "The same as a constant, on top of LossShare. `culvert up` refuses more than 64 MiB."},
	{"Price", "TermsDays", OPTION_U32, AT(terms_days), 0, "30", 1, DAY_MAX, "days",
	 "How long prices and descriptor are good for once signed; they are renewed in time."},

	{"Credits", "Issuer", OPTION_KEYS, AT(issuers), AT(issuer_count), NULL, 0, 0, NULL,
	 "The key of an issuer whose promises of credit this node takes; one a line, up to 16. It "
	 "stands in for what its payers spend here: name only who settles with you."},
	{"Credits", "Retention", OPTION_U32, AT(retention_days), 0, "0", 0, RETENTION_MAX, "days",
	 "How long receipts are kept once `culvert settle` has put them into a batch; 0: for ever. "
	 "The newest receipt of each session always stays. Keep the batches elsewhere, too."},
	{"Credits", "FeePpm", OPTION_U32, AT(fee_ppm), 0, "0", 0, 1000000, "ppm",
	 "The share of what is paid here that goes to FeeAccount, in millionths; fixed for a "
	 "session when it opens. What allowances pay for is paid to nobody."},
	{"Credits", "FeeAccount", OPTION_KEY, AT(fee_account), 0, NULL, 0, 0, NULL,
	 "Whose share that is: an id, as `culvert init` prints it."},

	{"Api", "Socket", OPTION_PATH, AT(socket), 0, CONFIG_NODE_SOCKET, 0, 0, NULL,
	 "Where the culvert command reaches the daemon."},
	{"Log", "Level", OPTION_LEVEL, AT(log_level), 0, "info", 0, 0, NULL,
	 "error, warn, info or debug."},
};

static const struct option client_options[] = {
	{"Client", "Identity", OPTION_PATH, HERE(identity), 0, "identity.key", 0, 0, NULL,
	 "The key that signs receipts: who pays. Relative paths start at this file's directory."},
	{"Client", "ControlKey", OPTION_PATH, HERE(control_key), 0, "control.key", 0, 0, NULL,
	 "The key of the control channel."},
	{"Client", "WireGuardKey", OPTION_PATH, HERE(wg_key), 0, "wg.key", 0, 0, NULL,
	 "The tunnel's private key, as `wg genkey` writes it."},
	{"Client", "DataDir", OPTION_PATH, HERE(data_dir), 0, "/var/lib/culvert-client", 0, 0, NULL,
	 "Where signed receipts are kept."},
	{"Client", "Relay", OPTION_PATH, HERE(relay), 0, NULL, 0, 0, NULL,
	 "The relay's descriptor file. Needed."},
	{"Client", "Exit", OPTION_PATH, HERE(exit), 0, NULL, 0, 0, NULL,
	 "The exit's descriptor file. Needed."},
	{"Client", "Network", OPTION_U64, HERE(network), 0, "1", 1, INT64_MAX, NULL,
	 "The network relay and exit belong to."},
	{"Client", "Interface", OPTION_IFACE, HERE(interface), 0, "culvert1", 0, 0, NULL,
	 "The WireGuard interface `culvert up` makes, and removes when it ends."},
	{"Client", "Backend", OPTION_BACKEND, HERE(backend), 0, "auto", 0, 0, NULL,
	 "kernel, userspace (wireguard-go), or auto: the kernel's if it has WireGuard."},
	{"Client", "AllowedIPs", OPTION_PREFIXES, HERE(allowed_ips), HERE(allowed_count),
	 "0.0.0.0/0, ::/0", 0, 0, NULL,
	 "Which networks go through the tunnel. Default: everything."},
	/* 253 to 255 are the system's own routing tables, and main's default route is not ours. */
	{"Client", "FwMark", OPTION_U32, HERE(fwmark), 0, "51820", 256, UINT32_MAX, NULL,
	 "Mark and routing table that keep the tunnel's own packets out of the tunnel, as wg-quick "
	 "does it."},
	{"Client", "MTU", OPTION_U16, HERE(mtu), 0, "1420", 1280, 9000, "bytes",
	 "Of the interface."},
	{"Client", "MaxPrice", OPTION_U64, HERE(max_price), 0, "0", 0, PRICE_MAX, MICRO_PER_GIB,
	 "Refuse a relay or an exit that asks more, each, in micro-credits; 0: no limit."},

	{"Api", "Socket", OPTION_PATH, HERE(socket), 0, CONFIG_CLIENT_SOCKET, 0, 0, NULL,
	 "Where the culvert command reaches `culvert up`."},
	{"Log", "Level", OPTION_LEVEL, HERE(log_level), 0, "info", 0, 0, NULL,
	 "error, warn, info or debug."},
};

const struct option_table options_node = {
	.options = node_options,
	.count = ARRAY_SIZE(node_options),
	.size = sizeof(struct config_node),
	.of = "culvertd",
	.head = "Configuration of culvertd; see culvert.conf(5). Check it with: culvert check\n"
		"# A line that starts with # is a comment; the ones below show the defaults.",
};

const struct option_table options_client = {
	.options = client_options,
	.count = ARRAY_SIZE(client_options),
	.size = sizeof(struct config_client),
	.of = "culvert up",
	.head = "Configuration of `culvert up`; see culvert.conf(5). Check it with: culvert check\n"
		"# A line that starts with # is a comment; the ones below show the defaults.",
};

struct filling {
	const struct option_table *table;
	void *out;
	const char *dir;
	struct option_lines *lines;
};

static bool known_section(const struct option_table *t, const char *section)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcasecmp(t->options[i].section, section) == 0)
			return true;
	return false;
}

/* Names of the table (keys of a section, or the sections if NULL), for suggestions. */
static const char *suggest(const struct option_table *t, const char *section, const char *word)
{
	const char *names[OPTION_MAX];
	size_t n = 0;

	for (size_t i = 0; i < t->count; i++) {
		const struct option *o = &t->options[i];

		if (!section)
			names[n++] = o->section;
		else if (strcasecmp(section, o->section) == 0)
			names[n++] = o->key;
	}
	return text_suggest(word, names, n);
}

/* A word of the file, if it can hardly be a secret that went astray: shown only then. */
static const char *shown(const char *word)
{
	size_t n = strlen(word);

	return n <= 24 && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") ==
				       n
		       ? word
		       : "...";
}

static bool check_section(void *arg, const char *section, char why[static CONFIG_ERROR_MAX])
{
	const struct filling *f = arg;
	const struct option_table *other =
		f->table == &options_node ? &options_client : &options_node;
	const char *near;

	if (known_section(f->table, section))
		return true;
	near = suggest(f->table, NULL, section);
	if (known_section(other, section))
		snprintf(why, CONFIG_ERROR_MAX,
			 "[%s] belongs into the configuration of %s, and this is read as that of "
			 "%s; give the right file with --config",
			 section, other->of, f->table->of);
	else if (near)
		snprintf(why, CONFIG_ERROR_MAX, "no section [%s]; did you mean [%s]?",
			 shown(section), near);
	else
		snprintf(why, CONFIG_ERROR_MAX,
			 "no section [%s]; see culvert.conf(5) for those there are",
			 shown(section));
	return false;
}

/* The section another key of this name lives in, or NULL. */
static const char *section_of(const struct option_table *t, const char *key)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcasecmp(t->options[i].key, key) == 0)
			return t->options[i].section;
	return NULL;
}

static void say_unknown(const struct option_table *t, const char *section, const char *key,
			char why[static CONFIG_ERROR_MAX])
{
	const char *near = suggest(t, section, key), *home = section_of(t, key);

	if (!section[0])
		snprintf(why, CONFIG_ERROR_MAX,
			 "%s: stands before any section; write [%s] above it", shown(key),
			 home ? home : t->options[0].section);
	else if (home)
		snprintf(why, CONFIG_ERROR_MAX, "%s: is no key of [%s]; it belongs under [%s]", key,
			 section, home);
	else if (near)
		snprintf(why, CONFIG_ERROR_MAX, "%s: is no key of [%s]; did you mean %s?",
			 shown(key), section, near);
	else
		snprintf(why, CONFIG_ERROR_MAX, "%s: is no key of [%s]; see culvert.conf(5)",
			 shown(key), section);
}

static const struct option *find(const struct option_table *t, const char *section, const char *key)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcasecmp(t->options[i].section, section) == 0 &&
		    strcasecmp(t->options[i].key, key) == 0)
			return &t->options[i];
	return NULL;
}

static unsigned first_line(const struct option_lines *lines, const struct option *o)
{
	for (unsigned i = 0; i < lines->top; i++)
		if (lines->set[i].option == o)
			return lines->set[i].line;
	return 0;
}

static bool take_pair(void *arg, unsigned line, const char *section, const char *key,
		      const char *value, char why[static CONFIG_ERROR_MAX])
{
	struct filling *f = arg;
	const struct option *o = find(f->table, section, key);
	unsigned first;

	if (!o) {
		say_unknown(f->table, section, key, why);
		return false;
	}
	first = first_line(f->lines, o);
	if (first && !option_is_list(o)) {
		snprintf(why, CONFIG_ERROR_MAX, "%s: already set in line %u; keep one of the two",
			 o->key, first);
		return false;
	}
	if (f->lines->top == ASSIGNMENT_MAX) {
		snprintf(why, CONFIG_ERROR_MAX,
			 "%s: more lines than any configuration needs; "
			 "take some out",
			 o->key);
		return false;
	}
	f->lines->set[f->lines->top].option = o;
	f->lines->set[f->lines->top++].line = line;
	return option_assign(f->out, o, value, f->dir, why);
}

unsigned option_line(const struct option_lines *lines, const char *section, const char *key,
		     size_t nth)
{
	for (unsigned i = 0; i < lines->top; i++) {
		const struct option *o = lines->set[i].option;

		if (strcmp(o->section, section) == 0 && strcmp(o->key, key) == 0 && nth-- == 0)
			return lines->set[i].line;
	}
	return 0;
}

bool options_parse(const struct option_table *table, void *out, const char *text, size_t len,
		   const char *dir, struct option_lines *lines, unsigned *line,
		   char why[static CONFIG_ERROR_MAX])
{
	static const struct parse_handler handler = {.section = check_section, .pair = take_pair};
	struct filling f = {.table = table, .out = out, .dir = dir, .lines = lines};

	memset(out, 0, table->size);
	lines->top = 0;
	if (!parse_text(text, len, &handler, &f, line, why))
		return false;
	*line = 0;
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->options[i];

		if (o->initial && !first_line(lines, o) &&
		    !option_assign(out, o, o->initial, dir, why))
			return false;
	}
	return true;
}
