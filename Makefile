# A thin front of Meson and Ninja. `make help` lists the goals.

BUILD := build
PREFIX ?= /usr/local

.PHONY: all demo test check-all check-runtime bench bench-pt bench-reclaim bench-runtime install clean help deps deps-test check-model check-proof check-programs soak
.DEFAULT_GOAL := all

all: deps $(BUILD)/build.ninja
	@ninja -C $(BUILD)

demo: all
	@tools/demo $(BUILD)/quire

test: deps-test $(BUILD)/build.ninja
	@ninja -C $(BUILD)
	@tools/run-tests $(BUILD)

bench: all bench-pt
	@bench/run $(BUILD)
	@$(MAKE) --no-print-directory bench-reclaim

bench-pt: $(BUILD)/build.ninja
	@tools/install-deps build bench
	@bench/pt $(BUILD)

# Faults of the access patterns, and wall times of large programs in small machines, under each policy: a quarter of an hour.
bench-reclaim: deps-test all
	@bench/patterns $(BUILD)
	@QUIRE_BUILD=$(abspath $(BUILD)) tests/long/large_programs.py --quick --policies all --programs sort,sqlite,python,xz --rounds 3

# libquire beside Linux's mmap and a buffer manager by hand; takes a quarter of an hour.
bench-runtime: all
	@ninja -C $(BUILD) bench/bench-runtime
	@bench/runtime/run $(BUILD)

# All checks there are, the long ones too.
check-all: test check-model check-proof check-runtime check-programs soak

# The runtime for longer: 500 kills, and 40 seconds of each kind of store with everything else at random.
check-runtime: deps-test $(BUILD)/build.ninja
	@QUIRE_KILLS=250 QUIRE_MATRIX=40 tools/run-tests $(BUILD) kill matrix matrix-races snapshot snapshot-races runtime

# Every order of steps of the models in tests/model.
check-model:
	@tools/install-deps model
	@tools/check-model

# Proofs of the arithmetic of addresses, tests/proof.
check-proof:
	@tools/install-deps proof
	@tools/check-proof

# Hours: large programs in full size, with every policy and scope, and 200 kills of the machine. What has passed is noted in
# $(BUILD)/large-programs.notes and not done again.
check-programs: deps-test all
	@tests/long/kills.py --kills 200
	@tests/long/large_programs.py --resume $(BUILD)/large-programs.notes

# Random programs in random machines, for so many seconds. Each round says its seed, and how to do it again.
SECONDS ?= 1200
SEED ?= 1
soak: deps-test $(BUILD)/build.ninja
	@ninja -C $(BUILD)
	@QUIRE_BUILD=$(abspath $(BUILD)) tests/long/soak.py --seconds $(SECONDS) --seed $(SEED)

install: all
	@meson install -C $(BUILD) --no-rebuild

clean:
	@rm -rf $(BUILD)

deps:
	@tools/install-deps build

deps-test:
	@tools/install-deps build test

# The setup of a folder that was left half done starts afresh.
$(BUILD)/build.ninja: | deps
	@rm -rf $(BUILD)
	@meson setup --prefix $(PREFIX) $(BUILD)

help:
	@echo "make           build everything; the command is $(BUILD)/quire"
	@echo "make demo      boot, sort the words of real texts from a shared folder, print the paging report"
	@echo "make test      run every test; the last line is 'N passed, N failed'"
	@echo "make bench     instructions of the main operations; make bench-pt: the page-table library alone;"
	@echo "                make bench-reclaim: faults of access patterns and times of large programs under each policy"
	@echo "make bench-runtime  libquire beside Linux's mmap and a buffer manager by hand"
	@echo "make check-all  every check there is, hours; make check-runtime: the runtime for longer"
	@echo "make check-model  every order of steps of the flush protocol's models"
	@echo "make check-proof  proofs of the arithmetic of addresses"
	@echo "make check-programs  programs far larger than memory with each policy and scope, 200 kills of the machine: hours"
	@echo "make soak      random programs in random machines for 20 minutes (SECONDS=N SEED=N): nothing wrong, nothing leaked"
	@echo "make install   install under PREFIX ($(PREFIX))"
	@echo "make clean     remove $(BUILD)"
