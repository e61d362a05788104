/* culvertd: reads its configuration, drops what it must not keep, and runs the node. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/undumpable.h"
#include "node/node.h"

enum {
	EXIT_USAGE = 2,
};

static const char usage_text[] =
	"usage: culvertd [--config FILE] [--check]\n"
	"\n"
	"Shares this machine's bandwidth: relay, exit, or both, as the configuration says.\n"
	"\n"
	"  --config FILE  instead of " CONFIG_NODE_FILE "\n"
	"  --check        read the configuration, say what is wrong with it, and end\n"
	"  --version      print the version and end\n"
	"  --help         print this and end\n"
	"\n"
	"The first configuration is made by: culvert init\n";

struct options {
	const char *config;
	bool check;
};

/* -1 to go on, else the exit status. */
static int parse_options(struct options *out, int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'n'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:nVh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			out->config = optarg;
			break;
		case 'n':
			out->check = true;
			break;
		case 'V':
			puts("culvertd " CULVERT_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			fputs(usage_text, stdout);
			return EXIT_SUCCESS;
		default:
			fputs("Try: culvertd --help\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "culvertd: what is \"%s\"? Try: culvertd --help\n", argv[optind]);
	return EXIT_USAGE;
}

/* Keys must not end up in a core file or in another process of this user. */
static void keep_secrets(void)
{
	umask(077);
	errno = -undumpable();
	if (errno)
		fatal("cannot forbid core files; set LimitCORE=0 for the service");
}

static void print_warning(void *arg, const char *text)
{
	(void)arg;
	log_warnx("%s", text);
}

int main(int argc, char **argv)
{
	struct options options = {.config = CONFIG_NODE_FILE};
	struct config_node *config;
	char error[CONFIG_ERROR_MAX];
	int status = parse_options(&options, argc, argv);

	if (status >= 0)
		return status;
	log_init("culvertd", LOG_LEVEL_INFO);
	keep_secrets();
	crypto_start();
	config = xcalloc(1, sizeof(*config));
	if (!config_read_node(config, options.config, error))
		fatalx("%s", error);
	log_set_level(config->log_level);
	config_warn_node(config, options.config, clock_wall(), print_warning, NULL);
	if (options.check)
		puts("configuration OK");
	else
		status = node_run(config, options.config);
	free(config);
	return options.check ? EXIT_SUCCESS : status;
}
