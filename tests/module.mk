# How the tests are run. Each runner ends with a line "NAME: N passed, N failed, N skipped"; tests/summary.sh adds them up.

REPORTS := $(BUILD)/reports

.PHONY: check
check: deps ## build and run every test: unit, native mounts, kills, cut links, the virtual chassis (VARIANT=asan: with sanitizers)
	@tests/check.sh $(if $(V),V=$(V)) BUILD=$(BUILD) VARIANT=$(VARIANT)

.PHONY: check-unit
check-unit: $(BUILD)/unit-tests all ## the unit tests alone
	@tests/unit/run.sh $(BUILD)

# Compiled as the programs are: it is to be as quick as the drive.
random_operations_MAIN := tests/mount/random_operations.cc

$(BUILD)/random-operations: $(call objects,$(random_operations_MAIN)) $(BUILD)/libdrivebay.a
	$(say) LINK $@
	$(quiet)$(CXX) $(LDFLAGS) $(CXXFLAGS) $(variant_$(VARIANT)) -o $@ $^ -lpthread -lfmt

-include $(patsubst %.o,%.d,$(call objects,$(random_operations_MAIN)))

.PHONY: check-mount
check-mount: all $(BUILD)/random-operations ## real daemons and FUSE mounts on this machine
	@tests/mount/run.sh $(BUILD)

.PHONY: check-kill
check-kill: all ## kill -9 of the arbiter and the data path, 50 times each, while blades write and drives change hands
	@tests/kill/kill_loops.py --build $(BUILD) $(if $(SEED),--seed $(SEED))

.PHONY: check-partitions
check-partitions: all ## cut links and stopped processes, in network namespaces
	@tests/kill/partitions.py --build $(BUILD)

.PHONY: check-long
check-long: deps ## what takes too long for check: 10,000 simulated storms, every planted bug, a million random operations on a file, 3,000 kills (SEED=N: the same kills), upgrades and removal of the packages, reproducible builds, hosts that boot and run on machines of their own
	+@$(parallel_make) all $(BUILD)/random-operations chassis-kernel
	@$(MAKE) --no-print-directory sim SEED= SEEDS=10000
	@$(MAKE) --no-print-directory sim-mutants
	@LIMIT=3600 OPERATIONS=1000000 tests/mount/run.sh $(BUILD) a_byte_read_is_not_the_byte_written
	@nice tests/kill/kill_loops.py --build $(BUILD) --work $(BUILD)/kill/long --arbiter-kills 2000 --datapath-kills 1000 \
		--seconds 3600 $(if $(SEED),--seed $(SEED))
	@tests/chassis/run.py --build $(BUILD) --tests tests/chassis/long
	@tests/packages/run.sh $(BUILD) test_debs
	@tests/chassis/run.py --build $(BUILD) --tests tests/packages/long
	@tests/packages/reproducible.sh

.PHONY: check-chassis
check-chassis: all chassis-kernel ## real kernels, gadget driver and USB stack, in virtual machines
	@tests/chassis/run.py --build $(BUILD)

.PHONY: check-packages
check-packages: all chassis-kernel ## the packages: made from BUILD, and installed on virtual machines with systemd (ONLY=name: one file or test)
	@tests/packages/run.sh $(BUILD) $(ONLY)

.PHONY: chassis-kernel
chassis-kernel:
	@tests/chassis/kernel.sh build/chassis

.PHONY: demo
demo: deps ## boot a management module and two blades, and tell the story (KEEP=1: leave them running)
	+@$(parallel_make) all chassis-kernel
	@tests/chassis/demo.py --build $(BUILD) $(if $(KEEP),--keep)
