#include "accounting/rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/both_rows.h"
#include "accounting/epochs.h"
#include "accounting/migrations.h"
#include "base/log.h"

static int store_end_leftover(struct store *s, uint64_t *ended)
{
	/* state <> 1 is what the index of live sessions covers. */
	struct db_stmt *q =
		db_prepare(s->db, SESSION_SELECT "WHERE state <> 1 AND state = 0 LIMIT 1");
	struct session x;
	int got = db_step(q), err;

	if (got != 1)
		return got;
	err = session_row_read(q, &x);
	if (err)
		return err;
	err = session_row_end(s, &x);
	(*ended)++;
	return err ? err : 1;
}

/* Sessions die with the process that carried them. */
static int store_recover(struct store *s, uint64_t now_s)
{
	uint64_t ended = 0;
	int err = store_begin(s, now_s);

	if (err)
		return err;
	do
		err = store_end_leftover(s, &ended);
	while (err == 1);
	if (err) {
		store_rollback(s);
		return err;
	}
	if (ended)
		log_info("%" PRIu64 " sessions of an earlier run ended", ended);
	return store_commit(s);
}

int store_open(struct store **out, const char *path, const struct store_config *config,
	       const struct identity *by, uint64_t now_s)
{
	struct store *s = xcalloc(1, sizeof(*s));
	int err;

	s->config = *config;
	s->by = by;
	err = schema_open(&s->db, path, 0, &schema_ledger);
	if (!err)
		err = store_recover(s, now_s);
	s->reader = s->db;
	if (!err && strcmp(path, DB_MEMORY) != 0)
		err = db_reader(&s->reader, s->db);
	if (!err && config->settlement)
		err = epochs_open(&s->epochs, s, config->settlement, config->retention_days);
	if (err) {
		store_close(s);
		return err;
	}
	*out = s;
	return 0;
}

int store_finish(struct store *s)
{
	return db_finish(s->db);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	epochs_close(s->epochs);
	if (s->reader != s->db)
		db_close(s->reader);
	db_close(s->db);
	free(s);
}

bool store_lost(const struct store *s)
{
	return db_lost(s->db) || db_lost(s->reader);
}

int store_begin(struct store *s, uint64_t now_s)
{
	s->now_s = now_s;
	return db_begin(s->db);
}

int store_commit(struct store *s)
{
	return db_commit(s->db);
}

void store_rollback(struct store *s)
{
	db_rollback(s->db);
}

int store_begin_reading(struct store *s, uint64_t now_s)
{
	s->now_s = now_s;
	return db_begin_reading(s->reader);
}

void store_end_reading(struct store *s)
{
	db_rollback(s->reader);
}

int store_mark(struct store *s)
{
	return db_mark(s->db);
}

int store_unmark(struct store *s, bool keep)
{
	if (keep)
		return db_keep(s->db);
	db_undo(s->db);
	return 0;
}

uint64_t store_changes(const struct store *s)
{
	return db_changes(s->db);
}

int store_terms(struct store *s, const struct terms *t)
{
	uint8_t role = t->body.role;
	int err;

	if (role == 0 || role >= ROLES)
		return -EINVAL;
	err = both_terms_add(s->db, t);
	if (err)
		return err;
	s->has_terms[role] = true;
	s->terms[role] = *t;
	terms_hash(s->terms_hash[role], t);
	return 0;
}
