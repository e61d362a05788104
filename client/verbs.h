/*
 * The commands of `culvert`, one file each. argv[0] is the command's name, global options stand
 * among the rest, argv[argc] is NULL. Each returns the program's exit status.
 */
#ifndef CLIENT_VERBS_H
#define CLIENT_VERBS_H

/* Few, and the same everywhere; culvert(1) lists them. */
enum {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_NO_DAEMON = 3,
	STATUS_DENIED = 4,
	STATUS_NOT_FOUND = 5,
	STATUS_TIMEOUT = 6,
	STATUS_NOT_CONNECTED = 7, /* only status --exit-code */
	STATUS_UNVERIFIED = 8,    /* a signature, a receipt or a descriptor that does not hold */
};

int verb_init(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_up(int argc, char **argv);
int verb_down(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_sessions(int argc, char **argv);
int verb_credits(int argc, char **argv);
int verb_receipts(int argc, char **argv);
int verb_disputes(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_reconcile(int argc, char **argv);
int verb_earnings(int argc, char **argv);
int verb_settle(int argc, char **argv);
int verb_descriptor(int argc, char **argv);
int verb_version(int argc, char **argv);
int verb_help(int argc, char **argv);

#endif
