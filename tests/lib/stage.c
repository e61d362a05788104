#include "tests/lib/stage.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/fakewg.h"

struct stage stage;

/* ---- the owner of the plane ---------------------------------------------------------------------
 */

static void on_control(void *arg, unsigned worker, const struct net_addr *from, const uint8_t *msg,
		       size_t len)
{
	(void)arg;
	assert_true(len >= 4 && len <= PLANE_CONTROL_MAX);
	assert_in_range(msg[0], 0x11, 0x18);
	stage.told.control++;
	stage.told.initiations += msg[0] == MESSAGE_INITIATION;
	stage.told.control_worker = worker;
	stage.told.control_from = *from;
}

static void on_installed(void *arg, uint32_t handle, bool ok)
{
	(void)arg, (void)handle;
	if (ok)
		stage.told.installed++;
	else
		stage.told.refused++;
}

static void on_retired(void *arg, const struct plane_session *last)
{
	(void)arg;
	stage.told.retired++;
	stage.told.last = *last;
}

static void on_marked(void *arg, uint32_t handle, uint64_t up, uint64_t down)
{
	(void)arg;
	stage.told.marked++;
	stage.told.marked_handle = handle;
	stage.told.marked_bytes = up + down;
}

static void on_limited(void *arg, uint32_t handle, uint64_t limit, uint64_t up, uint64_t down)
{
	(void)arg;
	assert_true(limit >= stage.told.limit ||
		    handle != stage.told.limited_handle); /* answers keep order */
	stage.told.limited++;
	stage.told.limited_handle = handle;
	stage.told.limit = limit;
	stage.told.limited_bytes = up + down;
}

static void on_losses(void *arg, uint32_t handle, const struct plane_losses *losses)
{
	(void)arg, (void)handle;
	stage.told.losses = *losses;
}

static const struct plane_ops ops = {on_control, on_installed, on_retired,
				     on_marked,  on_limited,   on_losses};

void stage_nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* ---- clients and exits --------------------------------------------------------------------------
 */

static struct stage_peer open_peer(const char *address)
{
	struct stage_peer p = {.fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0)};
	int size = 4 << 20, off = 0;
	struct sockaddr_in6 sa;
	socklen_t len = sizeof(sa);
	uint8_t bits;

	assert_true(p.fd >= 0);
	assert_true(net_prefix_parse(&p.addr, &bits, address));
	net_addr_to_sockaddr(&sa, &p.addr);
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(p.fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_int_equal(bind(p.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(p.fd, (struct sockaddr *)&sa, &len), 0);
	p.addr.port = ntohs(sa.sin6_port);
	p.worker = STAGE_NO_WORKER;
	return p;
}

static void send_to(const struct stage_peer *p, const struct net_addr *to, size_t len)
{
	struct sockaddr_in6 sa;

	net_addr_to_sockaddr(&sa, to);
	assert_int_equal(sendto(p->fd, stage.buffer, len, 0, (struct sockaddr *)&sa, sizeof(sa)),
			 len);
}

/* To the public port, over the peer's own family. */
static void send_public(const struct stage_peer *p, size_t len)
{
	struct net_addr relay = p->addr;

	relay.port = plane_port(stage.plane);
	send_to(p, &relay, len);
}

void stage_send_up(const struct stage_peer *p, size_t len)
{
	send_public(p, len);
	stage.sent_packets[DIRECTION_UP]++;
	stage.sent_bytes[DIRECTION_UP] += len;
}

void stage_send_down(const struct stage_peer *exit, size_t len)
{
	send_to(exit, &exit->last_from, len);
	stage.sent_packets[DIRECTION_DOWN]++;
	stage.sent_bytes[DIRECTION_DOWN] += len;
}

void stage_drain(struct stage_peer *p)
{
	struct sockaddr_in6 sa;
	socklen_t len = sizeof(sa);
	ssize_t n;

	while ((n = recvfrom(p->fd, NULL, 0, MSG_TRUNC | MSG_DONTWAIT, (struct sockaddr *)&sa,
			     &len)) >= 0) {
		assert_true(net_addr_from_sockaddr(&p->last_from, (struct sockaddr *)&sa, len));
		p->packets++;
		p->bytes += (uint64_t)n;
	}
}

static void drain_all(void)
{
	for (int i = 0; i < STAGE_CLIENTS; i++)
		stage_drain(&stage.clients[i]);
	for (int i = 0; i < STAGE_EXITS; i++)
		stage_drain(&stage.exits[i]);
}

struct relay_counters stage_counters(void)
{
	struct relay_counters c;

	plane_counters(stage.plane, &c);
	return c;
}

bool stage_all_in(void)
{
	const struct relay_counters c = stage_counters();

	return c.in[DIRECTION_UP].packets == stage.sent_packets[DIRECTION_UP] &&
	       c.in[DIRECTION_DOWN].packets == stage.sent_packets[DIRECTION_DOWN] &&
	       c.control_in == stage.sent_control;
}

/* All that was sent has been judged and, if it passed, received. */
void stage_settle(void)
{
	STAGE_WAIT(stage_all_in());
	drain_all();
}

static void send_control(const struct stage_peer *p, enum message_type type, size_t len)
{
	memset(stage.buffer, 0, len);
	stage.buffer[0] = (uint8_t)type;
	send_public(p, len);
	stage.sent_control++;
}

void stage_send_control(const struct stage_peer *p)
{
	send_control(p, MESSAGE_BIND, sizeof(struct message_bind));
}

void stage_send_control_initiation(const struct stage_peer *p)
{
	send_control(p, MESSAGE_INITIATION, sizeof(struct message_initiation));
}

void stage_send_control_malformed(const struct stage_peer *p)
{
	send_control(p, MESSAGE_INITIATION, sizeof(struct message_initiation) + 1);
}

static void find_worker(struct stage_peer *p)
{
	uint64_t before = stage.told.control;

	stage_send_control(p);
	STAGE_WAIT(stage.told.control == before + 1);
	assert_true(net_addr_eq(&stage.told.control_from, &p->addr));
	p->worker = stage.told.control_worker;
}

/* ---- the stage ----------------------------------------------------------------------------------
 */

int stage_plane(struct plane **out, unsigned workers, uint16_t port)
{
	struct plane_config config = {.listen.port = port,
				      .workers = workers,
				      .max_sessions = STAGE_SESSIONS,
				      .max_exits = STAGE_EXITS};

	assert_true(ranges_allow(&config.allow, "127.0.0.0/8"));
	assert_true(ranges_allow(&config.allow, "::1/128"));
	return plane_create(out, &config, stage.base, &ops, NULL);
}

void stage_open(unsigned workers)
{
	static const char *const exit_hosts[STAGE_EXITS] = {"127.0.0.1", "::1"};

	stage = (struct stage){0};
	stage.base = event_base_new();
	assert_int_equal(stage_plane(&stage.plane, workers, 0), 0);
	assert_int_equal(plane_workers(stage.plane), workers);
	for (uint32_t i = 0; i < STAGE_EXITS; i++) {
		uint8_t key[KEY_LEN] = {(uint8_t)(i + 1)};

		stage.exits[i] = open_peer(exit_hosts[i]);
		stage.exit_entries[i].wg = stage.exits[i].addr;
		wg_mac1_key(stage.exit_entries[i].mac1_key, key);
		plane_set_exit(stage.plane, i, &stage.exit_entries[i]);
	}
	for (int i = 0; i < STAGE_CLIENTS; i++) {
		stage.clients[i] = open_peer(i % 3 == 2 ? "::1" : "127.0.0.1");
		find_worker(&stage.clients[i]);
	}
}

void stage_close(void)
{
	plane_destroy(stage.plane);
	event_base_free(stage.base);
	for (int i = 0; i < STAGE_CLIENTS; i++)
		close(stage.clients[i].fd);
	for (int i = 0; i < STAGE_EXITS; i++)
		close(stage.exits[i].fd);
}

uint32_t stage_client_index(uint32_t i)
{
	return 0xc0000000U + i;
}

uint32_t stage_exit_index(uint32_t i)
{
	return 0xe0000000U + i;
}

void stage_transport(uint32_t receiver)
{
	fakewg_transport(stage.buffer, receiver, 1);
}

/* Client i opens session i and both sides say their index. */
void stage_open_session(uint32_t i, uint64_t limit, uint64_t mark)
{
	uint64_t before = stage.told.installed;
	struct stage_peer *exit = &stage.exits[i % STAGE_EXITS];
	const struct plane_session session = {.handle = i,
					      .exit = i % STAGE_EXITS,
					      .client = stage.clients[i].addr,
					      .limit = limit,
					      .mark = mark};

	plane_install(stage.plane, stage.clients[i].worker, &session, NULL);
	STAGE_WAIT(stage.told.installed == before + 1);
	fakewg_initiation((void *)stage.buffer, stage_client_index(i),
			  stage.exit_entries[i % STAGE_EXITS].mac1_key);
	stage_send_up(&stage.clients[i], STAGE_INITIATION);
	stage_settle();
	assert_true(exit->packets > 0);
	fakewg_response((void *)stage.buffer, stage_exit_index(i), stage_client_index(i));
	stage_send_down(exit, STAGE_RESPONSE);
	stage_settle();
	assert_int_equal(stage.clients[i].bytes, STAGE_RESPONSE);
}

struct plane_session stage_retire(uint32_t i)
{
	uint64_t before = stage.told.retired;

	plane_retire(stage.plane, stage.clients[i].worker, i);
	STAGE_WAIT(stage.told.retired == before + 1);
	assert_int_equal(stage.told.last.handle, i);
	return stage.told.last;
}

void stage_assert_balance(void)
{
	const struct relay_counters c = stage_counters();

	for (int d = 0; d < DIRECTION_COUNT; d++) {
		struct relay_tally sum = c.out[d];

		for (int r = 0; r < DROP_COUNT; r++) {
			sum.packets += c.drop[d][r].packets;
			sum.bytes += c.drop[d][r].bytes;
		}
		assert_int_equal(c.in[d].packets, stage.sent_packets[d]);
		assert_int_equal(c.in[d].bytes, stage.sent_bytes[d]);
		assert_int_equal(sum.packets, c.in[d].packets);
		assert_int_equal(sum.bytes, c.in[d].bytes);
	}
}
