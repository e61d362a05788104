#include "client/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/text.h"

const struct command commands[] = {
	{"init", verb_init,
	 "--roles relay,exit --name NAME [--announce ADDR:PORT]... [--dir DIR]\n"
	 "--client --relay FILE --exit FILE [--dir DIR]",
	 "make keys and a commented configuration",
	 "  --roles LIST          relay, exit, or relay,exit\n"
	 "  --name NAME           what others call the node: a-z, 0-9 and -\n"
	 "  --announce ADDR:PORT  where clients reach it; once for IPv4, once for IPv6\n"
	 "  --client              make a client's files instead\n"
	 "  --relay FILE          the relay's descriptor\n"
	 "  --exit FILE           the exit's descriptor\n"
	 "  --data-dir DIR        where the books are kept\n"
	 "  --dir DIR             where the files go; /etc/culvert\n"
	 "Nothing is ever overwritten.\n"},
	{"check", verb_check, "[FILE]", "check a configuration and the files it names",
	 "FILE, or --config FILE, or "
	 "/etc/culvert/culvert.conf. Nothing is changed.\n"},
	{"up", verb_up, "[--foreground] [--wait SECONDS]", "connect: run the client agent",
	 "  -f, --foreground      stay; for services and containers\n"
	 "  -w, --wait SECONDS    how long to wait for the connection; 30\n"
	 "The configuration is /etc/culvert/client.conf unless --config names another.\n"},
	{"down", verb_down, "", "disconnect: end the client agent",
	 "Also removes what an agent that was killed has left. The configuration is\n"
	 "/etc/culvert/client.conf unless --config names another.\n"},
	{"status", verb_status, "[--exit-code]", "how the client, the node, or both are doing",
	 "  --exit-code           exit 7 unless the client is connected\n"
	 "Without --socket or --config both usual sockets are tried.\n"},
	{"sessions", verb_sessions, "", "sessions with their bytes, windows and signatures",
	 "  -v, --verbose         whole ids\n"},
	{"credits", verb_credits,
	 "\ngrant PAYER AMOUNT [--expires DAYS | --from-earned] [--key HEX]\n"
	 "grant PAYER AMOUNT --relay NODE --key FILE [--serial HEX]\n"
	 "add FILE\nlist",
	 "what is earned, spent and left; grant credit to a payer",
	 "  grant PAYER AMOUNT    let PAYER (44 characters) spend AMOUNT micro-credits here\n"
	 "  --expires DAYS        the promise ends after so many days; else never\n"
	 "  --from-earned         out of what this node earned, never more than it has\n"
	 "  --key HEX             32 hex digits: the same key again grants nothing twice\n"
	 "  --relay NODE          sign the grant as an issuer instead, for this node (its id or\n"
	 "                        descriptor file), and print it: one line for the payer\n"
	 "  --key FILE            the issuer's key; the node names its id as [Credits] Issuer\n"
	 "  --serial HEX          32 hex digits: works once at that node; random\n"
	 "  --network N           the node's network, if NODE is an id; 1\n"
	 "  add FILE              keep a grant for culvert up to show; - reads stdin\n"
	 "  list                  grants kept and what their nodes said; or those a node took\n"
	 "culvert credit is the same command.\n"},
	{"receipts", verb_receipts,
	 "list [--session HEX]\nshow SESSION\nverify [--gaps] FILE\n"
	 "export [-o FILE] [--session HEX] [--database FILE]",
	 "list, show, check offline, and export signed receipts",
	 "  --session HEX         only of this session (32 hex digits)\n"
	 "  -o, --output FILE     where the JSON Lines go; stdout\n"
	 "  --database FILE       read a client's wallet, for when no agent runs\n"
	 "  --gaps                take receipts whose predecessors are not in the file: pruned\n"
	 "                        after settlement, or adopted after a restored backup\n"
	 "verify needs no daemon, no database and no key; - reads stdin. It takes what\n"
	 "culvert disputes exports, too, and says what each line proves.\n"},
	{"disputes", verb_disputes,
	 "[--session HEX] [--export FILE] [--database FILE]\nforgive SESSION",
	 "receipts that were refused, and what that proves; end a dispute",
	 "  --session HEX         only of this session (32 hex digits)\n"
	 "  --export FILE         write them as JSON Lines, each a proof or claim by itself,\n"
	 "                        for culvert receipts verify; - is stdout\n"
	 "  --database FILE       read a client's wallet, for when no agent runs\n"
	 "  forgive SESSION       on a node: write off what the session left unsigned, and\n"
	 "                        let its payer go on without that debt\n"
	 "  -v, --verbose         whole ids, and a sentence about each\n"},
	{"explain", verb_explain, "SESSION",
	 "derive a session's credits line by line, and check each",
	 "Every number is computed from the signed receipt, the signed terms and the bookings.\n"
	 "Exit status 1 if one of them does not come out; the line is named.\n"},
	{"reconcile", verb_reconcile, "SESSION",
	 "put the counts of a session side by side and name every difference",
	 "On a client: this device, the relay, the exit. On a node: heard, carried, in receipts,\n"
	 "signed. Exit status 1 if a difference is not on the lines between.\n"},
	{"earnings", verb_earnings, "[--since DAY] [--until DAY] [--per day|payer] [--csv]",
	 "what a node's payers were charged, by day and payer",
	 "  --since DAY           from this day on: today, yesterday, 7d, 2026-11-20; 30d\n"
	 "  --until DAY           up to this day and with it; today\n"
	 "  --per day|payer       one line a day, or one a payer\n"
	 "  --csv                 comma-separated, with a header; micro-credits\n"
	 "Days are UTC. Credit of an allowance is charged and never pays out.\n"},
	{"settle", verb_settle,
	 "[--wait SECONDS]\nlist\nexport EPOCH [-o FILE]\n"
	 "verify [--node KEY] [--network N] [--lost] FILE...\n"
	 "proof --account KEY FILE\nproof --receipt SESSION:NUMBER FILE\n"
	 "proof --consistency FILE FILE\ncheck-proof [--node KEY] FILE",
	 "put what was signed into a batch; check batches, and prove what is in them",
	 "  (nothing)             the node closes an epoch over all receipts since the last and\n"
	 "                        writes it into a file; waits for that\n"
	 "  list                  the node's epochs and their files\n"
	 "  export EPOCH          have a file made again out of the books, byte for byte\n"
	 "  -o, --output FILE     and copied there\n"
	 "  -w, --wait SECONDS    how long to wait for the file; 600\n"
	 "  verify FILE...        everything in these epochs' files, in order; a directory\n"
	 "                        stands for all *.batch in it\n"
	 "  --node KEY            they must be this node's\n"
	 "  --network N           they must be of this network\n"
	 "  --lost                epochs may be missing between two files\n"
	 "  proof FILE            a line that proves what the node signed about ...\n"
	 "  --account KEY         ... the totals of an identity\n"
	 "  --receipt SESSION:NUMBER  ... one receipt (32 hex digits, a number)\n"
	 "  --consistency         ... the second file's log: that it begins with the first's\n"
	 "  check-proof FILE      whether such a line holds; - reads stdin\n"
	 "verify, proof and check-proof need no daemon, database, network or key.\n"},
	{"descriptor", verb_descriptor, "show [FILE]\nsign [--config FILE] [-o FILE] [--days N]",
	 "show and check a node's descriptor, or sign one offline",
	 "  show FILE             all fields, and whether they hold; without FILE the daemon's\n"
	 "  sign                  from the configuration and its keys\n"
	 "  -o, --output FILE     write it there instead of stdout\n"
	 "  --days N              good for so many days; else TermsDays\n"},
	{"version", verb_version, "", "print the version", ""},
	{"help", verb_help, "[COMMAND]", "list the commands, or explain one", ""},
	{NULL, NULL, NULL, NULL, NULL},
};

const struct command *command_find(const char *name, const char **near)
{
	const char *names[32];
	size_t n = 0;

	/* One word of it reads better with some parts, the other with others. */
	if (strcmp(name, "credit") == 0)
		name = "credits";
	for (const struct command *c = commands; c->name; c++) {
		if (strcmp(c->name, name) == 0)
			return c;
		names[n++] = c->name;
	}
	*near = text_suggest(name, names, n);
	return NULL;
}

void commands_print(void)
{
	puts("Usage: culvert [COMMAND] [OPTION]...\n");
	for (const struct command *c = commands; c->name; c++)
		printf("  %-12s%s\n", c->name, c->summary);
	puts("\nEvery command takes:\n"
	     "  -h, --help      explain it\n"
	     "  --json          one JSON object with \"schema\": 1 and raw numbers\n"
	     "  -q, --quiet     only errors\n"
	     "  -v, --verbose   more\n"
	     "  --config FILE   this configuration\n"
	     "  --socket PATH   the daemon behind this socket\n\n"
	     "Exit status: 0 ok, 1 failed, 2 usage, 3 daemon not running, 4 permission, 5 not "
	     "found,\n6 timeout, 7 not connected (status --exit-code), 8 verification failed.");
}

void command_print(const struct command *c)
{
	const char *form = c->synopsis;

	for (const char *lead = "Usage:";; lead = "      ") {
		size_t n = strcspn(form, "\n");

		printf("%s culvert %s%s%.*s\n", lead, c->name, n ? " " : "", (int)n, form);
		if (!form[n])
			break;
		form += n + 1;
	}
	printf("\n%s\n", c->summary);
	if (*c->details)
		printf("\n%s", c->details);
}
