/*
 * The exit role on a real device with real rules, its ledger and control channel played here: one
 * client, shown receipts that nobody signs. For tests/net/test_overshoot.py.
 *
 *   rig_window INTERFACE CLIENT_KEY WINDOW   says the exit's key, the client's inner IPv4 address,
 * and for each line on stdin: up down held
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "exit/role.h"

static struct exit_role *role;
static struct ledger_payer payer;
static bool granted;

/* ---- the ledger: opens, and answers nothing else ---- */

void ledger_open(struct ledger *l, enum role as, const uint8_t session[static SESSION_ID_LEN],
		 const uint8_t who[static KEY_LEN], ledger_opened done, void *arg)
{
	(void)l, (void)as, (void)session, (void)who;
	done(arg, 0, &payer);
}

void ledger_issue(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		  uint64_t down, ledger_issued done, void *arg)
{
	(void)l, (void)session, (void)up, (void)down, (void)done, (void)arg;
}

void ledger_cosign(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		   const uint8_t signature[static SIGNATURE_LEN], ledger_signed done, void *arg)
{
	(void)l, (void)session, (void)seq, (void)signature, (void)done, (void)arg;
}

void ledger_dispute(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		    uint64_t up, uint64_t down, ledger_done done, void *arg)
{
	(void)l, (void)session, (void)seq, (void)up, (void)down, (void)done, (void)arg;
}

void ledger_close(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		  uint64_t down, ledger_done done, void *arg)
{
	(void)l, (void)session, (void)up, (void)down, (void)done, (void)arg;
}

void ledger_unpaid(struct ledger *l, const uint8_t who[static KEY_LEN], ledger_issued done,
		   void *arg)
{
	(void)l, (void)who, (void)done, (void)arg;
}

void ledger_payer_now(struct ledger *l, const uint8_t who[static KEY_LEN], ledger_opened done,
		      void *arg)
{
	(void)l, (void)who, (void)done, (void)arg;
}

/* ---- the control channel ---- */

void control_server_reply(struct control_server *s, const struct control_caller *to, uint8_t verb,
			  uint32_t id, const void *body, size_t len)
{
	(void)s, (void)to, (void)id, (void)body, (void)len;
	granted |= verb == VERB_PEER;
}

bool control_server_push(struct control_server *s, const uint8_t client[static KEY_LEN],
			 uint8_t verb, const void *body, size_t len)
{
	(void)s, (void)client, (void)verb, (void)body, (void)len;
	return true;
}

/* ---- one client ---- */

static void show(void *arg, const struct exit_session_view *v)
{
	(void)arg;
	printf("%llu %llu %d\n", (unsigned long long)v->up, (unsigned long long)v->down, v->held);
}

static void on_line(evutil_socket_t fd, short what, void *arg)
{
	char line[64];

	(void)fd, (void)what;
	if (!fgets(line, sizeof(line), stdin))
		event_base_loopbreak(arg);
	else
		exit_sessions(role, show, NULL);
	fflush(stdout);
}

static void add(const struct descriptor *self, const struct identity *identity,
		const uint8_t key[static KEY_LEN])
{
	struct control_caller caller = {.client = {7}};
	struct open_statement s = {.network = le64_of(1)};
	struct body_add_peer b = {.nonce = {1}};

	memcpy(b.wg_key, key, KEY_LEN);
	terms_hash(b.terms, &self->body.exit_terms);
	memcpy(b.payer, identity->id, KEY_LEN);
	memcpy(s.domain, DOMAIN_OPEN, DOMAIN_LEN);
	memcpy(s.provider, self->body.node, KEY_LEN);
	memcpy(s.client_control, caller.client, KEY_LEN);
	memcpy(s.subject, b.wg_key, KEY_LEN);
	memcpy(s.terms, b.terms, KEY_LEN);
	memcpy(s.payer, b.payer, KEY_LEN);
	memcpy(s.nonce, b.nonce, NONCE_LEN);
	identity_sign(b.signature, &s, sizeof(s), identity);
	if (!exit_handle(role, &caller, VERB_ADD_PEER, 1, (const void *)&b, sizeof(b)) || !granted)
		fatalx("the exit did not take the client");
}

int main(int argc, char **argv)
{
	struct terms_values values = {.role = ROLE_EXIT,
				      .network = 1,
				      .window_start = 1 << 20,
				      .window_cap = 1 << 20,
				      .receipt_seconds = 30,
				      .expires = clock_wall() + 86400};
	struct exit_config c = {.max_peers = 4, .network = 1, .idle_ms = 600000};
	struct event_base *base = event_base_new();
	static const uint8_t seed[KEY_LEN] = {1};
	struct descriptor self = {0};
	struct identity identity;
	uint8_t key[KEY_LEN];
	char text[KEY_TEXT];

	log_init("rig_window", LOG_LEVEL_INFO);
	crypto_start();
	if (argc != 4 || !key_from_base64(key, argv[2]) ||
	    !text_u64(argv[3], 1, UINT64_MAX, &payer.window))
		fatalx("usage: rig_window INTERFACE CLIENT_KEY WINDOW");
	snprintf(c.tunnel.name, sizeof(c.tunnel.name), "%s", argv[1]);
	c.tunnel.port = 51820;
	x25519_generate(c.tunnel.private_key);
	if (!net_prefix_parse(&c.pool4.net, &c.pool4.bits, "10.64.0.0/24"))
		fatalx("no pool");
	identity_from_seed(&identity, seed);
	memcpy(self.body.node, identity.id, KEY_LEN);
	terms_make(&self.body.exit_terms, &values, &identity);
	if (exit_create(&role, &c, base, NULL, &self) != 0)
		fatalx("no exit");
	exit_set_control(role, (struct control_server *)role);
	add(&self, &identity, key);
	key_to_base64(text, role->wg_key);
	printf("%s 10.64.0.2\n", text);
	fflush(stdout);
	event_add(event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_line, base), NULL);
	event_base_dispatch(base);
	exit_destroy(role);
	return 0;
}
