# An agent that never gets anywhere.
WRAP_test_up = -Wl,--wrap=agent_run
