/* Checking bytes as a batch, for the tests that do. */
#ifndef TESTS_UNIT_BATCH_CHECKS_H
#define TESTS_UNIT_BATCH_CHECKS_H

#include "tests/lib/unit.h"

#include <errno.h>

#include "accounting/batch_verify.h"
#include "tests/lib/batches.h"

static struct batch_fault fault;
static struct batch_head head;

static inline int verify_bytes(struct batch_chain *c, const uint8_t *bytes, size_t len)
{
	static const uint8_t nothing[1];
	FILE *in = fmemopen((void *)(uintptr_t)(len ? bytes : nothing), len ? len : 1, "r");
	int err;

	assert_non_null(in);
	err = batch_chain_next(c, in, &head, &fault);
	fclose(in);
	assert_true((err == -EBADMSG) == (fault.reason != BATCH_OK));
	if (err == -EBADMSG) {
		char text[BATCH_FAULT_TEXT];

		assert_non_null(fault.why);
		assert_non_null(strstr(batch_fault_text(text, &fault), fault.why));
		assert_true(fault.offset <= len);
		assert_true(*batch_reason_name(fault.reason));
	}
	return err;
}

/* The reason a file is refused for behind the first `before` files of the chain. */
static inline enum batch_reason reason_after(unsigned before, const uint8_t *bytes, size_t len,
					     const struct batch_rules *rules)
{
	struct batch_chain *c = batch_chain_create(rules);
	int err;

	for (unsigned n = 1; n <= before; n++)
		assert_int_equal(
			verify_bytes(c, batch_world_file(n)->bytes, batch_world_file(n)->len), 0);
	err = verify_bytes(c, bytes, len);
	assert_true(err == 0 || err == -EBADMSG);
	batch_chain_free(c);
	return fault.reason;
}

static const struct batch_rules any_rules;

static inline enum batch_reason reason_of(const struct forged *f, unsigned before)
{
	return reason_after(before, f->bytes, f->len, &any_rules);
}

static inline void assert_reason(enum batch_reason found, enum batch_reason expected)
{
	char text[BATCH_FAULT_TEXT] = "";

	if (found != expected)
		fail_msg("refused as %s, not %s (%s)", batch_reason_name(found),
			 batch_reason_name(expected),
			 found ? batch_fault_text(text, &fault) : "accepted");
}

static inline struct batch_account *account(struct forged *f, const struct identity *who)
{
	for (uint32_t i = 0; i < f->account_count; i++)
		if (memcmp(f->accounts[i].key, who->id, KEY_LEN) == 0)
			return &f->accounts[i];
	fail_msg("no such account");
	return NULL;
}

static inline void add_to(le64 *v, int64_t n)
{
	*v = le64_of(le64_get(*v) + (uint64_t)n);
}

#endif
