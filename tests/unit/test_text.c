#include "tests/lib/unit.h"

#include "base/text.h"

static void numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		bool good;
		uint64_t value;
	} cases[] = {
		{"0", 0, 0, true, 0},
		{"65535", 1, 65535, true, 65535},
		{"65536", 1, 65535, false, 0},
		{"0", 1, 65535, false, 0},
		{"18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX},
		{"18446744073709551616", 0, UINT64_MAX, false, 0},
		{"99999999999999999999999", 0, UINT64_MAX, false, 0},
		{"", 0, 9, false, 0},
		{"-1", 0, UINT64_MAX, false, 0},
		{"+1", 0, 9, false, 0},
		{" 1", 0, 9, false, 0},
		{"1 ", 0, 9, false, 0},
		{"1x", 0, 9, false, 0},
		{"0x1", 0, 9, false, 0},
		{"1e3", 0, UINT64_MAX, false, 0},
		{"\xb1", 0, 255, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v;
		bool good = text_u64(cases[i].text, cases[i].min, cases[i].max, &v);

		if (good != cases[i].good || (good && v != cases[i].value))
			fail_msg("\"%s\" is read wrongly", cases[i].text);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t value;
	} cases[] = {
		{"1500", true, 1500},
		{"64 MiB", true, 64 << 20},
		{"64MiB", true, 64 << 20},
		{"512KiB", true, 512 << 10},
		{"1 gib", true, 1 << 30},
		{"2 TiB", true, UINT64_C(2) << 40},
		{"7 B", true, 7},
		{"16777215 TiB", true, UINT64_C(16777215) << 40},
		{"16777216 TiB", false, 0},
		{"1 PiB", true, UINT64_C(1) << 50},
		{"15EiB", true, UINT64_C(15) << 60}, /* whatever text_iec may say */
		{"16 EiB", false, 0},
		{"17179869183 GiB", true, UINT64_C(17179869183) << 30},
		{"17179869184 GiB", false, 0},
		{"1.5 GiB", false, 0},
		{"-1 KiB", false, 0},
		{"1 MB", false, 0},
		{"1 k", false, 0},
		{"MiB", false, 0},
		{"", false, 0},
		{" 1 KiB", false, 0},
		{"1 KiB ", false, 0},
		{"000000000000000000000000001", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v;
		bool good = text_bytes(cases[i].text, &v);

		if (good != cases[i].good || (good && v != cases[i].value))
			fail_msg("\"%s\" is read wrongly", cases[i].text);
	}
}

static void hex(void **state)
{
	const uint8_t bytes[4] = {0x00, 0x1f, 0xa0, 0xff};
	uint8_t back[4];
	char out[9];

	(void)state;
	assert_string_equal(text_hex(out, bytes, 4), "001fa0ff");
	assert_string_equal(text_hex(out, bytes, 0), "");
	assert_true(text_unhex(back, 4, "001fa0ff"));
	assert_memory_equal(back, bytes, 4);
	assert_true(text_unhex(back, 4, "001FA0fF"));
	assert_memory_equal(back, bytes, 4);
	assert_false(text_unhex(back, 4, "001fa0f"));
	assert_false(text_unhex(back, 4, "001fa0ff0"));
	assert_false(text_unhex(back, 4, "001fa0fg"));
	assert_false(text_unhex(back, 4, "0x1fa0ff"));
	assert_false(text_unhex(back, 4, "001fa0 f"));
	assert_false(text_unhex(back, 4, ""));
}

static void units(void **state)
{
	char out[TEXT_UNITS];

	(void)state;
	assert_string_equal(text_iec(out, 0), "0 B");
	assert_string_equal(text_iec(out, 1023), "1023 B");
	assert_string_equal(text_iec(out, 1024), "1.0 KiB");
	assert_string_equal(text_iec(out, 1536), "1.5 KiB");
	assert_string_equal(text_iec(out, UINT64_C(3) << 40), "3.0 TiB");
	assert_string_equal(text_iec(out, UINT64_MAX), "16.0 EiB");
}

static void suggestions(void **state)
{
	static const char *const words[] = {"Listen", "ListenPort", "AllowRange", "Price"};
	static const struct {
		const char *typed, *meant;
	} cases[] = {
		{"Listne", "Listen"},
		{"listen", "Listen"},
		{"Listenport", "ListenPort"},
		{"AlowRange", "AllowRange"},
		{"AllowedRange", "AllowRange"},
		{"Prize", "Price"},
		{"Pric", "Price"},
		{"Prcie", "Price"},
		{"Prxxx", NULL},
		{"Endpoint", NULL},
		{"", NULL},
		{"an-option-much-longer-than-anything-we-know-of-at-all", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *found = text_suggest(cases[i].typed, words, ARRAY_SIZE(words));

		if (!found != !cases[i].meant || (found && strcmp(found, cases[i].meant) != 0))
			fail_msg("\"%s\" suggests %s", cases[i].typed, found ? found : "nothing");
	}
	assert_null(text_suggest("Listen", words, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers), cmocka_unit_test(sizes),       cmocka_unit_test(hex),
		cmocka_unit_test(units),   cmocka_unit_test(suggestions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
