# The fuzzers: libFuzzer with clang, in a build folder of their own. Their entries are also built into the unit tests, which
# feed them the corpus.

FUZZERS := handshake transmission names control enrolment
FUZZ_BUILD := build/fuzz
FUZZ_CXX ?= clang++-14
FUZZ_SECONDS ?= 60
FUZZ_FLAGS := -std=c++20 -I. -DDRIVEBAY_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null) \
	-O1 -g1 -fno-omit-frame-pointer -fno-sanitize-recover=all -fsanitize=address,undefined

fuzz_base := $(filter lib/base/% lib/protocol/% lib/tls/% lib/config/%,$(lib_SOURCES)) lib/rpc/endpoint.cc
# In an archive, so that each fuzzer takes from it what it needs, however the rooms are arranged.
fuzz_data_path := $(filter fusefs/engine/% fusefs/loop/% fusefs/nbd_server/%,$(fusefs_SOURCES))
fuzz_handshake_SOURCES := fusefs/nbd_server/nbd_handshake.cc
fuzz_transmission_ARCHIVE := $(FUZZ_BUILD)/data_path.a
fuzz_names_SOURCES := fusefs/fuse_front/fuse_range.cc fusefs/fuse_front/fuse_tree.cc
fuzz_enrolment_SOURCES := arbiter/api/rights.cc
fuzz_control_SOURCES := arbiter/api/request_body.cc fusefs/nbd_client/nbd_negotiation.cc

fuzz_objects = $(patsubst %.cc,$(FUZZ_BUILD)/obj/%.o,$(1))

$(FUZZ_BUILD)/obj/%.o: %.cc
	$(say) FUZZ $<
	@mkdir -p $(@D)
	$(quiet)$(FUZZ_CXX) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$(FUZZ_BUILD)/base.a: $(call fuzz_objects,$(fuzz_base))
$(FUZZ_BUILD)/data_path.a: $(call fuzz_objects,$(fuzz_data_path))
$(FUZZ_BUILD)/%.a:
	$(say) AR $@
	$(quiet)rm -f $@ && ar rcs $@ $^

define fuzzer_rule
$(FUZZ_BUILD)/obj/tests/fuzz/main_$(1).o: tests/fuzz/libfuzzer_main.cc
	@mkdir -p $$(@D)
	$$(quiet)$$(FUZZ_CXX) $$(FUZZ_FLAGS) -DFUZZ=$(1) -c -o $$@ $$<
$(FUZZ_BUILD)/fuzz_$(1): $$(call fuzz_objects,tests/fuzz/fuzz_$(1).cc $$(fuzz_$(1)_SOURCES)) \
		$(FUZZ_BUILD)/obj/tests/fuzz/main_$(1).o $$(fuzz_$(1)_ARCHIVE) $(FUZZ_BUILD)/base.a
	$$(say) LINK $$@
	$$(quiet)$$(FUZZ_CXX) $$(FUZZ_FLAGS) -fsanitize=fuzzer -o $$@ $$^ $$(LINK_LIBS)
endef
$(foreach fuzzer,$(FUZZERS),$(eval $(call fuzzer_rule,$(fuzzer))))

-include $(patsubst %.o,%.d,$(call fuzz_objects,$(fuzz_base) $(fuzz_data_path) \
	$(foreach fuzzer,$(FUZZERS),tests/fuzz/fuzz_$(fuzzer).cc $(fuzz_$(fuzzer)_SOURCES))))

# Not in debian/control: building and testing need no clang.
.PHONY: fuzz fuzzers
fuzz: ## fuzz everything that parses, FUZZ_SECONDS (60) each (FUZZERS="names control"; clang-14 is installed if missing)
	@tests/deps.sh clang-14 libclang-rt-14-dev
	@$(MAKE) --no-print-directory fuzzers
	@tests/fuzz/run.sh $(FUZZ_BUILD) $(FUZZ_SECONDS) $(FUZZERS)
fuzzers: $(foreach fuzzer,$(FUZZERS),$(FUZZ_BUILD)/fuzz_$(fuzzer))
