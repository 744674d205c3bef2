# The fuzzers: libFuzzer with clang, in a build folder of their own. Their entries are also built into the unit tests, which
# feed them the corpus.

FUZZERS := handshake transmission names control requests rows reports configuration enrolment
FUZZ_BUILD := build/fuzz
FUZZ_CXX ?= clang++-14
FUZZ_SECONDS ?= 60
FUZZ_FLAGS := -std=c++20 -I. -DDRIVEBAY_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null) \
	-O1 -g1 -fno-omit-frame-pointer -fno-sanitize-recover=all -fsanitize=address,undefined

fuzz_objects = $(patsubst %.cc,$(FUZZ_BUILD)/obj/%.o,$(1))

$(FUZZ_BUILD)/obj/%.o: %.cc
	$(say) FUZZ $<
	@mkdir -p $(@D)
	$(quiet)$(FUZZ_CXX) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

# In an archive, so that each fuzzer takes from it what it needs.
$(FUZZ_BUILD)/drivebay.a: $(call fuzz_objects,$(SOURCES))
	$(say) AR $@
	$(quiet)rm -f $@ && ar rcs $@ $^

define fuzzer_rule
$(FUZZ_BUILD)/obj/tests/fuzz/main_$(1).o: tests/fuzz/libfuzzer_main.cc
	@mkdir -p $$(@D)
	$$(quiet)$$(FUZZ_CXX) $$(FUZZ_FLAGS) -DFUZZ=$(1) -c -o $$@ $$<
$(FUZZ_BUILD)/fuzz_$(1): $$(call fuzz_objects,tests/fuzz/fuzz_$(1).cc) $(FUZZ_BUILD)/obj/tests/fuzz/main_$(1).o \
		$(FUZZ_BUILD)/drivebay.a
	$$(say) LINK $$@
	$$(quiet)$$(FUZZ_CXX) $$(FUZZ_FLAGS) -fsanitize=fuzzer -o $$@ $$^ $$(LINK_LIBS)
endef
$(foreach fuzzer,$(FUZZERS),$(eval $(call fuzzer_rule,$(fuzzer))))

-include $(patsubst %.o,%.d,$(call fuzz_objects,$(SOURCES) $(foreach fuzzer,$(FUZZERS),tests/fuzz/fuzz_$(fuzzer).cc)))

# Not in debian/control: building and testing need no clang.
.PHONY: fuzz fuzzers
fuzz: ## fuzz everything that parses, FUZZ_SECONDS (60) each (FUZZERS="names control"; clang-14 is installed if missing)
	@tests/deps.sh clang-14 libclang-rt-14-dev
	+@$(parallel_make) fuzzers
	@tests/fuzz/run.sh $(FUZZ_BUILD) $(FUZZ_SECONDS) $(FUZZERS)
fuzzers: $(foreach fuzzer,$(FUZZERS),$(FUZZ_BUILD)/fuzz_$(fuzzer))
