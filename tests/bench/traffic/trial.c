#include "tests/bench/traffic/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/traffic/guests.h"
#include "tests/bench/traffic/take.h"

enum {
	NAP_NS = 20000, /* the shortest sleep */
	NAP_MOST_NS = 640000,
	SERVE_NS = 1000000,   /* the control channels' turn */
	STALL_NS = 100000000, /* closed loop: nothing came for so long, what is under way is lost */
	QUIET_NS = 100000000, /* at the end the same */
	GUESTS_NS = 15000000000 / 2,
};

static uint32_t run;

static uint64_t now_ns(void)
{
	return traffic_clock(CLOCK_MONOTONIC);
}

bool trial_parse(struct trial *t, char *words)
{
	static const struct {
		const char *word;
		size_t at;
	} fields[] = {
		{"way", offsetof(struct trial, way)},
		{"flows", offsetof(struct trial, flows)},
		{"size", offsetof(struct trial, size)},
		{"burst", offsetof(struct trial, burst)},
		{"window", offsetof(struct trial, window)},
		{"pps", offsetof(struct trial, pps)},
		{"ms", offsetof(struct trial, ms)},
		{"stamps", offsetof(struct trial, stamps)},
		{"joined", offsetof(struct trial, joined)},
		{"guests", offsetof(struct trial, guests)},
	};
	char *rest = NULL;

	memset(t, 0, sizeof(*t));
	for (char *w = strtok_r(words, " \n", &rest); w; w = strtok_r(NULL, " \n", &rest)) {
		for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
			size_t len = strlen(fields[i].word);

			if (strncmp(w, fields[i].word, len) == 0 && w[len] == '=')
				*(unsigned *)((char *)t + fields[i].at) =
					(unsigned)strtoul(w + len + 1, NULL, 10);
		}
	}
	return t->way <= WAY_DOWN && t->flows >= 1 && t->flows <= traffic.flow_count &&
	       t->burst >= 1 && t->burst <= TRAFFIC_BURST && t->size <= TRAFFIC_SIZE &&
	       t->size >= sizeof(struct message_transport) + sizeof(struct stamp) && t->ms >= 1 &&
	       t->ms <= 60000;
}

static void burst(struct trial *t, uint32_t flow)
{
	struct stamp stamp = {run, flow, traffic_clock(CLOCK_REALTIME)};
	struct shape shape = {t->size, t->burst, t->joined};
	unsigned took = traffic_send(t->way, &stamp, &shape);

	t->sent += took;
	t->not_sent += t->burst - took;
}

/* Whether the next burst may go: its time has come, and there is room in the window. */
static bool may_send(const struct trial *t, uint64_t now)
{
	uint64_t back = take_result()->got.packets + t->lost;

	if (t->window && t->sent + t->burst > back + t->window)
		return false;
	return !t->pps || (t->sent + t->not_sent) * 1000000000 <= (now - t->start_ns) * t->pps;
}

/* What did not come for so long will not: its room in the window is given back. */
static void write_off(struct trial *t, uint64_t now, uint64_t since)
{
	if (t->window && now - since > STALL_NS)
		t->lost = t->sent - take_result()->got.packets;
}

static void guests_in_turn(const struct trial *t, uint64_t now, unsigned *came)
{
	if (*came < t->guests &&
	    (now - t->start_ns) * (t->guests + 1) > (uint64_t)t->ms * 1000000 * (*came + 1)) {
		guests_come();
		(*came)++;
	}
}

/*
 * With the window full: so long that between an eighth and a half of it comes back meanwhile, as it
 * did the last times. Longer, and the relay has nothing to do; shorter, and the sleeping costs.
 */
static void pause_full(struct trial *t)
{
	uint64_t got = take_result()->got.packets, back = got - t->got_before;

	if (t->window && back > t->window / 2 && t->nap_ns > NAP_NS)
		t->nap_ns /= 2;
	else if (t->window && back < t->window / 8 && t->nap_ns < NAP_MOST_NS)
		t->nap_ns *= 2;
	t->got_before = got;
	traffic_nap(t->nap_ns);
}

/*
 * One step; true if something arrived. With nothing to do it sleeps: spinning would take from what
 * is measured, and being woken by each arrival would cost whoever sends it.
 */
static bool step(struct trial *t, uint64_t now, unsigned *flow)
{
	bool sends = may_send(t, now), flat_out = !t->pps && !t->window;

	if (sends) {
		burst(t, *flow);
		*flow = (*flow + 1) % t->flows;
	}
	if (sends && !flat_out)
		return false;
	if (take_some(t->way))
		return true;
	if (!sends)
		pause_full(t);
	return false;
}

static void run_loop(struct trial *t)
{
	uint64_t now = t->start_ns, end = now + (uint64_t)t->ms * 1000000, served = now, got = now;
	unsigned came = 0, flow = 0;

	for (; now < end; now = now_ns()) {
		if (step(t, now, &flow))
			got = now;
		write_off(t, now, got);
		if (now - served > SERVE_NS) {
			guests_in_turn(t, now, &came);
			traffic_serve();
			if (t->guests && t->way != WAY_UP)
				take_some(WAY_UP); /* their handshakes */
			served = now;
		}
	}
}

/* Until all is there or nothing comes any more. */
static void wait_for_rest(const struct trial *t)
{
	uint64_t since = now_ns(), served = since;

	while (take_result()->got.packets < t->sent && now_ns() - since < QUIET_NS) {
		if (take_some(t->way))
			since = now_ns();
		else
			traffic_nap(NAP_NS);
		if (now_ns() - served > SERVE_NS) {
			traffic_serve();
			served = now_ns();
		}
	}
}

/* Strangers may need longer than the run: their way goes on without it. */
static struct guests wait_for_guests(void)
{
	uint64_t start = now_ns();

	while (guests_waiting() && now_ns() - start < GUESTS_NS) {
		traffic_serve();
		take_some(WAY_UP);
		traffic_nap(NAP_NS);
	}
	return guests_leave();
}

static void print_trial(const struct trial *t, uint64_t cpu_ns, const struct guests *g)
{
	const struct arrivals *a = take_result();
	uint64_t took = a->last_ns > t->start_ns ? a->last_ns - t->start_ns : 1;
	struct delays d = take_delays();

	if (took < (uint64_t)t->ms * 1000000)
		took = (uint64_t)t->ms * 1000000;
	printf("{\"sent\":%lu,\"not_sent\":%lu,\"received\":%lu,\"bytes\":%lu,\"reordered\":%lu,"
	       "\"buffers\":%lu,"
	       "\"ns\":%lu,\"cpu_ns\":%lu,\"samples\":%u,\"p50\":%u,\"p90\":%u,\"p99\":%u,"
	       "\"most\":%u,\"guests\":{\"came\":%u,\"ready\":%u,\"asked\":%u,\"answered\":%u,"
	       "\"ready_ns\":%lu,\"answered_ns\":%lu}}\n",
	       t->sent, t->not_sent, a->got.packets, a->got.bytes, a->reordered, a->buffers, took,
	       cpu_ns, d.samples, d.p50, d.p90, d.p99, d.most, g->came, g->ready, g->asked,
	       g->answered, g->ready_ns, g->answered_ns);
}

void trial_run(struct trial *t)
{
	struct guests guests;
	uint64_t cpu;

	take_begin(++run, t->guests ? 0 : t->size);
	take_stamps(t->way, t->flows, t->stamps);
	cpu = traffic_clock(CLOCK_PROCESS_CPUTIME_ID);
	t->start_ns = now_ns();
	t->nap_ns = NAP_NS;
	run_loop(t);
	wait_for_rest(t);
	cpu = traffic_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	guests = wait_for_guests();
	print_trial(t, cpu, &guests);
}
