# Culvert. `make` builds, `make demo` shows, `make check` tests; `make help` lists the rest.
CC      ?= gcc
V       ?= release
B       := build/$(V)
PREFIX  ?= /usr/local
WG_EMBED ?= /usr/share/doc/wireguard-tools/examples/embeddable-wg-library
VERSION := 0.1.0

LAYERS  := base proto accounting config tunnel control relay exit node client
CULVERTD_LAYERS := node relay exit control tunnel config accounting proto base
CULVERT_LAYERS  := client control tunnel config accounting proto base

WARN    := -Wall -Wextra -Wconversion -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
           -Wvla -Werror
HARDEN  := -fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection
OPT     := -O2 -g -D_FORTIFY_SOURCE=2
LINK    := -pie -Wl,-z,relro,-z,now,-z,noexecstack

ifeq ($(V),asan)
OPT     := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LINK    += -fsanitize=address,undefined
else ifeq ($(V),tsan)
OPT     := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
LINK    += -fsanitize=thread
else ifeq ($(V),clang)
CC      := clang
HARDEN  := -fPIE -fstack-protector-strong
else ifeq ($(V),lines)
# Each access to memory calls a function of tests/bench/watch/watch.c.
OPT     := -O2 -g -fsanitize=thread -fno-builtin-memcpy -fno-builtin-memmove -fno-builtin-memset -fno-builtin-memcmp
else ifeq ($(V),fuzz)
CC      := clang
OPT     := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
HARDEN  := -fPIE
LINK    += -fsanitize=address,undefined
endif

CFLAGS  = -std=gnu17 $(OPT) $(HARDEN) $(WARN)
CPPFLAGS = -I. -D_GNU_SOURCE -DCULVERT_VERSION='"$(VERSION)"' -MMD -MP
LIBS    := -lsodium -levent_extra -levent_core -lsqlite3 -lb2 -linih -ljansson -lmnl -lpthread

LIBS_A  := $(LAYERS:%=$(B)/%.a)
objs     = $(patsubst %.c,$(B)/%.o,$(filter-out %/main.c,$(wildcard $(1)/*.c)))
BINS    := $(patsubst %,$(B)/%,$(if $(wildcard node/main.c),culvertd) $(if $(wildcard client/main.c),culvert))
TESTS   := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
RIGS    := $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/*/rig_*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:
.PHONY: all deps help demo check check-unit check-asan check-tsan check-clang check-kernel check-systemd check-fault \
        lint format fuzz fuzz-build bench install clean tests

all: $(BINS)

$(B)/culvertd: $(B)/node/main.o $(CULVERTD_LAYERS:%=$(B)/%.a)
$(B)/culvert: $(B)/client/main.o $(CULVERT_LAYERS:%=$(B)/%.a)
$(BINS):
	@echo "  LD    $@"
	@$(CC) $(LINK) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

$(LIBS_A): $(B)/%.a: $$(call objs,%)
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcs $@ $^

# wireguard.c is not ours: its own warning flags, from where its package puts it.
$(B)/tunnel/kernel.o: CPPFLAGS += -isystem $(WG_EMBED)
$(B)/tunnel/kernel.o: | $(WG_EMBED)/wireguard.c
$(WG_EMBED)/wireguard.c:
	@echo "culvert: $@ is missing: install wireguard-tools, or give its place with WG_EMBED=dir" >&2; exit 1

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(TESTS) $(RIGS): $(B)/tests/%: $(B)/tests/%.o $(LIBS_A) $$(call objs,tests/lib)
	@$(CC) $(LINK) -o $@ $(filter %.o,$^) -Wl,--start-group $(LIBS_A) -Wl,--end-group $(LIBS) -lcmocka $(WRAP_$(notdir $@))

tests: $(TESTS) $(RIGS)

ifeq ($(V),fuzz)
$(FUZZERS): build/fuzz/tests/fuzz/%: build/fuzz/tests/fuzz/%.o $(LIBS_A)
	@echo "  LD    $@"
	@$(CC) $(LINK) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(LIBS_A) -Wl,--end-group $(LIBS)
fuzz-build: $(FUZZERS)
else
fuzz-build:
	@$(MAKE) --no-print-directory V=fuzz fuzz-build
endif

include $(wildcard tools/*.mk)
-include $(shell find $(B) -name '*.d' 2>/dev/null)
