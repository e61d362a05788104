/*
 * Power cuts, simulated: what a disk may hold if the power goes after any operation of a trace.
 * What was synced is there. Of what was not, any part may be: whole writes or sectors of 512 bytes
 * of them, in any order, and names (made, renamed, removed) whose directory was not synced.
 */
#ifndef TESTS_FAULT_CUT_H
#define TESTS_FAULT_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/fault/fault.h"

#define SCENARIO_PATH 256

struct cut;

/* dir: the absolute path in the trace; before: a copy of it as it was when the trace began. */
struct cut *cut_load(const char *trace, const char *dir, const char *before);
void cut_free(struct cut *c);

size_t cut_count(const struct cut *c);
const struct trace_record *cut_record(const struct cut *c, size_t i, const void **data);
/* Does record i write to the file of this name, or change its length? */
bool cut_touches(const struct cut *c, size_t i, const char *name);

/* Makes directory `to` as after the first `count` records and a cut; seed decides what of the
 * unsynced is kept. */
void cut_make(struct cut *c, size_t count, uint64_t seed, const char *to);

#endif
