# Measurements: never part of `make check`. What they load with is compiled as the programs are.

bench_MAINS := tests/bench/arbiter/http_load.cc tests/bench/arbiter/session_load.cc

$(BUILD)/bench/http-load: $(BUILD)/obj/tests/bench/arbiter/http_load.o $(BUILD)/libdrivebay.a
$(BUILD)/bench/session-load: $(BUILD)/obj/tests/bench/arbiter/session_load.o $(BUILD)/libdrivebay.a
$(BUILD)/bench/http-load $(BUILD)/bench/session-load:
	$(say) LINK $@
	@mkdir -p $(@D)
	$(quiet)$(CXX) $(LDFLAGS) $(CXXFLAGS) $(variant_$(VARIANT)) -o $@ $^ -lpthread

-include $(patsubst %.o,%.d,$(call objects,$(bench_MAINS)))

.PHONY: bench-arbiter
bench-arbiter: all $(BUILD)/bench/http-load $(BUILD)/bench/session-load ## measure the arbiter, side by side with etcd (some 3 minutes; root)
	@tests/bench/arbiter/run.py --build $(BUILD)
