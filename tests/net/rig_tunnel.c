/*
 * A tunnel driven by lines on stdin, for tests/net/test_tunnel.py: each line is a command with
 * words, each answer one line "ok ..." or "error N".
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "proto/crypto.h"
#include "exit/nat.h"
#include "tunnel/route.h"

static struct tunnel *tunnel;
static int watch = -1;

static const char *const backends[] = {"auto", "kernel", "userspace", "fake"};

static int result(int err)
{
	if (err)
		printf("error %d\n", err);
	else
		printf("ok\n");
	return err;
}

static void need(bool ok)
{
	if (!ok)
		fatalx("rig_tunnel: bad argument");
}

/* open NAME BACKEND PRIVATE PORT MARK */
static void cmd_open(char **w)
{
	struct tunnel_config c = {0};
	uint64_t v;

	snprintf(c.name, sizeof(c.name), "%s", w[1]);
	for (unsigned i = 0; i < ARRAY_SIZE(backends); i++) {
		if (strcmp(w[2], backends[i]) == 0)
			c.backend = (enum tunnel_backend)i;
	}
	need(key_from_base64(c.private_key, w[3]));
	need(text_u64(w[4], 0, 65535, &v));
	c.port = (uint16_t)v;
	need(text_u64(w[5], 0, UINT32_MAX, &v));
	c.fwmark = (uint32_t)v;
	if (result(tunnel_open(&tunnel, &c)))
		tunnel = NULL;
}

/* peer PUBLIC ENDPOINT|- KEEPALIVE PREFIX... */
static void cmd_peer(char **w)
{
	struct tunnel_prefix allowed[8];
	struct tunnel_peer p = {.allowed = allowed};
	uint64_t v;

	need(key_from_base64(p.key, w[1]));
	p.has_endpoint = strcmp(w[2], "-") != 0;
	need(!p.has_endpoint || net_addr_parse(&p.endpoint, w[2]));
	need(text_u64(w[3], 0, 65535, &v));
	p.keepalive = (uint16_t)v;
	for (char **at = w + 4; *at && p.allowed_count < ARRAY_SIZE(allowed); at++) {
		struct tunnel_prefix *a = &allowed[p.allowed_count++];

		need(net_prefix_parse(&a->net, &a->bits, *at));
	}
	result(tunnel_set_peer(tunnel, &p));
}

static void cmd_endpoint(char **w)
{
	uint8_t key[KEY_LEN];
	struct net_addr a;

	need(key_from_base64(key, w[1]) && net_addr_parse(&a, w[2]));
	result(tunnel_set_endpoint(tunnel, key, &a));
}

static void cmd_remove(char **w)
{
	uint8_t key[KEY_LEN];

	need(key_from_base64(key, w[1]));
	result(tunnel_remove_peer(tunnel, key));
}

static void cmd_read(char **w)
{
	struct tunnel_stat s;
	uint8_t key[KEY_LEN];
	int err;

	need(key_from_base64(key, w[1]));
	err = tunnel_read_peer(tunnel, key, &s);
	if (err)
		result(err);
	else
		printf("ok %llu %llu %llu\n", (unsigned long long)s.rx, (unsigned long long)s.tx,
		       (unsigned long long)s.last_handshake);
}

static void cmd_port(char **w)
{
	uint64_t v;

	need(text_u64(w[1], 0, 65535, &v));
	result(tunnel_set_port(tunnel, (uint16_t)v));
}

static void cmd_info(char **w)
{
	(void)w;
	printf("ok %u %s\n", tunnel_port(tunnel), tunnel_backend_name(tunnel));
}

/* address PREFIX */
static void cmd_address(char **w)
{
	struct tunnel_prefix p;

	need(net_prefix_parse(&p.net, &p.bits, w[1]));
	result(route_address(tunnel_name(tunnel), &p.net, p.bits));
}

/* route MARK PREFIX */
static void cmd_route(char **w)
{
	struct tunnel_prefix p;
	uint64_t mark;

	need(text_u64(w[1], 1, UINT32_MAX, &mark) && net_prefix_parse(&p.net, &p.bits, w[2]));
	result(route_into(tunnel_name(tunnel), &p, 1, (uint32_t)mark));
}

static void cmd_clean(char **w)
{
	uint64_t mark;

	need(text_u64(w[1], 1, UINT32_MAX, &mark));
	route_clean((uint32_t)mark);
	result(0);
}

static void cmd_stale(char **w)
{
	tunnel_remove_stale(w[1]);
	result(0);
}

/* dead: waits up to 5 s for the device's process to end */
static void cmd_dead(char **w)
{
	struct pollfd p = {tunnel_watch_fd(tunnel), POLLIN, 0};

	(void)w;
	result(poll(&p, 1, 5000) == 1 ? 0 : -ETIMEDOUT);
}

static void cmd_repair(char **w)
{
	(void)w;
	result(tunnel_repair(tunnel));
}

static void cmd_close(char **w)
{
	(void)w;
	tunnel_close(tunnel);
	tunnel = NULL;
	result(0);
}

static void cmd_watch(char **w)
{
	(void)w;
	watch = route_watch_open();
	result(watch < 0 ? watch : 0);
}

/* changed NAME */
static void cmd_changed(char **w)
{
	printf("ok %d\n", route_watch_changed(watch, w[1]));
}

/* nat NAME UPLINK|- SMTP ALLOW...: the exit's rules for 10.64.0.0/16 and fd64::/64 */
static void cmd_nat(char **w)
{
	struct tunnel_prefix allow[8];
	struct nat_config c = {.allow = allow, .allow_smtp = w[3][0] == '1'};
	uint8_t bits;

	snprintf(c.interface, sizeof(c.interface), "%s", w[1]);
	if (strcmp(w[2], "-") != 0)
		snprintf(c.uplink, sizeof(c.uplink), "%s", w[2]);
	need(net_prefix_parse(&c.pool4.net, &c.pool4.bits, "10.64.0.0/16") &&
	     net_prefix_parse(&c.pool6.net, &c.pool6.bits, "fd64::/64") &&
	     net_prefix_parse(&c.own4, &bits, "10.64.0.1") &&
	     net_prefix_parse(&c.own6, &bits, "fd64::1"));
	for (char **at = w + 4; *at && c.allow_count < ARRAY_SIZE(allow); at++) {
		struct tunnel_prefix *a = &allow[c.allow_count++];

		need(net_prefix_parse(&a->net, &a->bits, *at));
	}
	result(nat_apply(&c));
}

/* forwarding: on, or an error */
static void cmd_forwarding(char **w)
{
	(void)w;
	result(nat_forwarding(true, true));
}

/* hold NAME V4 V6 0|1 */
static void cmd_hold(char **w)
{
	struct nat_pair p;
	uint8_t bits;

	need(net_prefix_parse(&p.v4, &bits, w[2]) && net_prefix_parse(&p.v6, &bits, w[3]));
	result(nat_hold(w[1], &p, 1, w[4][0] == '1'));
}

static void cmd_present(char **w)
{
	printf("ok %d\n", nat_present(w[1]));
}

static void cmd_unnat(char **w)
{
	nat_remove(w[1]);
	result(0);
}

static const struct {
	const char *name;
	int words;
	void (*run)(char **w);
} commands[] = {
	{"open", 6, cmd_open},       {"peer", 4, cmd_peer},       {"endpoint", 3, cmd_endpoint},
	{"remove", 2, cmd_remove},   {"read", 2, cmd_read},       {"port", 2, cmd_port},
	{"info", 1, cmd_info},       {"address", 2, cmd_address}, {"route", 3, cmd_route},
	{"clean", 2, cmd_clean},     {"stale", 2, cmd_stale},     {"dead", 1, cmd_dead},
	{"repair", 1, cmd_repair},   {"close", 1, cmd_close},     {"watch", 1, cmd_watch},
	{"changed", 2, cmd_changed}, {"nat", 4, cmd_nat},         {"forwarding", 1, cmd_forwarding},
	{"hold", 5, cmd_hold},       {"present", 2, cmd_present}, {"unnat", 2, cmd_unnat},
};

static void run(char *line)
{
	char *w[16] = {0}, *save = NULL;
	int n = 0;

	for (char *at = strtok_r(line, " \n", &save); at && n < 15;
	     at = strtok_r(NULL, " \n", &save))
		w[n++] = at;
	for (size_t i = 0; n > 0 && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(w[0], commands[i].name) == 0 && n >= commands[i].words) {
			commands[i].run(w);
			return;
		}
	}
	fatalx("rig_tunnel: unknown command");
}

int main(void)
{
	char line[1024];

	log_init("rig_tunnel", LOG_LEVEL_DEBUG);
	crypto_start();
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin))
		run(line);
	tunnel_close(tunnel);
	return 0;
}
