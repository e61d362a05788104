# Counts what a datagram allocates, and its public-key operations.
WRAP_test_control_hostile = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=x25519,--wrap=x25519_public
