# Counts what a datagram allocates.
WRAP_test_control_hostile = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
