# A kernel that lacks offload, or refuses it for a path.
WRAP_test_udp = -Wl,--wrap=sendmmsg,--wrap=sendto,--wrap=setsockopt
WRAP_test_plane_offload = -Wl,--wrap=sendmmsg,--wrap=setsockopt
WRAP_test_pin = -Wl,--wrap=pthread_setaffinity_np
