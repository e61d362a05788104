/*
 * Many protocol clients in one process, driven by lines on stdin; each is answered by one JSON
 * line.
 *
 *   rig_clients RELAY_DESCRIPTOR EXIT_DESCRIPTOR RELAY_ADDR:PORT FIRST_NUMBER
 *
 *   open N            make N clients and bring them up (OPEN, BIND, fake handshake)
 *   send COUNT SIZE   every client sends COUNT datagrams of SIZE bytes, as fast as it goes
 *   paced COUNT SIZE PPS   the same at PPS datagrams a second over all clients
 *   mix MS SIZE PPS...   client i at the i-th PPS datagrams a second, all at once
 *   rekey | rebind | close   each client
 *   churn MS SIZE     all send as fast as it goes, and every moment one of them moves, shakes hands
 *                     anew, or ends while a new one opens
 *   sign on|off       co-sign receipts or do not
 *   wait MS           serve the control channel for a while
 *   resume SIZE       signing off -> on, then one datagram a millisecond until the window opens;
 *                     tells how long that took
 *   attack KIND COUNT   forged moves against client 0: data | replay | key | old
 *   try DESCRIPTOR    one more client asks for a session towards another exit; its refusal
 *   stats             per client; "indices" are those of the initiations it sent
 *   quit
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "tests/lib/fakewg.h"
#include "tests/lib/rig.h"

enum {
	CLIENTS_MAX = 4096,
	MIX_MAX = 32,
};

static struct rig rig = {.sign = true};
static struct rig_client *clients;
static unsigned count, first;
static unsigned ended; /* clients that churn closed: the first ones */

static void serve(uint64_t ms)
{
	uint64_t end = clock_ms() + ms;

	do {
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
		if (ms)
			poll(NULL, 0, 1);
	} while (clock_ms() < end);
}

static unsigned in_state(enum rig_state state)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++)
		n += clients[i].state == state;
	return n;
}

static void come_up(uint64_t ms)
{
	uint64_t end = clock_ms() + ms, nudge = clock_ms() + 500;

	while (in_state(RIG_READY) + in_state(RIG_FAILED) < count && clock_ms() < end) {
		serve(1);
		if (clock_ms() < nudge)
			continue;
		nudge += 500;
		for (unsigned i = 0; i < count; i++) {
			if (clients[i].state == RIG_SHAKING)
				rig_client_rekey(&clients[i]);
		}
	}
}

static void settle(uint64_t ms)
{
	come_up(ms);
	printf("{\"ready\":%u,\"failed\":%u,\"refusal\":%u}\n", in_state(RIG_READY),
	       in_state(RIG_FAILED), count ? clients[count - 1].refusal : 0);
}

static void open_one(void)
{
	if (count == CLIENTS_MAX)
		return;
	rig_client_init(&clients[count], &rig, first + count);
	rig_client_open(&clients[count++]);
}

static void command_open(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		open_one();
		serve(0);
	}
	settle(20000);
}

static void command_send(unsigned each, size_t size, uint64_t pps)
{
	uint64_t start = clock_ms(), sent = 0, before = 0;
	unsigned left;

	for (unsigned done = 0; done < each; done += 8) {
		left = each - done < 8 ? each - done : 8;
		for (unsigned i = 0; i < count; i++) {
			sent += (uint64_t)rig_client_send(&clients[i], left, size);
			while (pps && sent > (clock_ms() - start + 1) * pps / 1000)
				serve(1);
		}
		if (sent - before >= 64) {
			serve(0);
			before = sent;
		}
	}
	printf("{\"sent\":%lu,\"ms\":%lu}\n", sent, clock_ms() - start);
}

static void command_mix(uint64_t ms, size_t size, const char *rates)
{
	uint64_t pps[MIX_MAX] = {0}, done[MIX_MAX] = {0}, start, now;
	unsigned n = 0;
	int used;

	while (n < count && n < MIX_MAX && sscanf(rates, "%lu%n", &pps[n], &used) == 1) {
		rates += used;
		done[n] = clients[n].sent_packets;
		n++;
	}
	start = clock_ms();
	while ((now = clock_ms() - start) < ms) {
		for (unsigned i = 0; i < n; i++) {
			uint64_t due = done[i] + pps[i] * now / 1000;

			if (clients[i].sent_packets < due)
				rig_client_send(&clients[i],
						(unsigned)(due - clients[i].sent_packets), size);
		}
		serve(1);
	}
	printf("{\"ms\":%lu,\"sent\":[", clock_ms() - start);
	for (unsigned i = 0; i < n; i++)
		printf("%s%lu", i ? "," : "", clients[i].sent_packets - done[i]);
	printf("]}\n");
}

static void command_each(void (*f)(struct rig_client *), uint64_t ms)
{
	for (unsigned i = ended; i < count; i++) {
		f(&clients[i]);
		serve(0);
	}
	if (f == rig_client_rebind)
		settle(20000);
	else {
		serve(ms);
		printf("{\"done\":%u}\n", count);
	}
}

/* True once in so many milliseconds. */
static bool comes_due(uint64_t *at, uint64_t every, uint64_t now)
{
	if (now < *at)
		return false;
	*at = now + every;
	return true;
}

/* A client that is busy with one thing is left out until its turn comes again. */
static void command_churn(uint64_t ms, size_t size)
{
	uint64_t now = clock_ms(), end = now + ms, move = 0, rekey = 0, turn_over = 0;
	uint64_t moves = 0, rekeys = 0, turn = 0;
	unsigned before = count;

	for (; now < end; now = clock_ms(), turn++) {
		struct rig_client *c = &clients[ended + turn % (count - ended)];

		for (unsigned i = ended; i < count; i++)
			rig_client_send(&clients[i], 8, size);
		serve(0);
		if (c->state != RIG_READY)
			continue;
		if (comes_due(&move, 10, now)) {
			rig_client_rebind(c);
			moves++;
		} else if (comes_due(&rekey, 50, now)) {
			rig_client_rekey(c);
			rekeys++;
		} else if (clients[ended].state == RIG_READY && comes_due(&turn_over, 250, now)) {
			rig_client_close(&clients[ended++]);
			open_one();
		}
	}
	come_up(20000);
	printf("{\"moves\":%lu,\"rekeys\":%lu,\"opened\":%u,\"ended\":%u,\"ready\":%u}\n", moves,
	       rekeys, count - before, ended, in_state(RIG_READY));
}

/* From the moment the signature is sent to the first datagram that comes through again (it is
 * reflected). */
static void command_resume(size_t size)
{
	struct rig_client *c = &clients[0];
	uint64_t received = c->received_packets, start, end, signed_at = 0;

	rig.sign = true;
	start = clock_ms();
	end = start + 10000;
	while (c->received_packets == received && clock_ms() < end) {
		uint64_t receipts = c->receipts;

		serve(1);
		if (c->receipts != receipts && !signed_at)
			signed_at = clock_ms();
		rig_client_send(c, 1, size);
	}
	printf("{\"resumed\":%s,\"ms\":%lu}\n", c->received_packets != received ? "true" : "false",
	       signed_at ? clock_ms() - signed_at : clock_ms() - start);
}

/* ---- forged moves: everything an attacker can send who sees packets and owns another session ----
 */

static void forge(const char *kind, int fd, uint64_t i)
{
	struct rig_client *victim = &clients[0];
	struct message_bind msg;
	uint8_t transport[148] = {0};

	if (strcmp(kind, "data") == 0) {
		fakewg_transport(transport,
				 victim->exit_indices[(victim->exit_index_count - 1) % RIG_INDICES],
				 i);
		(void)!send(fd, transport, sizeof(transport), 0);
		return;
	}
	if (strcmp(kind, "replay") == 0) {
		(void)!send(fd, &victim->last_answer, sizeof(victim->last_answer), 0);
		bind_make(&msg, MESSAGE_BIND, victim->session, victim->bind_counter, NULL,
			  victim->bind_key);
	} else if (strcmp(kind, "old") == 0) {
		bind_make(&msg, MESSAGE_BIND, victim->session, i % (victim->bind_counter + 1), NULL,
			  victim->bind_key);
	} else { /* another session's key, a fresh counter */
		bind_make(&msg, i & 1 ? MESSAGE_BIND : MESSAGE_ANSWER, victim->session,
			  victim->bind_counter + 1 + i, NULL, clients[count - 1].bind_key);
	}
	(void)!send(fd, &msg, sizeof(msg), 0);
}

static void command_attack(const char *kind, uint64_t n)
{
	int fd = rig_socket(&rig.relay_addr);
	uint8_t reply[2048];
	uint64_t replies = 0;

	for (uint64_t i = 0; i < n; i++) {
		forge(kind, fd, i);
		if (i % 32 == 31) {
			serve(1);
			while (recv(fd, reply, sizeof(reply), MSG_DONTWAIT) > 0)
				replies++;
		}
	}
	serve(200);
	while (recv(fd, reply, sizeof(reply), MSG_DONTWAIT) > 0)
		replies++;
	close(fd);
	printf("{\"forged\":%lu,\"replies\":%lu}\n", n, replies);
}

static void load(struct descriptor *d, const char *path)
{
	char text[DESCRIPTOR_TEXT_MAX];

	if (file_read(path, text, sizeof(text) - 1) < 0 || !descriptor_from_text(d, text))
		fatalx("%s: no descriptor", path);
}

/* A fresh client OPENs towards another exit: 0 if it got a session, else the refusal. */
static void command_try(const char *path)
{
	struct rig_client *c = &clients[count++];

	load(&rig.exit, path);
	rig_client_init(c, &rig, first + count);
	rig_client_open(c);
	for (uint64_t end = clock_ms() + 5000; c->state == RIG_OPENING && clock_ms() < end;)
		serve(1);
	printf("{\"granted\":%s,\"refusal\":%u}\n",
	       c->state == RIG_OPENING || c->state == RIG_FAILED ? "false" : "true", c->refusal);
}

static void command_stats(void)
{
	char hex[33];

	printf("{\"clients\":[");
	for (unsigned i = 0; i < count; i++) {
		struct rig_client *c = &clients[i];

		printf("%s{\"session\":\"%s\",\"state\":%d,\"sent_packets\":%lu,\"sent_bytes\":%lu,"
		       "\"received_packets\":%lu,\"received_bytes\":%lu,\"window\":%lu,\"signed\":%"
		       "lu,"
		       "\"receipts\":%lu,\"bad_receipts\":%lu,\"seq\":%lu,\"closed\":%lu,"
		       "\"indices\":[",
		       i ? "," : "", text_hex(hex, c->session, 16), (int)c->state, c->sent_packets,
		       c->sent_bytes, c->received_packets, c->received_bytes, c->window,
		       c->signed_bytes, c->receipts, c->bad_receipts, c->seq, c->closed);
		for (unsigned j = 0; j < c->own_index_count && j < RIG_INDICES; j++)
			printf("%s%u", j ? "," : "", c->own_indices[j]);
		printf("]}");
	}
	printf("]}\n");
}

static bool command(const char *line)
{
	char word[16] = "", kind[16] = "", path[256] = "";
	unsigned a = 0, b = 0, c = 0;
	int used = 0;

	sscanf(line, "%15s", word);
	if (strcmp(word, "open") == 0 && sscanf(line, "%*s %u", &a) == 1)
		command_open(a);
	else if (strcmp(word, "send") == 0 && sscanf(line, "%*s %u %u", &a, &b) == 2)
		command_send(a, b, 0);
	else if (strcmp(word, "paced") == 0 && sscanf(line, "%*s %u %u %u", &a, &b, &c) == 3)
		command_send(a, b, c);
	else if (strcmp(word, "mix") == 0 && sscanf(line, "%*s %u %u %n", &a, &b, &used) == 2)
		command_mix(a, b, line + used);
	else if (strcmp(word, "rekey") == 0)
		command_each(rig_client_rekey, 300);
	else if (strcmp(word, "rebind") == 0)
		command_each(rig_client_rebind, 0);
	else if (strcmp(word, "churn") == 0 && sscanf(line, "%*s %u %u", &a, &b) == 2 && count)
		command_churn(a, b);
	else if (strcmp(word, "close") == 0)
		command_each(rig_client_close, 1500);
	else if (strcmp(word, "sign") == 0 && sscanf(line, "%*s %15s", kind) == 1) {
		rig.sign = strcmp(kind, "on") == 0;
		printf("{\"sign\":%s}\n", rig.sign ? "true" : "false");
	} else if (strcmp(word, "wait") == 0 && sscanf(line, "%*s %u", &a) == 1) {
		serve(a);
		printf("{\"waited\":%u}\n", a);
	} else if (strcmp(word, "resume") == 0 && sscanf(line, "%*s %u", &a) == 1)
		command_resume(a);
	else if (strcmp(word, "attack") == 0 && sscanf(line, "%*s %15s %u", kind, &a) == 2)
		command_attack(kind, a);
	else if (strcmp(word, "try") == 0 && count < CLIENTS_MAX &&
		 sscanf(line, "%*s %255s", path) == 1)
		command_try(path);
	else if (strcmp(word, "stats") == 0)
		command_stats();
	else
		return false;
	fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	char line[384];

	log_init("rig_clients", LOG_LEVEL_INFO);
	crypto_start();
	if (argc != 5 || !net_addr_parse(&rig.relay_addr, argv[3]))
		fatalx("usage: rig_clients RELAY_DESCRIPTOR EXIT_DESCRIPTOR RELAY_ADDR:PORT "
		       "FIRST_NUMBER");
	load(&rig.relay, argv[1]);
	load(&rig.exit, argv[2]);
	wg_mac1_key(rig.exit_mac1_key, rig.exit.body.wg_key);
	first = (unsigned)strtoul(argv[4], NULL, 10);
	clients = xcalloc(CLIENTS_MAX, sizeof(*clients));
	rig.base = event_base_new();
	for (;;) {
		struct pollfd p = {STDIN_FILENO, POLLIN, 0};

		serve(0);
		if (poll(&p, 1, 2) <= 0)
			continue;
		if (!fgets(line, sizeof(line), stdin) || strncmp(line, "quit", 4) == 0)
			return 0;
		if (!command(line)) {
			printf("{\"error\":\"bad command\"}\n");
			fflush(stdout);
		}
	}
}
