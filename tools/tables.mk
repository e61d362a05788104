# Tests of tables.
WRAP_test_table = -Wl,--wrap=siphash
