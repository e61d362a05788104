/*
 * One parser per type of value, shared by the config file and the command line. Each fills *out on
 * true; on false *out may be anything. None prints; none keeps a pointer to text. Pure.
 */
#ifndef CONFIG_VALUES_H
#define CONFIG_VALUES_H

#include "config/config.h"

/* [a-z0-9-]{1,31}, as in descriptors. */
MUST_CHECK bool parse_name(char out[static 32], const char *text);
/* "relay", "exit", or both with a comma: bits of enum role. */
MUST_CHECK bool parse_roles(uint8_t *out, const char *text);
/* A path; a relative one is put behind dir (may be empty: the working directory). */
MUST_CHECK bool parse_path(char out[static CONFIG_PATH_MAX], const char *dir, const char *text);
/* Decimal, or hexadecimal after 0x. */
MUST_CHECK bool parse_number(uint64_t *out, const char *text, uint64_t min, uint64_t max);
/* "30", "30 s", "5 min", "2 h": seconds. */
MUST_CHECK bool parse_seconds(uint64_t *out, const char *text);
/* "50 Mbit/s", "800 kbit/s", "1 Gbit/s": bytes a second; "none" or 0: 0. The unit is needed. */
MUST_CHECK bool parse_rate(uint64_t *out, const char *text);
/* "10000 ppm", "1 %", "0.25 %": parts per million, exactly. */
MUST_CHECK bool parse_share(uint64_t *out, const char *text);
MUST_CHECK bool parse_yes_no(bool *out, const char *text);
MUST_CHECK bool parse_log_level(enum log_level *out, const char *text);
/* What the kernel takes for the name of an interface. */
MUST_CHECK bool parse_interface(char out[static 16], const char *text);
/* One of count words, any case; out gets the table's spelling. */
MUST_CHECK bool parse_word(char out[static 16], const char *text, const char *const *words,
			   size_t count);
/* An address without a port (port becomes 0). */
MUST_CHECK bool parse_ip(struct net_addr *out, const char *text);
/* A network: no bits set behind the prefix length. */
MUST_CHECK bool parse_prefix(struct config_prefix *out, const char *text);

#endif
