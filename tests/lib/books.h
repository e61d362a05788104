/* What tests of the books share: identities, a directory on a real disk, a ledger's config. */
#ifndef TESTS_LIB_BOOKS_H
#define TESTS_LIB_BOOKS_H

#include "accounting/ledger.h"

/* An identity out of one byte. */
void test_identity(struct identity *out, uint8_t n);

/* A new empty directory below build/ (never tmpfs: fatal), and its removal with all it holds. */
#define TEST_DIR 128
void test_dir_make(char out[static TEST_DIR]);
void test_dir_remove(const char *dir);

/* identity 1, relay and exit, 1 MiB to 64 MiB, 1000 a GiB, a free allowance; files in dir. */
void test_ledger_config(struct ledger_config *out, const char *dir);

#endif
