# Fault injection: programs that run themselves under fault.so.
FAULTS := $(patsubst tests/fault/%.c,$(B)/tests/fault/%,$(wildcard tests/fault/test_*.c))
FAULT_PARTS := $(B)/tests/fault/cut.o $(B)/tests/fault/facts.o $(B)/tests/fault/scenario.o

$(B)/tests/fault/fault.so: tests/fault/fault.c tests/fault/fault.h
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CC) $(filter-out -MMD -MP,$(CPPFLAGS)) -std=gnu17 -O2 -g $(filter-out -Wshadow,$(WARN)) -fPIC -shared -o $@ $<

$(FAULTS): $(B)/tests/fault/%: $(B)/tests/fault/%.o $(FAULT_PARTS) $(LIBS_A) $$(call objs,tests/lib) | $(B)/tests/fault/fault.so
	@echo "  LD    $@"
	@$(CC) $(LINK) -Wl,--wrap=waitpid -o $@ $(filter %.o,$^) -Wl,--start-group $(LIBS_A) -Wl,--end-group $(LIBS) -lcmocka

.PHONY: fault-build
fault-build: $(BINS) $(FAULTS)
