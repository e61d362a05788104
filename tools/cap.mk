# MonthlyCap with clocks and books that the test makes up.
WRAP_test_cap = -Wl,--wrap=clock_ms -Wl,--wrap=clock_wall -Wl,--wrap=ledger_carry

# A wall clock that a test sets.
$(B)/tests/net/clock.so: tests/net/clock.c
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CC) $(filter-out -MMD -MP,$(CPPFLAGS)) -std=gnu17 -O2 $(WARN) -fPIC -shared -o $@ $<
tests: $(B)/tests/net/clock.so
