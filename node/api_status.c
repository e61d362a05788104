/* What runs here now: /v1/status, /v1/sessions, /v1/descriptor. */
#include "base/clock.h"
#include "node/api.h"

static json_t *tally(const struct relay_tally *t)
{
	return json_pack("{s:o, s:o}", "packets", api_number(t->packets), "bytes",
			 api_number(t->bytes));
}

static json_t *both(const struct relay_tally by_direction[static DIRECTION_COUNT])
{
	return json_pack("{s:o, s:o}", "up", tally(&by_direction[DIRECTION_UP]), "down",
			 tally(&by_direction[DIRECTION_DOWN]));
}

static json_t *drops(const struct relay_counters *c)
{
	json_t *all = json_object();

	for (int i = 0; i < DROP_COUNT; i++) {
		const struct relay_tally t[DIRECTION_COUNT] = {c->drop[DIRECTION_UP][i],
							       c->drop[DIRECTION_DOWN][i]};

		json_object_set_new(all, relay_drop_names[i], both(t));
	}
	return all;
}

/* What the kernel joins and cuts, and what that comes to. */
static json_t *offload(const struct relay_status *s)
{
	return json_pack("{s:b, s:b, s:o, s:o, s:o}", "in", s->means.offload.receive, "out",
			 s->means.offload.send, "refused", api_number(s->counters.offload_refused),
			 "messages_in", api_number(s->counters.messages_in), "messages_out",
			 api_number(s->counters.messages_out));
}

static json_t *month_object(const struct cap_status *m)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "cap", api_number(m->bytes),
			 "carried", api_number(m->carried), "reserve", api_number(m->reserve),
			 "rate", api_number(8 * m->rate), "begins", api_number(m->begin_s), "ends",
			 api_number(m->end_s), "waiting", m->waiting);
}

static json_t *by_worker(const struct relay *r)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < relay_workers(r); i++) {
		const struct plane_part p = relay_part(r, i);

		json_array_append_new(all, json_pack("{s:o, s:o}", "sessions",
						     api_number(p.sessions), "in", tally(&p.in)));
	}
	return all;
}

static json_t *relay_object(struct relay *r)
{
	struct relay_status s;
	struct cap_status month;

	relay_status(r, &s);
	const struct {
		const char *key;
		uint64_t value;
	} numbers[] = {
		{"port", relay_port(r)},
		{"workers", relay_workers(r)},
		{"pinned", s.means.pinned},
		{"sessions", s.sessions},
		{"exits", s.exits},
		{"rate", 8 * s.rate},
		{"peer_rate", 8 * s.peer_rate},
		{"control_in", s.counters.control_in},
		{"control_malformed", s.counters.control_malformed},
		{"control_lost", s.counters.control_lost},
		{"unanswered", s.counters.unanswered.packets},
		{"binds", s.binds},
		{"bad_binds", s.bad_binds},
		{"replayed_binds", s.replayed_binds},
		{"moves", s.moves},
		{"receipts_issued", s.receipts_issued},
		{"receipts_signed", s.receipts_signed},
		{"disputes", s.disputes},
		{"passed_up", s.passed_up},
		{"passed_down", s.passed_down},
		{"pass_dropped", s.pass_dropped},
	};
	json_t *out = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		json_object_set_new(out, numbers[i].key, api_number(numbers[i].value));
	json_object_set_new(out, "by_worker", by_worker(r));
	json_object_set_new(out, "offload", offload(&s));
	json_object_set_new(out, "in", both(s.counters.in));
	json_object_set_new(out, "out", both(s.counters.out));
	json_object_set_new(out, "queued", both(s.counters.queued));
	json_object_set_new(out, "drops", drops(&s.counters));
	if (relay_month(r, &month))
		json_object_set_new(out, "month", month_object(&month));
	return out;
}

static json_t *exit_object(struct exit_role *e)
{
	struct exit_status s;

	exit_status(e, &s);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "backend", s.backend, "peers",
			 api_number(s.peers), "repairs", api_number(s.repairs), "up",
			 api_number(s.up), "down", api_number(s.down), "receipts_issued",
			 api_number(s.receipts_issued), "receipts_signed",
			 api_number(s.receipts_signed), "disputes", api_number(s.disputes));
}

static json_t *control_object(const struct control_server *c)
{
	const struct control_counters *n = control_server_counters(c);
	json_t *out = json_object();

#define X(name) json_object_set_new(out, #name, api_number(n->name));
	CONTROL_COUNTERS(X)
#undef X
	return out;
}

static json_t *role_names(uint8_t roles)
{
	json_t *out = json_array();

	if (roles & ROLE_RELAY)
		json_array_append_new(out, json_string("relay"));
	if (roles & ROLE_EXIT)
		json_array_append_new(out, json_string("exit"));
	return out;
}

void api_status(struct api_call *call)
{
	const struct node *n = call->node;
	json_t *out = json_pack(
		"{s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "role", "node", "id",
		api_key(n->identity.descriptor.body.node), "name", n->config.name, "version",
		CULVERT_VERSION, "roles", role_names(n->config.roles), "network",
		api_number(n->config.network), "uptime_s",
		api_number((clock_ms() - n->started_ms) / 1000), "ledger_pid",
		api_number((uint64_t)ledger_pid(n->ledger)), "control", control_object(n->control));

	if (n->relay)
		json_object_set_new(out, "relay", relay_object(n->relay));
	if (n->exit)
		json_object_set_new(out, "exit", exit_object(n->exit));
	api_answer(call, out);
}

static void add_relay_session(void *arg, const struct relay_session_view *v)
{
	json_t *row =
		json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o}",
			  "session", api_session_id(v->session), "role", "relay", "payer",
			  api_key(v->payer), "exit", api_key(v->exit), "up", api_number(v->up),
			  "down", api_number(v->down), "signed", api_number(v->signed_bytes),
			  "window", api_number(v->window), "idle_ms", api_number(v->idle_ms),
			  "age_ms", api_number(v->age_ms), "worker", api_number(v->worker), "bound",
			  v->bound, "held", v->held, "moves", api_number(v->moves));

	json_array_append_new(arg, row);
}

static void add_exit_session(void *arg, const struct exit_session_view *v)
{
	json_t *row = json_pack(
		"{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "session",
		api_session_id(v->session), "role", "exit", "payer", api_key(v->payer), "up",
		api_number(v->up), "down", api_number(v->down), "signed",
		api_number(v->signed_bytes), "window", api_number(v->window), "idle_ms",
		api_number(v->idle_ms), "age_ms", api_number(v->age_ms), "last_handshake",
		api_number(v->last_handshake), "bound", v->last_handshake != 0, "held", v->held);
	char text[NET_ADDR_TEXT];

	json_object_set_new(row, "inner4", json_string(net_ip_text(text, &v->inner4)));
	json_object_set_new(row, "inner6", json_string(net_ip_text(text, &v->inner6)));
	json_array_append_new(arg, row);
}

static void answer_sessions(void *arg)
{
	struct api_call *call = arg;
	json_t *rows = json_array();

	if (call->node->relay)
		relay_sessions(call->node->relay, add_relay_session, rows);
	if (call->node->exit)
		exit_sessions(call->node->exit, add_exit_session, rows);
	api_answer(call, json_pack("{s:o}", "sessions", rows));
}

void api_sessions(struct api_call *call)
{
	if (call->node->relay)
		relay_meter(call->node->relay, answer_sessions, call);
	else
		answer_sessions(call);
}

void api_descriptor(struct api_call *call)
{
	const struct descriptor *d = &call->node->identity.descriptor;
	char text[DESCRIPTOR_TEXT_MAX];

	api_answer(call, json_pack("{s:o, s:s, s:o}", "id", api_key(d->body.node), "descriptor",
				   descriptor_to_text(text, sizeof(text), d), "expires",
				   api_number(le64_get(d->body.expires))));
}
