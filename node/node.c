#include "node/node.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "node/api.h"
#include "node/notify.h"
#include "proto/crypto.h"

/* ---- the ledger ---- */

/* Terms and descriptor are signed anew in time; the roles follow. */
static void renewed(struct node *n)
{
	const struct ledger_identity *now = ledger_identity_now(n->ledger);

	if (memcmp(&n->identity, now, sizeof(*now)) == 0)
		return;
	n->identity = *now;
	if (n->relay)
		relay_set_self(n->relay, &now->descriptor);
	if (n->exit)
		exit_set_self(n->exit, &now->descriptor);
	log_info("terms and descriptor renewed");
}

static void on_ledger(evutil_socket_t fd, short what, void *arg)
{
	struct node *n = arg;

	(void)fd;
	(void)what;
	if (ledger_dispatch(n->ledger) == 0) {
		renewed(n);
		return;
	}
	/* Nothing can be promised any more. The kernel's device would go on carrying: it goes. */
	exit_destroy(n->exit);
	fatalx("the ledger process ended; nothing can be billed, so nothing is carried. The lines "
	       "before this one say why");
}

/* Called between rounds of the loop: any handler may have asked the ledger something. */
static void watch_ledger(struct node *n)
{
	if (ledger_wants_write(n->ledger))
		event_add(n->ledger_write, NULL);
	else
		event_del(n->ledger_write);
}

/* After a kill the ledger reads its whole database before it is ready. */
static void ask_patience(const char *database)
{
	struct stat st;

	if (stat(database, &st) == 0)
		notify_reading((uint64_t)st.st_size);
}

static int start_ledger(struct node *n)
{
	struct ledger_config *config = xcalloc(1, sizeof(*config));
	int err = dir_make(n->config.data_dir, 0700);

	if (err) {
		errno = -err;
		log_warn("%s: cannot make this directory; see [Node] DataDir", n->config.data_dir);
	} else {
		err = settings_ledger(config, &n->config, n->keys);
		ask_patience(config->database);
		if (!err)
			err = ledger_start(&n->ledger, config, &n->identity);
	}
	free(config);
	return err;
}

/* ---- control channel ---- */

static void control_send(void *arg, const struct control_path *to, const void *msg, size_t len)
{
	struct node *n = arg;

	if (n->relay)
		relay_send_control(n->relay, to, msg, len);
	else
		public_send(n, &to->addr, msg, len);
}

static void control_input(void *arg, const struct control_path *from, const uint8_t *msg,
			  size_t len)
{
	struct node *n = arg;

	control_server_input(n->control, from, msg, len);
}

static int start_control(struct node *n)
{
	static const struct control_server_ops ops = {.send = control_send, .handle = verbs_handle};
	struct control_server_config config = {
		.keys = n->keys->control,
		.network = n->config.network,
		/* A client that comes back has its old channel beside the new one for a while. */
		.max_channels = 2 * (n->config.max_sessions + n->config.max_peers) + 64,
		/* An exit's clients come from their relays' addresses. */
		.channels_per_network =
			n->config.roles & ROLE_EXIT ? 0 : 2 * settings_per_address(&n->config),
	};

	n->control = control_server_create(n->base, &config, &ops, n);
	crypto_wipe(&config, sizeof(config));
	return n->control ? 0 : -ENOMEM;
}

/* ---- roles ---- */

static int start_relay(struct node *n)
{
	struct relay_config *config = xcalloc(1, sizeof(*config));
	int err;

	settings_relay(config, &n->config);
	err = relay_create(&n->relay, config, n->base, n->ledger, &n->identity.descriptor);
	free(config);
	if (err)
		return err;
	relay_set_control(n->relay, n->control);
	relay_set_control_input(n->relay, control_input, n);
	reload_exits(n);
	return 0;
}

static int start_exit(struct node *n)
{
	struct exit_config config;
	int err;

	settings_exit(&config, &n->config, n->keys, n->allow);
	err = exit_create(&n->exit, &config, n->base, n->ledger, &n->identity.descriptor);
	crypto_wipe(&config, sizeof(config));
	if (err)
		return err;
	exit_set_control(n->exit, n->control);
	return n->relay ? 0 : public_open(n);
}

static int start_roles(struct node *n)
{
	int err = n->config.roles & ROLE_RELAY ? start_relay(n) : 0;

	if (!err && n->config.roles & ROLE_EXIT)
		err = start_exit(n);
	return err;
}

/* ---- signals and time ---- */

static void role_stopped(void *arg)
{
	struct node *n = arg;

	if (--n->stopping == 0)
		n->finished = true;
}

static void stop(struct node *n)
{
	if (n->stop_asked)
		return;
	n->stop_asked = true;
	notify_send("STOPPING=1\nSTATUS=the last receipts are being signed");
	log_info("stopping");
	n->stopping = (n->relay ? 1u : 0u) + (n->exit ? 1u : 0u);
	if (n->relay)
		relay_stop(n->relay, role_stopped, n);
	if (n->exit)
		exit_stop(n->exit, role_stopped, n);
	n->finished = n->stopping == 0;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)what;
	if (number == SIGHUP)
		reload(arg);
	else if (number != SIGPIPE)
		stop(arg);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	notify_send("WATCHDOG=1");
}

static int start_watchdog(struct node *n)
{
	uint64_t us = notify_watchdog_us() / 2;
	const struct timeval every = {.tv_sec = (time_t)(us / 1000000),
				      .tv_usec = (suseconds_t)(us % 1000000)};

	if (us == 0)
		return 0;
	n->watchdog = event_new(n->base, -1, EV_PERSIST, on_watchdog, n);
	return n->watchdog && event_add(n->watchdog, &every) == 0 ? 0 : -ENOMEM;
}

static int start_events(struct node *n)
{
	static const int signals[NODE_WATCHED] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
	int fd = ledger_fd(n->ledger);

	for (size_t i = 0; i < NODE_WATCHED; i++) {
		n->signals[i] = evsignal_new(n->base, signals[i], on_signal, n);
		if (!n->signals[i] || event_add(n->signals[i], NULL) < 0)
			return -ENOMEM;
	}
	n->ledger_read = event_new(n->base, fd, EV_READ | EV_PERSIST, on_ledger, n);
	n->ledger_write = event_new(n->base, fd, EV_WRITE, on_ledger, n);
	if (!n->ledger_read || !n->ledger_write || event_add(n->ledger_read, NULL) < 0)
		return -ENOMEM;
	return start_watchdog(n);
}

/* ---- life ---- */

static int start(struct node *n)
{
	int err;

	n->base = event_base_new();
	err = n->base ? start_events(n) : -ENOMEM;
	if (!err)
		err = start_control(n);
	if (!err)
		err = start_roles(n);
	if (!err)
		err = api_create(&n->api, n);
	return err;
}

static void say_ready(const struct node *n)
{
	char lines[128];
	unsigned port = n->relay ? relay_port(n->relay) : n->config.listen.port;

	snprintf(lines, sizeof(lines), "READY=1\nSTATUS=%s%s%s on UDP port %u",
		 n->relay ? "relay" : "", n->relay && n->exit ? " and " : "", n->exit ? "exit" : "",
		 port);
	notify_send(lines);
	log_info("ready: %s", strstr(lines, "STATUS=") + strlen("STATUS="));
}

/* The reverse of start. The ledger goes before the roles that it would answer. */
static void end(struct node *n)
{
	api_destroy(n->api);
	ledger_stop(n->ledger);
	presented_end(n);
	public_close(n);
	relay_destroy(n->relay);
	exit_destroy(n->exit);
	if (n->control)
		control_server_destroy(n->control);
	if (n->watchdog)
		event_free(n->watchdog);
	if (n->ledger_write)
		event_free(n->ledger_write);
	if (n->ledger_read)
		event_free(n->ledger_read);
	for (size_t i = 0; i < NODE_WATCHED; i++)
		if (n->signals[i])
			event_free(n->signals[i]);
	if (n->base)
		event_base_free(n->base);
	crypto_secret_free(n->keys);
	free(n);
}

static int run(struct node *n)
{
	int err = start(n);

	if (err == -ENOMEM)
		log_warnx("no memory for %u sessions and %u peers; lower MaxSessions under "
			  "[Relay] or MaxPeers under [Exit]",
			  n->config.max_sessions, n->config.max_peers);
	if (err) {
		log_warnx("culvertd does not start; the lines before this one say why");
		return EXIT_FAILURE;
	}
	say_ready(n);
	while (!n->finished) {
		watch_ledger(n);
		if (event_base_loop(n->base, EVLOOP_ONCE) < 0)
			fatalx("the event loop failed");
	}
	return EXIT_SUCCESS;
}

int node_run(const struct config_node *config, const char *config_path)
{
	struct node *n = xcalloc(1, sizeof(*n));
	char error[CONFIG_ERROR_MAX];
	int status;

	n->config_path = config_path;
	n->config = *config;
	n->public_fd = -1;
	n->started_ms = clock_ms();
	n->keys = crypto_secret_alloc(sizeof(*n->keys));
	memset(n->keys, 0, sizeof(*n->keys));
	if (!settings_keys(n->keys, config, error))
		fatalx("%s", error);
	/* Forked before there is a thread or an event base to inherit. */
	if (start_ledger(n))
		fatalx("the ledger did not start; the lines before this one say why");
	status = run(n);
	end(n);
	log_info("stopped");
	return status;
}
