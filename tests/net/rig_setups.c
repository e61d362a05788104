/*
 * Session set-ups, as many at once as asked, and floods: driven by lines on stdin, each answered by
 * one JSON line. A set-up is all that comes before WireGuard's first datagram may pass: handshake
 * (with its cookie, where the relay asks for one), DESCRIBE, OPEN, BIND, ANSWER, BOUND; by a client
 * and a payer never seen before, from an address of its own. Sessions stay open.
 *
 *   rig_setups RELAY_DESCRIPTOR EXIT_DESCRIPTOR RELAY_ADDR:PORT FIRST_ADDR
 *
 *   setups COUNT WIDE MS   COUNT set-ups, WIDE of them under way at any time; none begins after MS
 *   shake 0|1              whether a session begins with a WireGuard initiation once it is bound
 *   flood KIND PPS MS      datagrams from faked IPv4 addresses: mac1 (initiations, right but for
 *                          what takes a private key), mac2 (the same with a made-up mac2), random
 *                          (type and length of one), transport, bind
 *   quit
 *
 * FIRST_ADDR and those behind it must be local: `ip route add local NET dev lo`.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "proto/bind.h"
#include "proto/channel.h"
#include "proto/cookie.h"
#include "proto/descriptor.h"
#include "proto/lengths.h"
#include "proto/statement.h"
#include "proto/wire.h"
#include "tests/lib/fakewg.h"
#include "tests/lib/measure.h"

enum {
	WIDE_MAX = 1024,
	COUNT_MAX = 1 << 20,
	RETRY_MS = 500,
	GIVE_UP_MS = 15000,
	FLOOD_BATCH = 32,
	FLOOD_KINDS = 256, /* datagrams made beforehand */
};

struct setup {
	bool used;
	int fd;
	uint32_t index, id;
	struct identity payer;
	struct noise_keypair keys;
	struct noise_handshake shake;
	struct cookie_signer signer;
	struct channel channel;
	bool open;             /* the channel is */
	struct body_open want; /* the same however often it is asked for */
	uint8_t bind_key[KEY_LEN];
	uint64_t begun_ns, begun_ms, sent_ms, stamp_ns;
	uint8_t last[CONTROL_DATAGRAM_MAX];
	size_t last_len;
};

static struct descriptor relay, exit_;
static struct net_addr relay_addr, next_addr;
static uint8_t terms[KEY_LEN];
static struct setup slots[WIDE_MAX];
static int epoll;
static bool shake;
static uint64_t *times;
static struct {
	unsigned begun, done, failed, cookies, again;
	uint32_t refusal;
} run;

/* ---- one set-up ------------------------------------------------------------------------------ */

static void transmit(struct setup *s, const void *msg, size_t len)
{
	memcpy(s->last, msg, len);
	s->last_len = len;
	s->sent_ms = clock_ms();
	if (send(s->fd, msg, len, 0) < 0 && errno != ECONNREFUSED && errno != EAGAIN)
		log_debug("not sent"); /* it is sent again */
}

static void initiate(struct setup *s)
{
	struct message_initiation msg;
	uint8_t timestamp[12];
	uint64_t ns = clock_wall_ns(), seconds;

	s->stamp_ns = ns > s->stamp_ns ? ns : s->stamp_ns + 1;
	seconds = (UINT64_C(1) << 62) + 10 + s->stamp_ns / 1000000000;
	for (int i = 0; i < 8; i++)
		timestamp[i] = (uint8_t)(seconds >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		timestamp[8 + i] = (uint8_t)(s->stamp_ns % 1000000000 >> (24 - 8 * i));
	if (!noise_initiation_create(&s->shake, &msg, &s->keys, relay.body.control,
				     le64_get(relay.body.network), timestamp))
		fatalx("the relay's control key is none");
	msg.type = le32_of(MESSAGE_INITIATION);
	msg.sender = le32_of(s->index);
	cookie_sign(&s->signer, &msg, sizeof(msg), clock_ms());
	transmit(s, &msg, sizeof(msg));
}

static void ask(struct setup *s, uint8_t verb, const void *body, size_t len)
{
	uint8_t out[CONTROL_DATAGRAM_MAX];
	size_t n = channel_seal(&s->channel, out, verb, ++s->id, body, len);

	transmit(s, out, n);
}

static void sign_open(struct setup *s)
{
	struct open_statement statement;
	struct body_open *open = &s->want;
	const struct statement_values v = {
		.network = le64_get(relay.body.network),
		.provider = relay.body.node,
		.client_control = s->keys.pub,
		.subject = open->exit,
		.terms = open->terms,
		.payer = open->payer,
		.nonce = open->nonce,
	};

	crypto_random(open->nonce, sizeof(open->nonce));
	memcpy(open->exit, exit_.body.node, KEY_LEN);
	memcpy(open->terms, terms, KEY_LEN);
	memcpy(open->payer, s->payer.id, KEY_LEN);
	statement_make(&statement, &v);
	identity_sign(open->signature, &statement, sizeof(statement), &s->payer);
}

static void begin(struct setup *s)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)(s - slots)};
	struct sockaddr_in6 sa;
	uint8_t seed[KEY_LEN];
	int off = 0;

	memset(s, 0, sizeof(*s));
	s->used = true;
	s->begun_ns = measure_now(CLOCK_MONOTONIC);
	s->begun_ms = clock_ms();
	crypto_random(seed, sizeof(seed));
	identity_from_seed(&s->payer, seed);
	x25519_generate(s->keys.priv);
	x25519_public(s->keys.pub, s->keys.priv);
	cookie_signer_init(&s->signer, relay.body.control);
	sign_open(s);
	s->index = crypto_random_u32();
	s->fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	net_addr_to_sockaddr(&sa, &next_addr);
	for (int i = 15; i > 12 && ++next_addr.ip[i] == 0; i--)
		continue;
	if (s->fd < 0 || setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		fatal("a client's socket");
	net_addr_to_sockaddr(&sa, &relay_addr);
	if (connect(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		fatal("a client's socket");
	run.begun++;
	initiate(s);
}

static void end(struct setup *s, bool good)
{
	if (good)
		times[run.done++] = measure_now(CLOCK_MONOTONIC) - s->begun_ns;
	else
		run.failed++;
	close(s->fd);
	s->used = false;
}

static void on_response(struct setup *s, const struct message_response *msg)
{
	static const uint8_t zero[sizeof(struct descriptor)];
	struct noise_keys keys;

	if (s->open || le32_get(msg->receiver) != s->index ||
	    !noise_response_consume(&s->shake, msg, &s->keys, &keys))
		return;
	channel_init(&s->channel, &keys, s->index, le32_get(msg->sender));
	s->open = true;
	ask(s, VERB_DESCRIBE, zero, sizeof(zero));
}

static void on_cookie(struct setup *s, const struct message_cookie *msg)
{
	if (s->open || !cookie_consume(&s->signer, msg, clock_ms()))
		return;
	run.cookies++;
	initiate(s);
}

static void on_granted(struct setup *s, const struct body_granted *granted)
{
	struct message_bind msg;

	memcpy(s->bind_key, granted->bind_key, KEY_LEN);
	bind_make(&msg, MESSAGE_BIND, granted->session, 1, NULL, s->bind_key);
	transmit(s, &msg, sizeof(msg));
}

static void on_transport(struct setup *s, const uint8_t *msg, size_t len)
{
	uint8_t plain[CONTROL_BODY_MAX];
	const struct body_header *header = (const void *)plain;
	const void *body = plain + sizeof(*header);

	if (!s->open || !channel_open(&s->channel, plain, msg, len) ||
	    le32_get(header->id) != s->id)
		return;
	if (header->verb == VERB_DESCRIPTOR)
		ask(s, VERB_OPEN, &s->want, sizeof(s->want));
	else if (header->verb == VERB_GRANTED)
		on_granted(s, body);
	if (header->verb != VERB_REFUSED)
		return;
	run.refusal = le32_get(((const struct body_refused *)body)->code);
	end(s, false);
}

/* The exit's answer finds nobody, but what the relay learns from both it has learnt. */
static void send_initiation(struct setup *s)
{
	struct message_initiation msg;
	uint8_t mac1_key[KEY_LEN];

	wg_mac1_key(mac1_key, exit_.body.wg_key);
	fakewg_initiation(&msg, crypto_random_u32(), mac1_key);
	transmit(s, &msg, sizeof(msg));
}

static void on_bind(struct setup *s, const struct message_bind *in)
{
	struct message_bind out;

	if (!bind_valid(in, s->bind_key))
		return;
	if (in->type.b[0] == MESSAGE_BOUND) {
		if (shake)
			send_initiation(s);
		end(s, true);
		return;
	}
	bind_make(&out, MESSAGE_ANSWER, in->session, le64_get(in->counter), in->token, s->bind_key);
	transmit(s, &out, sizeof(out));
}

static void hear(struct setup *s)
{
	uint8_t msg[2048];
	ssize_t n;

	while (s->used && (n = recv(s->fd, msg, sizeof(msg), 0)) > 0) {
		switch ((int)message_type_of(msg, (size_t)n)) {
		case MESSAGE_RESPONSE:
			on_response(s, (const void *)msg);
			break;
		case MESSAGE_COOKIE:
			on_cookie(s, (const void *)msg);
			break;
		case MESSAGE_TRANSPORT:
			on_transport(s, msg, (size_t)n);
			break;
		case MESSAGE_CHALLENGE:
		case MESSAGE_BOUND:
			on_bind(s, (const void *)msg);
			break;
		default:
			break;
		}
	}
}

/* Requests are repeated with a fresh counter by real clients; a copy would be a replay, and is of
 * no use to one whose answer was lost. So what is sealed is asked for anew. */
static void repeat(struct setup *s)
{
	run.again++;
	if (!s->open) {
		initiate(s);
	} else if (s->last[0] == MESSAGE_TRANSPORT) {
		memset(&s->channel, 0, sizeof(s->channel));
		s->open = false;
		s->index = crypto_random_u32();
		initiate(s);
	} else {
		transmit(s, s->last, s->last_len);
	}
}

static void look_after(unsigned wide)
{
	uint64_t now = clock_ms();

	for (unsigned i = 0; i < wide; i++) {
		struct setup *s = &slots[i];

		if (s->used && now - s->begun_ms >= GIVE_UP_MS)
			end(s, false);
		else if (s->used && now - s->sent_ms >= RETRY_MS)
			repeat(s);
	}
}

static unsigned fill(unsigned count, unsigned wide, bool more)
{
	unsigned under_way = 0;

	for (unsigned i = 0; i < wide; i++) {
		if (!slots[i].used && more && run.begun < count)
			begin(&slots[i]);
		under_way += slots[i].used;
	}
	return under_way;
}

static void command_setups(unsigned count, unsigned wide, uint64_t ms)
{
	uint64_t start = measure_now(CLOCK_MONOTONIC), cpu = measure_now(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t until = clock_ms() + ms, looked = 0;
	struct epoll_event events[64];

	memset(&run, 0, sizeof(run));
	while (fill(count, wide, clock_ms() < until)) {
		int n = epoll_wait(epoll, events, ARRAY_SIZE(events), 50);

		for (int i = 0; i < n; i++)
			hear(&slots[events[i].data.u32]);
		if (clock_ms() - looked < 50)
			continue;
		looked = clock_ms();
		look_after(wide);
	}
	start = measure_now(CLOCK_MONOTONIC) - start;
	cpu = measure_now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	measure_sort(times, run.done);
	printf("{\"done\":%u,\"failed\":%u,\"refusal\":%u,\"cookies\":%u,\"again\":%u,\"ns\":"
	       "%" PRIu64 ",\"cpu_ns\":%" PRIu64 ",\"p50_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64
	       ",\"most_ns\":%" PRIu64 "}\n",
	       run.done, run.failed, run.refusal, run.cookies, run.again, start, cpu,
	       run.done ? times[run.done / 2] : 0, run.done ? times[run.done * 99 / 100] : 0,
	       run.done ? times[run.done - 1] : 0);
}

/* ---- floods ---------------------------------------------------------------------------------- */

struct faked {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[sizeof(struct message_initiation)];
} __attribute__((packed));

static void make_payload(uint8_t *out, size_t len, const char *kind)
{
	struct message_initiation *msg = (void *)out;
	struct cookie_signer signer;
	uint8_t mac2[MAC_LEN];

	crypto_random(out, len);
	memset(out, 0, sizeof(le32));
	out[0] = MESSAGE_INITIATION;
	if (strcmp(kind, "transport") == 0)
		out[0] = MESSAGE_TRANSPORT;
	else if (strcmp(kind, "bind") == 0)
		out[0] = MESSAGE_BIND;
	if (strcmp(kind, "mac1") != 0 && strcmp(kind, "mac2") != 0)
		return;
	memcpy(mac2, msg->mac2, MAC_LEN);
	cookie_signer_init(&signer, relay.body.control);
	cookie_sign(&signer, msg, len, 1);
	if (strcmp(kind, "mac2") == 0)
		memcpy(msg->mac2, mac2, MAC_LEN);
}

static void make_faked(struct faked *f, const char *kind, size_t len)
{
	memset(f, 0, sizeof(*f));
	make_payload(f->payload, len, kind);
	f->ip.version = 4;
	f->ip.ihl = 5;
	f->ip.ttl = 64;
	f->ip.protocol = IPPROTO_UDP;
	f->ip.tot_len = htons((uint16_t)(sizeof(f->ip) + sizeof(f->udp) + len));
	memcpy(&f->ip.daddr, relay_addr.ip + 12, 4);
	f->udp.dest = htons(relay_addr.port);
	f->udp.len = htons((uint16_t)(sizeof(f->udp) + len));
}

/* 10.200.0.0/13 with any port: nothing of it is anybody's. */
static void fake_source(struct faked *f)
{
	uint32_t r = crypto_random_u32();

	f->ip.saddr = htonl(0x0ac80000 | (r & 0x7ffff));
	f->udp.source = htons((uint16_t)(1024 + (r >> 19)));
}

static void command_flood(const char *kind, uint64_t pps, uint64_t ms)
{
	static struct faked made[FLOOD_KINDS];
	size_t len = strcmp(kind, "bind") == 0 ? sizeof(struct message_bind)
					       : sizeof(struct message_initiation);
	struct sockaddr_in to = {.sin_family = AF_INET};
	uint64_t start = clock_ms(), sent = 0, now;
	struct mmsghdr msgs[FLOOD_BATCH];
	struct iovec iov[FLOOD_BATCH];
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);

	if (fd < 0)
		fatal("a raw socket");
	memcpy(&to.sin_addr, relay_addr.ip + 12, 4);
	for (unsigned i = 0; i < FLOOD_KINDS; i++)
		make_faked(&made[i], kind, len);
	while ((now = clock_ms()) - start < ms) {
		if (sent >= (now - start) * pps / 1000) {
			poll(NULL, 0, 1);
			continue;
		}
		memset(msgs, 0, sizeof(msgs));
		for (unsigned i = 0; i < FLOOD_BATCH; i++) {
			struct faked *f = &made[(sent + i) % FLOOD_KINDS];

			fake_source(f);
			iov[i] = (struct iovec){f, sizeof(f->ip) + sizeof(f->udp) + len};
			msgs[i].msg_hdr = (struct msghdr){.msg_name = &to,
							  .msg_namelen = sizeof(to),
							  .msg_iov = &iov[i],
							  .msg_iovlen = 1};
		}
		if (sendmmsg(fd, msgs, FLOOD_BATCH, 0) > 0)
			sent += FLOOD_BATCH;
	}
	close(fd);
	printf("{\"sent\":%" PRIu64 ",\"ms\":%" PRIu64 "}\n", sent, now - start);
}

/* ---- the program ----------------------------------------------------------------------------- */

static bool command(const char *line)
{
	unsigned count, wide, ms;
	char kind[16];

	if (sscanf(line, "shake %u", &count) == 1)
		printf("{\"shake\":%d}\n", shake = count);
	else if (sscanf(line, "setups %u %u %u", &count, &wide, &ms) == 3 && count <= COUNT_MAX &&
		 wide <= WIDE_MAX)
		command_setups(count, wide, ms);
	else if (sscanf(line, "flood %15s %u %u", kind, &count, &ms) == 3)
		command_flood(kind, count, ms);
	else
		return false;
	fflush(stdout);
	return true;
}

static void load(struct descriptor *d, const char *path)
{
	char text[DESCRIPTOR_TEXT_MAX];

	if (file_read(path, text, sizeof(text) - 1) < 0 || !descriptor_from_text(d, text))
		fatalx("%s: no descriptor", path);
}

int main(int argc, char **argv)
{
	char line[128], port[64];

	log_init("rig_setups", LOG_LEVEL_INFO);
	crypto_start();
	if (argc != 5 || !net_addr_parse(&relay_addr, argv[3]))
		fatalx("usage: rig_setups RELAY_DESCRIPTOR EXIT_DESCRIPTOR RELAY_ADDR:PORT "
		       "FIRST_ADDR");
	snprintf(port, sizeof(port), "%s:1", argv[4]);
	if (!net_addr_parse(&next_addr, port))
		fatalx("%s: no address", argv[4]);
	next_addr.port = 0;
	load(&relay, argv[1]);
	load(&exit_, argv[2]);
	terms_hash(terms, &relay.body.relay_terms);
	times = xcalloc(COUNT_MAX, sizeof(*times));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		fatal("epoll");
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4) != 0) {
		if (command(line))
			continue;
		printf("{\"error\":\"bad command\"}\n");
		fflush(stdout);
	}
	return 0;
}
