# The simulator: the programs' own cores in a simulated chassis. Built with the hooks of lib/base/planted_bug.h, which no
# program has, so in a variant of its own (VARIANT=sim).

sim_SOURCES := \
	tests/sim/arbiter_node.cc \
	tests/sim/blade_client.cc \
	tests/sim/blade_fs.cc \
	tests/sim/blade_node.cc \
	tests/sim/chassis.cc \
	tests/sim/chassis_events.cc \
	tests/sim/data_path_node.cc \
	tests/sim/ledger.cc \
	tests/sim/simulate.cc

# What it plays.
sim_CORES := \
	$(filter arbiter/core/%,$(arbiter_SOURCES)) \
	arbiter/store/stored_state_check.cc \
	fusefs/engine/admission_plan.cc \
	fusefs/nbd_client/nbd_pieces.cc \
	fusefs/nbd_client/unanswered_requests.cc \
	fusefs/nbd_server/instance_barrier.cc \
	gadgetd/gadget_planner.cc \
	gadgetd/gadget_report.cc \
	gadgetd/planner_events.cc

$(BUILD)/simulate: $(call objects,$(sim_SOURCES) $(sim_CORES)) $(BUILD)/libdrivebay.a
	$(say) LINK $@
	$(quiet)$(CXX) $(LDFLAGS) $(CXXFLAGS) $(variant_$(VARIANT)) -o $@ $^ $(LINK_LIBS)

-include $(patsubst %.o,%.d,$(call objects,$(sim_SOURCES)))

.PHONY: simulator sim sim-mutants check-sim
simulator:
	+@$(parallel_make) VARIANT=sim BUILD=build/sim build/sim/simulate

SEEDS ?= 2000
sim: simulator ## the simulator of leases under faults: SEEDS=n from a fresh one, or SEED=x alone, step by step
	@build/sim/simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(if $(BUG),--bug $(BUG))
check-sim: sim
sim-mutants: simulator ## plant each known bug in turn and see the simulator find it within 1,000 seeds (BUG=name: one)
	@build/sim/simulate --mutants --seeds 1000 $(if $(BUG),--bug $(BUG))
