/*
 * The agent against a relay and an exit of a few lines each, with real control channels, real
 * WireGuard devices and a real wallet, in a network namespace of the test's own. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "client/agent.c"
#include "client/datapath.c"

#include "base/spawn.h"
#include "control/server.h"
#include "tunnel/backend.h"
#include "proto/bind.h"
#include "proto/lengths.h"

#define NETWORK     7
#define RELAY_PORT  41820
#define EXIT_PORT   41821
#define RECONNECT_S 5

struct node {
	struct identity id;
	struct noise_keypair control;
	struct control_server *server;
	struct descriptor descriptor;
	uint8_t session[SESSION_ID_LEN];
	bool open;
	uint32_t opens;
	struct control_caller caller; /* whose session it is */
	struct receipt_offer head;
	bool has_head;
	uint64_t signed_seq;
	uint32_t closes;
};

static struct {
	struct event_base *base;
	int fd, upstream;
	struct event *heard, *answered;
	struct node relay, exit;
	struct bind_challenger challenger;
	uint8_t bind_key[KEY_LEN];
	struct net_addr bound, exit_wg;
	uint64_t counter, up, down;
	bool deaf;   /* the relay is gone */
	bool fickle; /* it ends every session at once */
	uint32_t bounds;
	uint32_t hands;  /* WireGuard initiations since the relay's session began */
	bool exit_known; /* the relay has seen a control handshake with the exit since then */
	uint32_t exit_keepalives;
	uint8_t exit_wg_key[KEY_LEN];
	struct tunnel *exit_device;

	struct agent_setup setup;
	struct agent *agent;
	struct guard *guard;
	bool ended;
	char dir[64], interface[16], exit_interface[16];
} w;

/* ---- the relay ------------------------------------------------------------------------------- */

static void send_to(int fd, const struct net_addr *to, const void *msg, size_t len)
{
	struct sockaddr_in6 addr;

	net_addr_to_sockaddr(&addr, to);
	sendto(fd, msg, len, 0, (struct sockaddr *)&addr, sizeof(addr));
}

static void relay_bind(const struct net_addr *from, const uint8_t *buf)
{
	struct message_bind msg, out;
	uint8_t token[NONCE_LEN];
	uint64_t counter;

	memcpy(&msg, buf, sizeof(msg));
	counter = le64_get(msg.counter);
	if (!w.relay.open || memcmp(msg.session, w.relay.session, SESSION_ID_LEN) != 0 ||
	    !bind_valid(&msg, w.bind_key) || counter <= w.counter)
		return;
	if (le32_get(msg.type) == MESSAGE_BIND) {
		bind_token(&w.challenger, token, &msg, from, clock_ms());
		bind_make(&out, MESSAGE_CHALLENGE, msg.session, counter, token, w.bind_key);
	} else {
		assert_true(bind_token_valid(&w.challenger, &msg, from, clock_ms()));
		bind_make(&out, MESSAGE_BOUND, msg.session, counter, NULL, w.bind_key);
		w.counter = counter;
		w.bound = *from;
		w.bounds++;
	}
	send_to(w.fd, from, &out, sizeof(out));
}

static void relay_heard(evutil_socket_t fd, short what, void *arg)
{
	struct control_path path = {.via = 0};
	struct sockaddr_in6 from;
	socklen_t from_len = sizeof(from);
	uint8_t buf[2048];
	ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len);

	(void)what;
	(void)arg;
	if (n <= 0 || w.deaf ||
	    !net_addr_from_sockaddr(&path.addr, (struct sockaddr *)&from, from_len))
		return;
	switch ((int)message_type_of(buf, (size_t)n)) {
	case MESSAGE_BIND:
	case MESSAGE_ANSWER:
		relay_bind(&path.addr, buf);
		break;
	case MESSAGE_WG_INITIATION:
	case MESSAGE_WG_TRANSPORT:
		if (!w.relay.open || !net_addr_eq(&path.addr, &w.bound))
			break;
		w.hands += buf[0] == MESSAGE_WG_INITIATION;
		if (!w.hands)
			break; /* an index this relay never learned */
		w.up += (uint64_t)n;
		send_to(w.upstream, &w.exit_wg, buf, (size_t)n);
		break;
	default:
		control_server_input(w.relay.server, &path, buf, (size_t)n);
	}
}

static void exit_answered(evutil_socket_t fd, short what, void *arg)
{
	uint8_t buf[2048];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	(void)what;
	(void)arg;
	if (n <= 0 || w.deaf || !w.relay.open)
		return;
	w.down += (uint64_t)n;
	send_to(w.fd, &w.bound, buf, (size_t)n);
}

static void relay_send(void *arg, const struct control_path *to, const void *msg, size_t len)
{
	(void)arg;
	if (!w.deaf)
		send_to(w.fd, &to->addr, msg, len);
}

/* The exit's control datagrams travel in the relay's PASSED. */
static void exit_send(void *arg, const struct control_path *to, const void *msg, size_t len)
{
	uint8_t body[SESSION_ID_LEN + CONTROL_DATAGRAM_MAX];

	(void)arg;
	(void)to;
	memcpy(body, w.relay.session, SESSION_ID_LEN);
	memcpy(body + SESSION_ID_LEN, msg, len);
	control_server_push(w.relay.server, w.relay.caller.client, VERB_PASSED, body,
			    SESSION_ID_LEN + len);
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static void refused(struct node *n, const struct control_caller *c, uint32_t id, enum refusal why)
{
	struct body_refused body = {.code = le32_of(why)};

	control_server_reply(n->server, c, VERB_REFUSED, id, &body, sizeof(body));
}

static void begin(struct node *n, const struct control_caller *c)
{
	n->open = true;
	n->opens++;
	n->caller = *c;
	n->has_head = false;
	n->signed_seq = 0;
	crypto_random(n->session, SESSION_ID_LEN);
}

static void relay_ends(void)
{
	struct body_close body = {.reason = le32_of(CLOSE_IDLE)};

	memcpy(body.session, w.relay.session, SESSION_ID_LEN);
	w.relay.open = false;
	control_server_push(w.relay.server, w.relay.caller.client, VERB_CLOSED, &body,
			    sizeof(body));
}

static void on_open(const struct control_caller *c, uint32_t id)
{
	struct body_granted body = {.window = le64_of(1 << 20), .credit = le64_of(1000)};

	begin(&w.relay, c);
	crypto_random(w.bind_key, KEY_LEN);
	w.counter = w.up = w.down = 0;
	w.hands = 0;
	w.exit_known = false;
	memcpy(body.session, w.relay.session, SESSION_ID_LEN);
	memcpy(body.bind_key, w.bind_key, KEY_LEN);
	control_server_reply(w.relay.server, c, VERB_GRANTED, id, &body, sizeof(body));
	if (w.fickle)
		relay_ends();
}

static void on_add_peer(const struct control_caller *c, uint32_t id,
			const struct body_add_peer *add)
{
	static const struct tunnel_prefix inner = {
		.net.ip = {[10] = 0xff, [11] = 0xff, 10, 99, 0, 2}, .bits = 32};
	struct tunnel_peer peer = {.allowed = &inner, .allowed_count = 1};
	struct body_peer body = {.address4 = {10, 99, 0, 2}, .window = le64_of(1 << 20)};

	begin(&w.exit, c);
	memcpy(peer.key, add->wg_key, KEY_LEN);
	if (w.exit.opens > 1) /* an exit that was restarted has no keys of the tunnel */
		assert_int_equal(tunnel_remove_peer(w.exit_device, peer.key), 0);
	assert_int_equal(tunnel_set_peer(w.exit_device, &peer), 0);
	memcpy(body.session, w.exit.session, SESSION_ID_LEN);
	memcpy(body.wg_key, w.exit_wg_key, KEY_LEN);
	control_server_reply(w.exit.server, c, VERB_PEER, id, &body, sizeof(body));
}

static void on_close(struct node *n, const struct control_caller *c, uint32_t id)
{
	struct body_close body = {.reason = le32_of(CLOSE_ASKED)};

	if (n->has_head) {
		body.bytes_up = n->head.body.bytes_up;
		body.bytes_down = n->head.body.bytes_down;
	}
	memcpy(body.session, n->session, SESSION_ID_LEN);
	n->closes++;
	control_server_reply(n->server, c, VERB_CLOSED, id, &body, sizeof(body));
}

static void on_cosign(struct node *n, const struct control_caller *c, uint32_t id,
		      const struct body_cosign *b)
{
	struct body_window body = {.seq = b->seq, .window = le64_of(1 << 20)};
	struct receipt r = {.offer = n->head};

	memcpy(r.payer_signature, b->signature, SIGNATURE_LEN);
	assert_int_equal(receipt_check(&r, &n->descriptor.body.relay_terms), RECEIPT_OK);
	n->signed_seq = le64_get(b->seq);
	memcpy(body.session, n->session, SESSION_ID_LEN);
	control_server_reply(n->server, c, VERB_WINDOW, id, &body, sizeof(body));
}

static void pass(const uint8_t *body, size_t len)
{
	struct control_path path = {.addr.port = 1};

	w.exit_known |= body[SESSION_ID_LEN] == MESSAGE_INITIATION;
	if (w.exit_known)
		control_server_input(w.exit.server, &path, body + SESSION_ID_LEN,
				     len - SESSION_ID_LEN);
}

static void handle(void *arg, const struct control_caller *c, uint8_t verb, uint32_t id,
		   const uint8_t *body, size_t len)
{
	struct node *n = arg;

	w.exit_keepalives += verb == VERB_KEEPALIVE && n == &w.exit;
	if (verb == VERB_OPEN)
		on_open(c, id);
	else if (verb == VERB_ADD_PEER)
		on_add_peer(c, id, (const void *)body);
	else if (!n->open || memcmp(body, n->session, SESSION_ID_LEN) != 0)
		refused(n, c, id, REFUSED_UNKNOWN_SESSION);
	else if (verb == VERB_KEEPALIVE)
		control_server_reply(n->server, c, VERB_ALIVE, id, n->session, SESSION_ID_LEN);
	else if (verb == VERB_PASS)
		pass(body, len);
	else if (verb == VERB_COSIGN)
		on_cosign(n, c, id, (const void *)body);
	else if (verb == VERB_CLOSE)
		on_close(n, c, id);
}

/* ---- the world ------------------------------------------------------------------------------- */

static void serve(struct node *n, bool relay)
{
	static const struct control_server_ops relay_ops = {relay_send, handle};
	static const struct control_server_ops exit_ops = {exit_send, handle};
	struct control_server_config config = {
		.keys = n->control, .network = NETWORK, .max_channels = 16};

	if (n->server)
		control_server_destroy(n->server);
	n->server = control_server_create(w.base, &config, relay ? &relay_ops : &exit_ops, n);
	n->open = false;
}

static void describe_node(struct node *n, enum role role, const char *name)
{
	struct terms_values v = {.role = role,
				 .network = NETWORK,
				 .price = 1000,
				 .window_start = 1 << 20,
				 .window_cap = 1 << 26,
				 .receipt_seconds = 10,
				 .expires = clock_wall() + 1000};
	struct descriptor_body *b = &n->descriptor.body;
	uint8_t seed[KEY_LEN] = {(uint8_t)role};

	identity_from_seed(&n->id, seed);
	x25519_generate(n->control.priv);
	x25519_public(n->control.pub, n->control.priv);
	descriptor_begin(&n->descriptor, NETWORK, (uint8_t)role, name, clock_wall(),
			 clock_wall() + 1000);
	memcpy(b->node, n->id.id, KEY_LEN);
	memcpy(b->control, n->control.pub, KEY_LEN);
	memcpy(b->ip4, (uint8_t[]){127, 0, 0, 1}, 4);
	b->port = le16_of(RELAY_PORT);
	if (role == ROLE_EXIT) {
		memcpy(b->wg_key, w.exit_wg_key, KEY_LEN);
		b->wg_port = le16_of(EXIT_PORT);
	}
	terms_make(role == ROLE_RELAY ? &b->relay_terms : &b->exit_terms, &v, &n->id);
	descriptor_sign(&n->descriptor, &n->id);
	assert_int_equal(descriptor_check(&n->descriptor, NETWORK, clock_wall()), DESCRIPTOR_OK);
}

static int udp(uint16_t port)
{
	struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	return fd;
}

static void ip(const char *const argv[])
{
	char out[256];

	assert_int_equal(spawn_run(argv, NULL, out, sizeof(out)), 0);
}

static void make_exit_device(void)
{
	struct tunnel_config config = {.port = EXIT_PORT};

	memcpy(config.name, w.exit_interface, sizeof(config.name));
	x25519_generate(config.private_key);
	x25519_public(w.exit_wg_key, config.private_key);
	assert_int_equal(tunnel_open(&w.exit_device, &config), 0);
}

static void make_setup(void)
{
	struct config_client *c = &w.setup.config;
	uint8_t seed[KEY_LEN] = {9};

	snprintf(c->data_dir, sizeof(c->data_dir), "%s", w.dir);
	snprintf(c->socket, sizeof(c->socket), "%s/client.sock", w.dir);
	snprintf(c->backend, sizeof(c->backend), "auto");
	memcpy(c->interface, w.interface, sizeof(c->interface));
	c->network = NETWORK;
	c->fwmark = 52821;
	c->allowed_count = 2;
	assert_true(
		net_prefix_parse(&c->allowed_ips[0].net, &c->allowed_ips[0].bits, "10.99.0.0/16"));
	assert_true(net_prefix_parse(&c->allowed_ips[1].net, &c->allowed_ips[1].bits, "::/0"));
	w.setup.relay = w.relay.descriptor;
	w.setup.exit = w.exit.descriptor;
	identity_from_seed(&w.setup.identity, seed);
	x25519_generate(w.setup.control.priv);
	x25519_public(w.setup.control.pub, w.setup.control.priv);
	x25519_generate(w.setup.wg_key);
}

static void on_progress(void *arg, enum agent_state state, const char *text)
{
	(void)arg;
	(void)state;
	(void)text;
}

static void on_ended(void *arg, bool failed)
{
	(void)arg;
	assert_false(failed);
	w.ended = true;
}

static int setup(void **state)
{
	static const struct agent_ops ops = {on_progress, on_ended};
	struct net_addr *wg = &w.exit_wg;
	int lock;

	(void)state;
	snprintf(w.dir, sizeof(w.dir), "/tmp/cli-agent-XXXXXX");
	if (!mkdtemp(w.dir) || unshare(CLONE_NEWNET) < 0)
		return -1;
	ip((const char *const[]){"ip", "link", "set", "lo", "up", NULL});
	snprintf(w.interface, sizeof(w.interface), "cli-a%u", (unsigned)getpid());
	snprintf(w.exit_interface, sizeof(w.exit_interface), "cli-x%u", (unsigned)getpid());
	make_exit_device();
	describe_node(&w.relay, ROLE_RELAY, "kestrel");
	describe_node(&w.exit, ROLE_EXIT, "heron");
	make_setup();
	assert_true(net_addr_parse(wg, "127.0.0.1:41821"));
	lock = guard_lock(w.setup.config.socket);
	if (lock < 0 || guard_start(&w.guard, lock, w.setup.config.socket, w.interface, 52821) < 0)
		return -1;
	w.base = event_base_new();
	w.fd = udp(RELAY_PORT);
	w.upstream = udp(0);
	w.heard = event_new(w.base, w.fd, EV_READ | EV_PERSIST, relay_heard, NULL);
	w.answered = event_new(w.base, w.upstream, EV_READ | EV_PERSIST, exit_answered, NULL);
	event_add(w.heard, NULL);
	event_add(w.answered, NULL);
	bind_challenger_init(&w.challenger);
	serve(&w.relay, true);
	serve(&w.exit, false);
	return agent_create(&w.agent, w.base, &w.setup, w.guard, &ops, NULL);
}

static int teardown(void **state)
{
	const char *const remove[] = {"rm", "-r", w.dir, NULL};
	char out[64];

	(void)state;
	control_server_destroy(w.relay.server);
	control_server_destroy(w.exit.server);
	event_free(w.heard);
	event_free(w.answered);
	close(w.fd);
	close(w.upstream);
	event_base_free(w.base);
	tunnel_close(w.exit_device);
	return spawn_run(remove, NULL, out, sizeof(out));
}

static enum agent_state state_now(void)
{
	struct agent_view v;

	agent_view(w.agent, &v);
	return v.state;
}

/* Runs the world until what() or so many seconds have passed; true if what(). */
static bool run_until(bool (*what)(void), unsigned seconds)
{
	uint64_t until = clock_ms() + seconds * 1000;
	struct timeval step = {.tv_usec = 10000};

	while (!what() && clock_ms() < until) {
		event_base_loopexit(w.base, &step);
		event_base_dispatch(w.base);
	}
	return what();
}

static bool connected(void)
{
	return state_now() == AGENT_CONNECTED;
}

static bool not_connected(void)
{
	return !connected();
}

/* ---- tests, one life of an agent after another ------------------------------------------------
 */

static void it_connects(void **state)
{
	struct agent_view v;

	(void)state;
	assert_true(run_until(connected, 10));
	agent_view(w.agent, &v);
	assert_int_equal(w.relay.opens, 1);
	assert_int_equal(w.exit.opens, 1);
	assert_int_equal(w.bounds, 1);
	assert_int_equal(v.reconnects, 0);
	assert_int_equal(v.datapath.rebinds, 0);
	assert_int_not_equal(if_nametoindex(w.interface), 0);
	/* Nothing was sent before the port was bound: both ends counted the same. */
	assert_int_equal(v.counted.up, w.up);
	assert_int_equal(v.counted.down, w.down);
	assert_int_not_equal(w.up, 0);
	assert_int_not_equal(w.down, 0);
}

static bool is_signed(void)
{
	return w.relay.has_head && w.relay.signed_seq == le64_get(w.relay.head.body.seq);
}

static void receipt(uint64_t up, uint64_t down)
{
	struct receipt_session s = {.role = ROLE_RELAY, .network = NETWORK, .price = 1000};
	struct receipt_offer offer;

	memcpy(s.session, w.relay.session, SESSION_ID_LEN);
	memcpy(s.payer, w.setup.identity.id, KEY_LEN);
	terms_hash(s.terms, &w.relay.descriptor.body.relay_terms);
	assert_true(receipt_make(&offer, &s, w.relay.has_head ? &w.relay.head : NULL, up, down,
				 500000, &w.relay.id));
	w.relay.head = offer;
	w.relay.has_head = true;
	control_server_push(w.relay.server, w.relay.caller.client, VERB_RECEIPT, &offer,
			    sizeof(offer));
}

static void what_was_counted_is_signed(void **state)
{
	(void)state;
	receipt(w.up, w.down);
	assert_true(run_until(is_signed, 2));
}

static bool rebound(void)
{
	struct agent_view v;

	agent_view(w.agent, &v);
	return v.datapath.rebinds == 1 && connected();
}

static void a_rebind_is_a_fresh_port(void **state)
{
	uint16_t before = w.bound.port;

	(void)state;
	datapath_rebind(w.agent->datapath);
	assert_true(run_until(rebound, 2));
	assert_int_not_equal(w.bound.port, before);
	assert_int_equal(w.bound.port, tunnel_port(w.agent->datapath->tunnel));
	assert_int_equal(w.relay.opens, 1);
}

static bool reopened(void)
{
	return w.relay.opens == 2 && connected();
}

static bool through_to_the_exit(void)
{
	return w.hands > 0 && w.down > 0 && w.exit_keepalives > 0;
}

static void a_restarted_relay_is_found_again(void **state)
{
	struct agent_view v;

	(void)state;
	w.deaf = true;
	serve(&w.relay, true);
	provider_probe(w.agent->relay); /* as liveness does after a second of silence */
	assert_false(run_until(reopened, 1));
	w.deaf = false;
	w.exit_keepalives = 0;
	assert_true(run_until(reopened, RECONNECT_S - 1));
	assert_true(run_until(connected, 2));
	/* A relay that knows no index needs both handshakes anew. */
	assert_true(run_until(through_to_the_exit, 2));
	agent_view(w.agent, &v);
	assert_int_equal(w.exit.opens, 1);
	assert_int_equal(v.reconnects, 1);
	receipt(w.up, w.down);
	assert_true(run_until(is_signed, 2));
}

static bool exit_reopened(void)
{
	return w.exit.opens == 2 && connected();
}

static bool shaken_anew(void)
{
	return w.hands > 0;
}

static void a_restarted_exit_is_found_again(void **state)
{
	(void)state;
	serve(&w.exit, false);
	provider_probe(w.agent->exit);
	w.hands = 0;
	assert_true(run_until(exit_reopened, RECONNECT_S));
	assert_true(run_until(shaken_anew, 2));
	assert_int_equal(w.relay.opens, 2);
}

/* Without the device, what was for the tunnel goes nowhere else. */
static bool is_closed_off(void)
{
	char mark[16], out[1024];
	const char *routes[] = {"ip", "-6", "route", "show", "table", mark, NULL};
	const char *rules[] = {"ip", "-6", "rule", "show", "table", mark, NULL};
	bool closed;

	snprintf(mark, sizeof(mark), "%u", w.setup.config.fwmark);
	closed = spawn_run(routes, NULL, out, sizeof(out)) == 0 && strstr(out, "unreachable");
	return closed && spawn_run(rules, NULL, out, sizeof(out)) == 0 && strstr(out, "fwmark");
}

static void a_dead_device_is_made_again(void **state)
{
	struct agent_view v;
	uint64_t before = w.bounds;

	(void)state;
	if (tunnel_watch_fd(w.agent->datapath->tunnel) < 0)
		skip(); /* the kernel's do not die */
	kill(w.agent->datapath->tunnel->pid, SIGKILL);
	assert_true(run_until(not_connected, 2));
	assert_true(is_closed_off());
	assert_true(run_until(connected, RECONNECT_S));
	assert_true(is_closed_off());
	assert_int_equal(w.bounds, before + 1);
	agent_view(w.agent, &v);
	assert_in_range(v.counted.up, w.up, UINT64_MAX);
	receipt(w.up, w.down);
	assert_true(run_until(is_signed, 2));
}

static bool never(void)
{
	return false;
}

static bool lived(void)
{
	struct agent_view v;

	agent_view(w.agent, &v);
	return v.relay.age_ms >= REOPEN_LIVED_MS;
}

static void a_relay_that_ends_every_session_makes_no_storm(void **state)
{
	uint32_t before = w.relay.opens;

	(void)state;
	assert_true(run_until(lived, 3));
	w.fickle = true;
	relay_ends();
	assert_false(run_until(never, 1));
	assert_int_equal(w.relay.opens, before + 2); /* at once, and after half a second */
	assert_false(run_until(never, 1));
	assert_int_equal(w.relay.opens, before + 3); /* after another second */
	w.fickle = false;
	assert_true(run_until(connected, RECONNECT_S));
	assert_int_equal(w.relay.opens, before + 4);
	assert_true(run_until(lived, 3));
	relay_ends();
	assert_true(run_until(not_connected, 1));
	assert_true(run_until(connected, 1)); /* forgiven */
	assert_int_equal(w.relay.opens, before + 5);
}

static bool has_ended(void)
{
	return w.ended;
}

static void it_leaves_nothing(void **state)
{
	(void)state;
	agent_stop(w.agent);
	assert_true(run_until(has_ended, 5));
	assert_int_equal(w.exit.closes, 1);
	assert_int_equal(w.relay.closes, 1);
	agent_destroy(w.agent);
	assert_int_equal(if_nametoindex(w.interface), 0);
	guard_end(w.guard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_connects),
		cmocka_unit_test(what_was_counted_is_signed),
		cmocka_unit_test(a_rebind_is_a_fresh_port),
		cmocka_unit_test(a_restarted_relay_is_found_again),
		cmocka_unit_test(a_restarted_exit_is_found_again),
		cmocka_unit_test(a_dead_device_is_made_again),
		cmocka_unit_test(a_relay_that_ends_every_session_makes_no_storm),
		cmocka_unit_test(it_leaves_nothing),
	};

	if (geteuid() != 0) {
		fprintf(stderr,
			"test_agent: needs root (a network namespace is made): run as root\n");
		return 1;
	}
	crypto_start();
	log_init("test", getenv("TEST_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, setup, teardown);
}
