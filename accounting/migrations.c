#include "accounting/migrations.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/*
 * Sessions, receipts and terms have the same columns on both sides, so that pages.c serves both.
 * Times are hours since 1970; addresses appear nowhere.
 */
#define TABLE_TERMS                                            \
	"CREATE TABLE terms(id INTEGER PRIMARY KEY,"           \
	" hash BLOB NOT NULL UNIQUE CHECK(length(hash) = 32)," \
	" body BLOB NOT NULL CHECK(length(body) = 176)) STRICT;"
#define SESSION_COLUMNS                                         \
	"id INTEGER PRIMARY KEY,"                               \
	" key BLOB NOT NULL UNIQUE CHECK(length(key) = 16),"    \
	" provider BLOB NOT NULL CHECK(length(provider) = 32)," \
	" payer BLOB NOT NULL CHECK(length(payer) = 32),"       \
	" role INTEGER NOT NULL,"                               \
	" state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 3)," \
	" terms BLOB NOT NULL REFERENCES terms(hash),"          \
	" hour INTEGER NOT NULL,"                               \
	" seq INTEGER NOT NULL DEFAULT 0 CHECK(seq >= 0),"      \
	" up INTEGER NOT NULL DEFAULT 0 CHECK(up >= 0),"        \
	" down INTEGER NOT NULL DEFAULT 0 CHECK(down >= 0),"    \
	" amount INTEGER NOT NULL DEFAULT 0 CHECK(amount >= 0)"
#define TABLE_RECEIPT                                       \
	"CREATE TABLE receipt(id INTEGER PRIMARY KEY,"      \
	" session INTEGER NOT NULL REFERENCES session(id)," \
	" seq INTEGER NOT NULL CHECK(seq > 0),"             \
	" body BLOB NOT NULL CHECK(length(body) = 344),"    \
	" UNIQUE(session, seq)) STRICT;"
#define TABLE_EVIDENCE                                      \
	"CREATE TABLE evidence(id INTEGER PRIMARY KEY,"     \
	" session INTEGER NOT NULL REFERENCES session(id)," \
	" offer BLOB NOT NULL CHECK(length(offer) = 280),"  \
	" up INTEGER NOT NULL, down INTEGER NOT NULL,"      \
	" hour INTEGER NOT NULL) STRICT;"
#define EVIDENCE_OTHER                                                     \
	"ALTER TABLE evidence ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;" \
	"ALTER TABLE evidence ADD COLUMN other BLOB"                       \
	" CHECK(other IS NULL OR length(other) = 280);"

/*
 * Until then every co-signature was booked at once, allowance or not, to an account node:earned.
 * What no allowance paid for is the node's to spend, on the account of its identity; the rest was
 * given away. Bookings are never rewritten: both move by one of their own.
 */
#define EARNED_MOVED "(SELECT id FROM txn WHERE key = 'earned:moved')"
#define LEDGER_EARNED                                                                       \
	"UPDATE session SET hold = posted, posted_hour = hour, posted_bytes = up + down,"   \
	" paid = coalesce((SELECT sum(-e.amount) FROM txn t JOIN entry e ON e.txn = t.id"   \
	" JOIN account a ON a.id = e.account WHERE a.kind = 2"                              \
	" AND t.key > 'pay:' || lower(hex(session.key)) || ':'"                             \
	" AND t.key < 'pay:' || lower(hex(session.key)) || ';'), 0);"                       \
	"UPDATE account SET source = (SELECT id FROM account WHERE name = 'sys:free')"      \
	" WHERE kind = 1;"                                                                  \
	"UPDATE account SET source = (SELECT id FROM account WHERE name = 'sys:grant')"     \
	" WHERE kind = 2 AND expires > 0;"                                                  \
	"INSERT INTO account(name, kind, expires) SELECT 'sys:given', 5, 0"                 \
	" FROM account WHERE kind = 3;"                                                     \
	"INSERT INTO account(name, kind, payer, expires)"                                   \
	" SELECT 'user:' || lower(hex(provider)), 2, provider, 0 FROM session"              \
	" WHERE EXISTS (SELECT 1 FROM account WHERE kind = 3) LIMIT 1"                      \
	" ON CONFLICT(name) DO NOTHING;"                                                    \
	"INSERT INTO txn(key, hour) SELECT 'earned:moved', (SELECT max(hour) FROM session)" \
	" FROM account WHERE kind = 3 AND balance > 0;"                                     \
	"INSERT INTO entry SELECT t.id, a.id, -a.balance FROM txn t JOIN account a"         \
	" ON a.kind = 3 WHERE t.key = 'earned:moved';"                                      \
	"INSERT INTO entry SELECT t.id, a.id, (SELECT sum(posted - paid) FROM session)"     \
	" FROM txn t JOIN account a ON a.kind = 5 WHERE t.key = 'earned:moved'"             \
	" AND (SELECT sum(posted - paid) FROM session) > 0;"                                \
	"INSERT INTO entry SELECT t.id, a.id, (SELECT sum(paid) FROM session)"              \
	" FROM txn t JOIN account a ON a.name = (SELECT 'user:' || lower(hex(provider))"    \
	" FROM session LIMIT 1) WHERE t.key = 'earned:moved'"                               \
	" AND (SELECT sum(paid) FROM session) > 0;"                                         \
	"UPDATE account SET balance = (SELECT sum(e.amount) FROM entry e"                   \
	" WHERE e.account = account.id)"                                                    \
	" WHERE id IN (SELECT e.account FROM entry e WHERE e.txn = " EARNED_MOVED ");"

static const char *const ledger_steps[] = {
	TABLE_TERMS
	/* final_*: what was carried as far as known; posted: micro-credits booked so far;
	 * offer: the issued, unsigned receipt. */
	"CREATE TABLE session(" SESSION_COLUMNS ","
	" price INTEGER NOT NULL CHECK(price >= 0),"
	" final_up INTEGER NOT NULL DEFAULT 0 CHECK(final_up >= up),"
	" final_down INTEGER NOT NULL DEFAULT 0 CHECK(final_down >= down),"
	" posted INTEGER NOT NULL DEFAULT 0 CHECK(posted BETWEEN 0 AND amount),"
	" offer BLOB CHECK(offer IS NULL OR length(offer) = 280)) STRICT;"
	"CREATE INDEX session_live ON session(payer) WHERE state <> 1;" TABLE_RECEIPT TABLE_EVIDENCE
	"CREATE TABLE payer(id INTEGER PRIMARY KEY,"
	" key BLOB NOT NULL UNIQUE CHECK(length(key) = 32),"
	" window INTEGER NOT NULL CHECK(window > 0),"
	" signed INTEGER NOT NULL DEFAULT 0 CHECK(signed >= 0),"
	" bytes INTEGER NOT NULL DEFAULT 0 CHECK(bytes >= 0),"
	" earned INTEGER NOT NULL DEFAULT 0 CHECK(earned >= 0)) STRICT;"
	/* kind: enum account_kind; only the system's own accounts may be overdrawn. */
	"CREATE TABLE account(id INTEGER PRIMARY KEY,"
	" name TEXT NOT NULL UNIQUE,"
	" kind INTEGER NOT NULL,"
	" payer BLOB CHECK(payer IS NULL OR length(payer) = 32),"
	" expires INTEGER NOT NULL,"
	" balance INTEGER NOT NULL DEFAULT 0 CHECK(balance >= 0 OR kind = 0)) STRICT;"
	"CREATE INDEX account_purse ON account(payer, balance);"
	"CREATE TABLE txn(id INTEGER PRIMARY KEY,"
	" key TEXT NOT NULL UNIQUE,"
	" hour INTEGER NOT NULL) STRICT;"
	"CREATE TABLE entry(txn INTEGER NOT NULL REFERENCES txn(id),"
	" account INTEGER NOT NULL REFERENCES account(id),"
	" amount INTEGER NOT NULL CHECK(amount <> 0),"
	" PRIMARY KEY(txn, account)) STRICT, WITHOUT ROWID;",
	/* bytes of debt that as many bytes signed later made good */
	"ALTER TABLE payer ADD COLUMN worked INTEGER NOT NULL DEFAULT 0 CHECK(worked >= 0);",
	/*
	 * hold: credit set aside for a session, ever; paid: of posted, what no allowance paid for;
	 * fee_*: who gets which share of paid, fixed when it opened; settled: paid, as of its last
	 * epoch; moves: bookings of its hold so far; posted_hour, posted_bytes: when it was last
	 * posted, and the bytes signed by then. account.source: where it was filled from and what
	 * is left goes back to; session: what a hold is for. other: a second offer that contradicts
	 * the first. epoch.state: enum epoch_state; head and edge (the tree's peaks behind it):
	 * NULL until its batch is written; settled.first to last: the numbers of the receipts in
	 * that batch.
	 */
	"ALTER TABLE session ADD COLUMN hold INTEGER NOT NULL DEFAULT 0 CHECK(hold >= 0);"
	"ALTER TABLE session ADD COLUMN paid INTEGER NOT NULL DEFAULT 0 CHECK(paid >= 0);"
	"ALTER TABLE session ADD COLUMN fee_ppm INTEGER NOT NULL DEFAULT 0"
	" CHECK(fee_ppm BETWEEN 0 AND 1000000);"
	"ALTER TABLE session ADD COLUMN fee_account BLOB"
	" CHECK(fee_account IS NULL OR length(fee_account) = 32);"
	"ALTER TABLE session ADD COLUMN settled INTEGER NOT NULL DEFAULT 0 CHECK(settled >= 0);"
	"ALTER TABLE session ADD COLUMN settled_seq INTEGER NOT NULL DEFAULT 0"
	" CHECK(settled_seq >= 0);"
	"ALTER TABLE session ADD COLUMN moves INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE session ADD COLUMN posted_hour INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE session ADD COLUMN posted_bytes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE account ADD COLUMN source INTEGER REFERENCES account(id);"
	"ALTER TABLE account ADD COLUMN session INTEGER;" LEDGER_EARNED
	"CREATE INDEX session_unsettled ON session(key) WHERE seq > settled_seq;"
	"ALTER TABLE txn ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0 CHECK(bytes >= 0);"
	"CREATE INDEX txn_hour ON txn(hour);" EVIDENCE_OTHER
	/* also looked at for every session that is forgotten: a foreign key */
	"CREATE INDEX evidence_session ON evidence(session, kind);"
	"CREATE TABLE promise(id INTEGER PRIMARY KEY,"
	" issuer BLOB NOT NULL CHECK(length(issuer) = 32),"
	" serial BLOB NOT NULL CHECK(length(serial) = 16),"
	" body BLOB NOT NULL CHECK(length(body) = 224),"
	" hour INTEGER NOT NULL,"
	" UNIQUE(issuer, serial)) STRICT;"
	"CREATE TABLE epoch(id INTEGER PRIMARY KEY,"
	" hour INTEGER NOT NULL,"
	" state INTEGER NOT NULL DEFAULT 0 CHECK(state BETWEEN 0 AND 3),"
	" head BLOB CHECK(head IS NULL OR length(head) = 256),"
	" edge BLOB CHECK(state < 2 OR (head NOT NULL AND edge NOT NULL))) STRICT;"
	"CREATE TABLE settled(epoch INTEGER NOT NULL REFERENCES epoch(id),"
	" session INTEGER NOT NULL,"
	" first INTEGER NOT NULL CHECK(first > 0),"
	" last INTEGER NOT NULL CHECK(last >= first),"
	" paid INTEGER NOT NULL CHECK(paid >= before),"
	" before INTEGER NOT NULL CHECK(before >= 0),"
	" PRIMARY KEY(epoch, session)) STRICT, WITHOUT ROWID;",
	/* month: 12 * year + 0..11; bytes: that the relay has carried in it, at most */
	("CREATE TABLE carried(month INTEGER PRIMARY KEY,"
	 " bytes INTEGER NOT NULL CHECK(bytes >= 0)) STRICT;"),
};

static const char *const wallet_steps[] = {
	TABLE_TERMS "CREATE TABLE session(" SESSION_COLUMNS ") STRICT;" TABLE_RECEIPT TABLE_EVIDENCE
		    "CREATE TABLE provider(id INTEGER PRIMARY KEY,"
		    " key BLOB NOT NULL UNIQUE CHECK(length(key) = 32),"
		    " spent INTEGER NOT NULL DEFAULT 0 CHECK(spent >= 0),"
		    " bytes INTEGER NOT NULL DEFAULT 0 CHECK(bytes >= 0)) STRICT;",
	/* what the client's own device had counted, when last written down */
	"ALTER TABLE session ADD COLUMN counted_up INTEGER NOT NULL DEFAULT 0 "
	"CHECK(counted_up >= 0);"
	"ALTER TABLE session ADD COLUMN counted_down INTEGER NOT NULL DEFAULT 0 "
	"CHECK(counted_down >= 0);",
	/* pair: the session it was paired with, relay's and exit's of one tunnel; seen: counted
	 * when the newest receipt was signed */
	"ALTER TABLE session ADD COLUMN pair BLOB CHECK(pair IS NULL OR length(pair) = "
	"16);"
	"ALTER TABLE session ADD COLUMN seen_up INTEGER NOT NULL DEFAULT 0 CHECK(seen_up >= 0);"
	"ALTER TABLE session ADD COLUMN seen_down INTEGER NOT NULL DEFAULT 0 "
	"CHECK(seen_down >= 0);"
	"UPDATE session SET seen_up = counted_up, seen_down = counted_down;" EVIDENCE_OTHER,
};

const struct schema schema_ledger = {
	.what = "a node's ledger",
	.application_id = 0x43756c4c, /* "CulL" */
	.steps = ledger_steps,
	.count = ARRAY_SIZE(ledger_steps),
};

const struct schema schema_wallet = {
	.what = "a client's wallet",
	.application_id = 0x43756c57, /* "CulW" */
	.steps = wallet_steps,
	.count = ARRAY_SIZE(wallet_steps),
};

/* Before anything is written: whose file is it? */
static int schema_check_owner(struct db *db, const char *path, const struct schema *schema,
			      int64_t *version)
{
	int64_t id, objects;
	int err = db_get_i64(db, "PRAGMA application_id", &id);

	if (!err)
		err = db_get_i64(db, "PRAGMA user_version", version);
	if (!err)
		err = db_get_i64(db, "SELECT count(*) FROM sqlite_schema", &objects);
	if (err) {
		log_warnx("%s: is not a readable database; restore a backup or name another file",
			  path);
		return err;
	}
	if (id == 0 && *version == 0 && objects == 0)
		return 0;
	if (id != schema->application_id) {
		log_warnx("%s: is not %s (application id %lld); name another file", path,
			  schema->what, (long long)id);
		return -EINVAL;
	}
	if (*version < 1 || *version > (int64_t)schema->count) {
		log_warnx("%s: was written by a newer culvert (schema %lld, this one knows %zu); "
			  "install that version",
			  path, (long long)*version, schema->count);
		return -EPROTO;
	}
	return 0;
}

/* PRAGMAs take no parameters; both numbers are ours. */
static int schema_set_header(struct db *db, const struct schema *schema)
{
	char sql[96];

	snprintf(sql, sizeof(sql), "PRAGMA application_id=%u; PRAGMA user_version=%zu",
		 schema->application_id, schema->count);
	return db_exec(db, sql);
}

static int schema_upgrade(struct db *db, const struct schema *schema, int64_t version)
{
	int err;

	if (version == (int64_t)schema->count)
		return 0;
	err = db_begin(db);
	for (size_t i = (size_t)version; !err && i < schema->count; i++)
		err = db_exec(db, schema->steps[i]);
	if (!err)
		err = schema_set_header(db, schema);
	if (!err)
		return db_commit(db);
	db_rollback(db);
	return err;
}

/* 0: both list the same objects with the same text. */
static int schema_same(struct db *db, struct db *expected)
{
	static const char list[] = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema "
				   "ORDER BY type, name";
	struct db_stmt *a = db_prepare(db, list), *b = db_prepare(expected, list);
	int more_a, more_b;
	bool same = true;

	do {
		more_a = db_step(a);
		more_b = db_step(b);
		for (int i = 0; more_a == 1 && more_b == 1 && i < 3; i++)
			same = strcmp(db_col_text(a), db_col_text(b)) == 0 && same;
	} while (same && more_a == 1 && more_b == 1);
	db_done(a);
	db_done(b);
	if (more_a < 0 || more_b < 0)
		return more_a < 0 ? more_a : more_b;
	return same && more_a == more_b ? 0 : -EINVAL;
}

/* What the schema must read like is what the same steps make of an empty database. */
static int schema_compare(struct db *db, const char *path, const struct schema *schema)
{
	struct db *expected;
	int err = db_open(&expected, DB_MEMORY, 0);

	if (err)
		return err;
	err = schema_upgrade(expected, schema, 0);
	if (!err)
		err = schema_same(db, expected);
	db_close(expected);
	if (err == -EINVAL)
		log_warnx("%s: its schema was changed by somebody; restore a backup", path);
	return err;
}

static int schema_check_pages(struct db *db, const char *path)
{
	int err = db_check(db);

	if (err)
		log_warnx("%s: is damaged; restore a backup", path);
	return err;
}

int schema_open(struct db **out, const char *path, unsigned flags, const struct schema *schema)
{
	struct db *db;
	int64_t version = 0;
	int err = db_open(&db, path, flags);

	if (err)
		return err;
	err = schema_check_owner(db, path, schema, &version);
	if (!err && !(flags & DB_READONLY))
		err = db_durable(db);
	if (!err)
		err = schema_check_pages(db, path);
	if (!err && (flags & DB_READONLY) && version != (int64_t)schema->count)
		err = -EAGAIN;
	if (!err)
		err = schema_upgrade(db, schema, version);
	if (!err)
		err = schema_compare(db, path, schema);
	if (err) {
		db_close(db);
		return err;
	}
	*out = db;
	return 0;
}
