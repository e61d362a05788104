# MonthlyCap with clocks and books that the test makes up.
WRAP_test_cap = -Wl,--wrap=clock_ms -Wl,--wrap=clock_wall -Wl,--wrap=ledger_carry
