# Tests. One runner (tests/run.py) runs what was built and prints the closing line.
RUN := python3 tests/run.py

help:
	@echo "all deps demo check check-unit check-asan check-tsan check-clang check-kernel check-systemd check-fault lint format fuzz install clean"
	@echo "bench bench-ledger bench-setups bench-sessions bench-lines bench-even bench-tunnel bench-spin bench-picture"

deps:
	@tools/deps.sh tests kernel boot

# What demo and check need is installed on the way, so that each works as the first command.
.PHONY: deps-tests deps-kernel deps-boot
deps-tests:
	@tools/deps.sh tests
deps-kernel:
	@tools/deps.sh tests kernel
deps-boot:
	@tools/deps.sh tests boot

# V=... builds happen in a make of their own: the variant decides flags for every file.
check: deps-tests
	@$(MAKE) --no-print-directory V=release all tests fault-build
	@$(MAKE) --no-print-directory V=lines build/lines/tests/bench/lines
	@$(RUN) build/release unit net tests/bench/lines.py $(patsubst tests/fault/%.c,build/release/tests/fault/%,$(wildcard tests/fault/test_*.c))

check-unit: deps-tests
	@$(MAKE) --no-print-directory V=$(V) all tests
	@$(RUN) build/$(V) unit

# The sanitizers take several times as long for each.
check-asan check-tsan: export WORLDS ?= 200
check-asan check-tsan: check-%: deps-tests
	@$(MAKE) --no-print-directory V=$* all tests
	@$(RUN) build/$* unit net

check-clang: deps-tests
	@$(MAKE) --no-print-directory V=clang all tests
	@$(RUN) build/clang unit

lint:
	@python3 tools/lint.py

format:
	@clang-format-14 -i $$(git ls-files -co --exclude-standard '*.c' '*.h')

# FUZZ_SECONDS each, one after the other, ASan and UBSan on.
FUZZ_SECONDS ?= 300
fuzz: deps-tests fuzz-build
	@tests/fuzz/run.sh $(FUZZ_SECONDS)

clean:
	@rm -rf build

check-kernel: deps-kernel
	@$(MAKE) --no-print-directory V=release all
	@tests/kernel/run.sh build/release tests/net/test_main.py

check-systemd: deps-boot
	@$(MAKE) --no-print-directory V=release all tests
	@CULVERT_BUILD=build/release python3 tests/systemd/test_systemd.py

# Long: promises under kill -9, power cuts and failing disks, at full counts. These shorten it.
check-fault: export FAULT_KILLS ?= 200
check-fault: export LEDGER_KILLS ?= 10000
check-fault: export FAULT_CUTS ?= 10000
check-fault: export FAULT_STRIDE ?= 1
check-fault: export WORLDS ?= 5000
check-fault: export REPLAYS ?= 1000000
check-fault: deps-tests
	@$(MAKE) --no-print-directory V=release all tests fault-build
	@$(RUN) build/release $(sort $(wildcard tests/fault/test_*.py)) build/release/tests/unit/test_ledger_kill \
	build/release/tests/unit/test_store_worlds build/release/tests/unit/test_replay \
	$(patsubst tests/fault/%.c,build/release/tests/fault/%,$(sort $(wildcard tests/fault/test_*.c)))

demo: deps-tests
	@$(MAKE) --no-print-directory V=release all
	@python3 tools/demo.py
