# Measurements: never part of `make check`. What they load with is compiled as the programs are.

bench_MAINS := tests/bench/arbiter/http_load.cc tests/bench/arbiter/session_load.cc tests/bench/data_path/gate_cost.cc

$(BUILD)/bench/http-load: $(BUILD)/obj/tests/bench/arbiter/http_load.o $(BUILD)/libdrivebay.a
$(BUILD)/bench/session-load: $(BUILD)/obj/tests/bench/arbiter/session_load.o $(BUILD)/libdrivebay.a
$(BUILD)/bench/gate-cost: $(BUILD)/obj/tests/bench/data_path/gate_cost.o $(BUILD)/libdrivebay.a
$(BUILD)/bench/http-load $(BUILD)/bench/session-load $(BUILD)/bench/gate-cost:
	$(say) LINK $@
	@mkdir -p $(@D)
	$(quiet)$(CXX) $(LDFLAGS) $(CXXFLAGS) $(variant_$(VARIANT)) -o $@ $^ -lpthread -lfmt

-include $(patsubst %.o,%.d,$(call objects,$(bench_MAINS)))

.PHONY: bench bench-arbiter bench-blade
bench: deps ## measure the data path beside its peers: table, JSON, picture (some 9 minutes; root)
	+@$(parallel_make) all $(BUILD)/bench/gate-cost
	@tests/bench/data_path/run.py --build $(BUILD)

bench-blade: deps ## measure a blade's host device beside a plain local file, in the virtual chassis (some 6 minutes)
	+@$(parallel_make) all chassis-kernel
	@tests/bench/blade/run.py --build $(BUILD)

bench-arbiter: deps ## measure the arbiter, side by side with etcd (some 3 minutes; root)
	+@$(parallel_make) all $(BUILD)/bench/http-load $(BUILD)/bench/session-load
	@tests/bench/arbiter/run.py --build $(BUILD)
