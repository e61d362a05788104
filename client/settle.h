/* The parts of `culvert settle`. */
#ifndef CLIENT_SETTLE_H
#define CLIENT_SETTLE_H

#include "client/cli.h"

enum {
	SETTLE_PROOF_SCHEMA = 1, /* of the lines that proof writes and check-proof reads */
};

/* As given on the command line; NULL: not given. */
struct settle_options {
	const char *node, *network, *account, *receipt, *wait, *output;
	bool lost, consistency;
};

/* The words of cli are the part's name and what follows it. Each returns the exit status. The first
 * three ask the node, the others need no daemon. */
int settle_close(const struct cli *cli, const struct settle_options *o); /* no word at all */
int settle_list(const struct cli *cli, const struct settle_options *o);
int settle_export(const struct cli *cli, const struct settle_options *o);
int settle_verify(const struct cli *cli, const struct settle_options *o);
int settle_proof(const struct cli *cli, const struct settle_options *o);
int settle_check_proof(const struct cli *cli, const struct settle_options *o);

/* --node as a key: STATUS_OK, with *node NULL if it was not given, or STATUS_USAGE, said. */
int settle_node(const uint8_t **node, uint8_t key[static 32], const struct settle_options *o);

#endif
