# test_control counts what a datagram allocates.
WRAP_test_control = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
