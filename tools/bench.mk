# Benchmarks: tests/bench. BENCH_SECONDS is how long the comparison takes, BENCH_ONLY names some of its sections.
# Built in ways of their own, below.
BENCH_APART := tests/bench/lines.c tests/bench/spin.c
BENCHES := $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(filter-out $(BENCH_APART),$(wildcard tests/bench/*.c)))
BENCH_SECONDS ?= 780

$(BENCHES): $(B)/tests/%: $(B)/tests/%.o $(LIBS_A) $$(call objs,tests/lib)
	@echo "  LD    $@"
	@$(CC) $(LINK) -o $@ $(filter %.o,$^) -Wl,--start-group $(LIBS_A) -Wl,--end-group $(LIBS) -lcmocka $(WRAP_$(notdir $@))
$(B)/tests/bench/load: $$(call objs,tests/bench/traffic)

# A history is made without signatures.
WRAP_history = -Wl,--wrap=identity_sign,--wrap=identity_verify

.PHONY: bench-build bench-ledger deps-bench
bench-build: $(BINS) $(RIGS) $(BENCHES)

deps-bench:
	@tools/deps.sh tests bench

# What the books cost, alone; LEDGER_ROWS=10000000 for long ones.
bench-ledger: deps-tests
	@$(MAKE) --no-print-directory V=release bench-build
	@python3 tests/bench/ledger.py

# What setting sessions up costs a relay, and what floods cost data; SETUPS_OPEN=100000 for a full table.
.PHONY: bench-setups bench-sessions
bench-setups: deps-tests
	@$(MAKE) --no-print-directory V=release bench-build
	@python3 tests/bench/setups.py
	@python3 tests/bench/flood.py

# Memory of many sessions, and what they cost while they sleep: some minutes, mostly to set them up.
bench-sessions: deps-tests
	@$(MAKE) --no-print-directory V=release bench-build
	@python3 tests/bench/sessions.py

bench: deps-bench
	@$(MAKE) --no-print-directory V=release bench-build
	@mkdir -p build/bench
	@build/release/tests/bench/micro >build/bench/micro.txt; cat build/bench/micro.txt
	@BENCH_SECONDS=$(BENCH_SECONDS) python3 tests/bench/bench.py
	@python3 tests/bench/ledger.py
	@SETUPS_MS=1500 SETUPS_OPEN=10000 python3 tests/bench/setups.py

# The comparison's figures into the documentation's picture.
.PHONY: bench-picture
bench-picture:
	@python3 tests/bench/bench.py build/bench/compare.json >/dev/null
	@cp build/bench/compare.svg docs/performance.svg

# What workers share, counted: every access to memory is watched (V=lines).
WRAPPED_lines := memcpy memmove memset memcmp malloc calloc aligned_alloc pthread_create recvmmsg sendmmsg write \
                 event_base_new_with_config event_new event_add
comma := ,
$(B)/tests/bench/watch/watch.o: OPT := -O2 -g -fno-omit-frame-pointer
$(B)/tests/bench/lines: $(B)/tests/bench/lines.o $(B)/tests/bench/watch/watch.o $(B)/tests/lib/fakewg.o $(B)/relay.a $(B)/proto.a $(B)/base.a
	@echo "  LD    $@"
	@$(CC) $(LINK) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS) $(WRAPPED_lines:%=-Wl$(comma)--wrap=%)
.PHONY: bench-lines bench-even bench-tunnel bench-spin
bench-lines: deps-tests
	@$(MAKE) --no-print-directory V=lines build/lines/tests/bench/lines
	@python3 tests/bench/lines.py

# How evenly the kernel spreads sessions over workers.
bench-even: deps-tests
	@$(MAKE) --no-print-directory V=release build/release/tests/bench/even
	@python3 tests/bench/even.py

# TCP through wireguard-go; WIREGUARD_GO=FILE for another one than the installed.
bench-tunnel: deps-tests
	@$(MAKE) --no-print-directory V=release all
	@python3 tests/bench/tunnel.py

# What busy polling would buy and cost.
$(B)/tests/bench/spin.so: tests/bench/spin.c
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CC) -D_GNU_SOURCE -std=gnu17 -O2 -g $(WARN) -fPIC -shared -o $@ $<
bench-spin: deps-tests
	@$(MAKE) --no-print-directory V=release bench-build build/release/tests/bench/spin.so
	@python3 tests/bench/spin.py
