#include "client/presenting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "client/grants.h"

#define SHOW_TIMEOUT_MS 5000
#define HELD_MAX        1024 /* receipts in a row, though all of them be news */
#define HELD_KNOWN      2    /* in a row end it: what is older was there when these were */

/* An answer, remembered by what it was about. */
struct said {
	uint8_t hash[KEY_LEN];
	enum presenting_said said;
};

struct presenting {
	struct presenting_config config;
	const struct presenting_ops *ops;
	void *arg;
	struct control_client *control;

	bool asking;              /* an answer is outstanding */
	bool telling;             /* done is to be called in the end */
	struct grant_file *files; /* of this round; NULL: none is under way */
	size_t file_count, file;  /* file: the one that is shown */
	struct said said[GRANTS_MAX];
	size_t said_count;

	bool held_done;
	uint64_t mark;
	unsigned held_count, known;
};

struct presenting *presenting_create(const struct presenting_config *config,
				     const struct presenting_ops *ops, void *arg)
{
	struct presenting *p = xcalloc(1, sizeof(*p));

	p->config = *config;
	p->ops = ops;
	p->arg = arg;
	return p;
}

void presenting_destroy(struct presenting *p)
{
	if (p)
		free(p->files);
	free(p);
}

void presenting_channel(struct presenting *p)
{
	p->said_count = 0;
}

void presenting_session(struct presenting *p)
{
	p->held_done = false;
	p->mark = 0;
	p->held_count = p->known = 0;
}

static void ended(struct presenting *p, bool answered)
{
	bool tell = p->telling;

	free(p->files);
	p->files = NULL;
	p->telling = false;
	if (tell)
		p->ops->done(p->arg, answered);
}

/* ---- receipts ---- */

static void show_held(struct presenting *p);

static void held_answered(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	const struct body_head *head = (const struct body_head *)body;
	struct presenting *p = arg;

	p->asking = false;
	if (verb == 0) {
		presenting_session(p); /* from the newest on, when it answers again */
		ended(p, false);
		return;
	}
	/* Refused is not news either: the node has its own view of that session. */
	if (verb == VERB_HEAD && len == sizeof(*head) && le32_get(head->news) == 1)
		p->known = 0;
	else
		p->known++;
	show_held(p);
}

static void show_held(struct presenting *p)
{
	struct wallet_held next;
	int err = -ENOENT;

	if (p->known < HELD_KNOWN && p->held_count < HELD_MAX)
		err = wallet_held(p->config.wallet, p->config.node, p->config.payer, p->mark,
				  &next);
	if (err) {
		if (err != -ENOENT)
			log_debug("wallet: what was signed could not be read");
		p->held_done = true;
		ended(p, true);
		return;
	}
	p->mark = next.mark;
	p->held_count++;
	p->asking = control_client_request(p->control, VERB_HELD, &next.held, sizeof(next.held),
					   SHOW_TIMEOUT_MS, held_answered, p);
	if (!p->asking) {
		presenting_session(p);
		ended(p, false);
	}
}

/* ---- grants ---- */

static struct said *said_find(const struct presenting *p, const struct grant *g)
{
	uint8_t hash[KEY_LEN];

	hash256(hash, g, sizeof(*g));
	for (size_t i = 0; i < p->said_count; i++)
		if (memcmp(p->said[i].hash, hash, KEY_LEN) == 0)
			return (struct said *)&p->said[i];
	return NULL;
}

static void said_add(struct presenting *p, const struct grant *g, enum presenting_said said)
{
	struct said *s = said_find(p, g);

	if (!s && p->said_count == GRANTS_MAX)
		return;
	if (!s)
		s = &p->said[p->said_count++];
	hash256(s->hash, g, sizeof(*g));
	s->said = said;
}

/* Ours, for that node, and valid: nothing else is shown to anybody. */
static bool to_show(const struct presenting *p, const struct grant_file *f)
{
	const struct grant_body *b = &f->grant.body;

	return f->readable && memcmp(b->relay, p->config.node, KEY_LEN) == 0 &&
	       memcmp(b->payer, p->config.payer, KEY_LEN) == 0 && !said_find(p, &f->grant) &&
	       p->said_count < GRANTS_MAX &&
	       grant_check(&f->grant, p->config.network, clock_wall()) == GRANT_OK;
}

/* What comes behind the grants. */
static void show_rest(struct presenting *p)
{
	if (p->telling && !p->held_done)
		show_held(p);
	else
		ended(p, true);
}

static void show_grant(struct presenting *p);

static void grant_answered(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	const struct body_credit *credit = (const struct body_credit *)body;
	struct presenting *p = arg;
	const struct grant *g = &p->files[p->file].grant;

	p->asking = false;
	if (verb == VERB_CREDIT && len == sizeof(*credit)) {
		said_add(p, g,
			 le32_get(credit->status) == CREDIT_TAKEN ? PRESENTING_TAKEN
								  : PRESENTING_KNOWN);
		p->ops->credited(p->arg, le64_get(credit->credit));
		show_grant(p);
	} else if (verb == VERB_REFUSED && len == sizeof(struct body_refused) &&
		   le32_get(((const struct body_refused *)body)->code) == REFUSED_BUSY) {
		show_rest(p); /* and the grants another time */
	} else if (verb) {
		said_add(p, g, PRESENTING_REFUSED);
		log_warnx("the node that %s names does not take it; see culvert credit list",
			  p->files[p->file].name);
		show_grant(p);
	} else {
		ended(p, false);
	}
}

static void show_grant(struct presenting *p)
{
	while (p->file < p->file_count && !to_show(p, &p->files[p->file]))
		p->file++;
	if (p->file == p->file_count) {
		show_rest(p);
		return;
	}
	p->asking =
		control_client_request(p->control, VERB_GRANT, &p->files[p->file].grant,
				       sizeof(struct grant), SHOW_TIMEOUT_MS, grant_answered, p);
	if (!p->asking)
		ended(p, false);
}

static void begin(struct presenting *p, struct control_client *control)
{
	p->control = control;
	if (p->asking)
		return;
	free(p->files);
	p->file_count = grants_load(&p->files, p->config.grants);
	p->file = 0;
	show_grant(p);
}

void presenting_start(struct presenting *p, struct control_client *control)
{
	p->telling = true;
	begin(p, control);
}

void presenting_grants(struct presenting *p, struct control_client *control)
{
	if (!p->telling)
		begin(p, control);
}

/* ---- a receipt below one that was signed ---- */

static void newer_answered(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct presenting *p = arg;

	(void)verb;
	(void)body;
	(void)len;
	p->asking = false;
	if (p->telling)
		begin(p, p->control);
}

/* The session's id is the provider's word: other nodes' receipts, and those of another payer that
 * shares the wallet, are not for it. */
static bool of_both(const struct presenting *p, const struct body_held *held)
{
	const struct receipt_body *b = &held->receipt.offer.body;

	return memcmp(b->provider, p->config.node, KEY_LEN) == 0 &&
	       memcmp(b->payer, p->config.payer, KEY_LEN) == 0;
}

void presenting_newer(struct presenting *p, struct control_client *control,
		      const struct receipt_offer *asked)
{
	struct body_held held;

	if (p->asking || wallet_held_of(p->config.wallet, asked->body.session, &held) != 0 ||
	    !of_both(p, &held) ||
	    le64_get(held.receipt.offer.body.seq) <= le64_get(asked->body.seq))
		return;
	p->control = control;
	p->asking = control_client_request(control, VERB_HELD, &held, sizeof(held), SHOW_TIMEOUT_MS,
					   newer_answered, p);
}

enum presenting_said presenting_said(const struct presenting *p, const struct grant *g)
{
	const struct said *s = said_find(p, g);

	return s ? s->said : PRESENTING_NOTHING;
}

const char *presenting_said_text(enum presenting_said said)
{
	static const char *const texts[] = {
		[PRESENTING_NOTHING] = "not shown",
		[PRESENTING_TAKEN] = "taken",
		[PRESENTING_KNOWN] = "taken before",
		[PRESENTING_REFUSED] = "refused",
	};

	return texts[said];
}
