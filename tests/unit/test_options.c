/* The option table: sane in itself, and the template it writes reads back as the defaults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "config/assign.h"
#include "config/options.h"
#include "config/parse.h"

static struct option_lines lines;
static char text[PARSE_FILE_MAX];

static const struct option_table *const tables[] = {&options_node, &options_client};

/* What config_write puts out, in text; returns the length. */
static size_t written(bool client, const struct config_value *given, size_t count)
{
	int fd = memfd_create("template", 0);
	ssize_t n;

	assert_true(fd >= 0);
	assert_int_equal(config_write(client, fd, given, count), 0);
	n = pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	return (size_t)n;
}

static void test_sane(void **state)
{
	(void)state;
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		assert_true(tables[t]->count <= OPTION_MAX);
		for (size_t i = 0; i < tables[t]->count; i++) {
			const struct option *o = &tables[t]->options[i];

			assert_true(strlen(o->key) <= 24 && strlen(o->section) <= 24);
			assert_true(o->offset < tables[t]->size && o->other < tables[t]->size);
			assert_true(o->min <= o->max);
			assert_true(o->help[strlen(o->help) - 1] == '.');
			for (size_t j = 0; j < i; j++)
				assert_true(strcasecmp(o->section, tables[t]->options[j].section) ||
					    strcasecmp(o->key, tables[t]->options[j].key));
		}
	}
}

/* The template, the template with every comment sign before a default taken away, and an empty
 * file mean the same. */
static void test_round_trip(void **state)
{
	static union {
		struct config_node node;
		struct config_client client;
	} empty, commented, plain;
	char why[CONFIG_ERROR_MAX];
	unsigned line;

	(void)state;
	for (int client = 0; client < 2; client++) {
		const struct option_table *t = tables[client];
		size_t n = written(client, NULL, 0);
		unsigned uncommented = 0, defaults = 0;

		memset(&empty, 0, sizeof(empty));
		commented = plain = empty;
		assert_true(options_parse(t, &empty, "", 0, "/etc/culvert", &lines, &line, why));
		assert_true(
			options_parse(t, &commented, text, n, "/etc/culvert", &lines, &line, why));
		assert_int_equal(lines.top, 0);
		assert_memory_equal(&empty, &commented, sizeof(empty));
		for (size_t i = 0; i < t->count; i++) {
			char wanted[300];
			char *at;

			defaults += t->options[i].initial != NULL;
			if (!t->options[i].initial)
				continue;
			snprintf(wanted, sizeof(wanted), "\n# %s = %s\n", t->options[i].key,
				 t->options[i].initial);
			/* The same line may be there twice (Backend): the first still commented. */
			at = strstr(text, wanted);
			assert_non_null(at);
			memcpy(at, "\n  ", 3);
			uncommented++;
		}
		assert_int_equal(uncommented, defaults);
		if (!options_parse(t, &plain, text, n, "/etc/culvert", &lines, &line, why))
			fail_msg("line %u: %s", line, why);
		assert_int_equal(lines.top, defaults);
		assert_memory_equal(&empty, &plain, sizeof(empty));
	}
}

static void test_defaults(void **state)
{
	static struct config_node c;
	char why[CONFIG_ERROR_MAX];
	unsigned line;

	(void)state;
	assert_true(options_parse(&options_node, &c, "", 0, "/etc/culvert", &lines, &line, why));
	assert_string_equal(c.identity, "/etc/culvert/identity.key");
	assert_string_equal(c.data_dir, "/var/lib/culvert");
	assert_int_equal(c.network, 1);
	assert_int_equal(c.listen.port, 51820);
	assert_int_equal(c.window_start, 1 << 20);
	assert_int_equal(c.window_cap, 64 << 20);
	assert_int_equal(c.receipt_seconds, 30);
	assert_int_equal(c.loss_ppm, 50000);
	assert_int_equal(c.loss_bytes, 8 << 20);
	assert_int_equal(c.pool4.bits, 16);
	assert_int_equal(c.pool6.bits, 64);
	assert_false(c.allow_smtp);
}

static void test_given(void **state)
{
	static const struct config_value given[] = {
		{"Node", "Name", "heron"},
		{"Node", "Announce", "203.0.113.5:51820"},
		{"Node", "Announce", "[2001:db8::5]:51820"},
	};
	static struct config_node c;
	char why[CONFIG_ERROR_MAX];
	unsigned line;
	size_t n;

	(void)state;
	n = written(false, given, ARRAY_SIZE(given));
	assert_true(options_parse(&options_node, &c, text, n, "", &lines, &line, why));
	assert_string_equal(c.name, "heron");
	assert_int_equal(c.announce4.port, 51820);
	assert_int_equal(c.announce6.port, 51820);
	assert_int_equal(option_line(&lines, "Node", "Announce", 1),
			 option_line(&lines, "Node", "Announce", 0) + 1);
	assert_int_equal(option_line(&lines, "Node", "Announce", 2), 0);
	for (const char *l = text; *l; l += strcspn(l, "\n") + 1)
		assert_true(strcspn(l, "\n") <= 100);
}

static char page[1 << 16];

/* The end of what follows pattern (on lines of its own) in page from `from` on, or a failure. */
static char *after(char *from, const char *before, const char *word, const char *behind)
{
	char wanted[300];
	char *at;

	snprintf(wanted, sizeof(wanted), "\n%s%s%s\n", before, word, behind);
	at = strstr(from, wanted);
	if (!at)
		fail_msg("culvert.conf.5: no %s%s%s", before, word, behind);
	return at + strlen(wanted) - 1;
}

/* culvert.conf(5) has every option under its section with its default, and no other. */
static void test_manual(void **state)
{
	static const char *const parts[] = {"CULVERTD", "CULVERT UP"};
	size_t items = 0, options = 0;

	(void)state;
	assert_true(file_read("docs/man/culvert.conf.5", page, sizeof(page) - 1) > 0);
	for (const char *at = page; (at = strstr(at, "\n.It Ic ")); at++)
		items++;
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		char *at = after(page, ".Sh ", parts[t], "");

		for (size_t i = 0; i < tables[t]->count; i++, options++) {
			const struct option *o = &tables[t]->options[i];
			char *end;

			if (i == 0 || strcmp(o->section, o[-1].section) != 0)
				at = after(at, ".Ss [", o->section, "]");
			at = after(at, ".It Ic ", o->key, "");
			end = strstr(at, "\n.E");
			if (strstr(at, "\n.It") && strstr(at, "\n.It") < end)
				end = strstr(at, "\n.It");
			/* The default's line ends where the item does. */
			end[1] = '\0';
			if (o->initial)
				after(at, ".Ql ", o->initial, " .");
			end[1] = '.';
		}
	}
	assert_int_equal(items, options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sane),     cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_given),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
