# drivebay: `make help` lists the targets. One make process; each folder's module.mk lists its sources.

VARIANT ?= release
BUILD ?= build/$(VARIANT)
prefix ?= /usr
sbindir ?= $(prefix)/sbin
bindir ?= $(prefix)/bin
mandir ?= $(prefix)/share/man
sysconfdir ?= /etc
DESTDIR ?=

VERSION := 0.1.0
PROGRAMS := drivebayfs drivebay-arbiterd drivebay-gadgetd drivebay
ROOMS := lib fusefs arbiter gadgetd cli

CXX ?= g++
CXXFLAGS ?= -O2
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
PACKAGES := fuse3 libnbd libconfig++ sqlite3 fmt openssl
# What Debian builds packages with (dpkg-buildflags, hardening=+all), so that the packages are the programs that were tested;
# no path of the build folder gets into them.
variant_release := -g1 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection \
	-Wformat -Werror=format-security -ffile-prefix-map=$(CURDIR)=.
link_release := -Wl,-z,relro,-z,now
variant_debug := -O0 -g
variant_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
variant_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
variant_sim := -g1 -DDRIVEBAY_WITH_PLANTED_BUGS
ifeq ($(filter $(VARIANT),release debug asan tsan sim),)
$(error VARIANT is release, debug, asan or tsan, not '$(VARIANT)')
endif

COMPILE_FLAGS := -std=c++20 $(WARNINGS) -I. -DDRIVEBAY_VERSION='"$(VERSION)"' \
	$(shell pkg-config --cflags $(PACKAGES) 2>/dev/null) $(CPPFLAGS) $(CXXFLAGS) $(variant_$(VARIANT))
LINK_LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -laio -lpthread
# A test's own code is compiled about as often as it runs.
TEST_FLAGS := $(if $(filter release,$(VARIANT)),-O0)

include $(wildcard $(addsuffix /module.mk,$(ROOMS)))

# Another make, on all processors unless this one was told on how many.
parallel_make = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# $(call objects,sources)
objects = $(patsubst %.cc,$(BUILD)/obj/%.o,$(1))

SOURCES := $(foreach room,$(ROOMS),$($(room)_SOURCES))
# The fuzzers' entries too, which the unit tests feed with what was once found.
TESTS := $(foreach room,$(ROOMS),$($(room)_TESTS)) tests/unit/main.cc \
	tests/unit/fuzz_corpus_test.cc $(wildcard tests/fuzz/fuzz_*.cc)
MAINS := $(foreach program,$(PROGRAMS),$($(program)_MAIN))

drivebayfs_ROOM := fusefs
drivebay-arbiterd_ROOM := arbiter
drivebay-gadgetd_ROOM := gadgetd
drivebay_ROOM := cli

ifeq ($(V),1)
quiet :=
say := @:
else
quiet := @
say := @printf '  %-4s %s\n'
endif

.PHONY: all
all: $(addprefix $(BUILD)/,$(PROGRAMS))

define program_rule
$(BUILD)/$(1): $$(call objects,$$($(1)_MAIN) $$($$($(1)_ROOM)_SOURCES)) $(BUILD)/libdrivebay.a
	$$(say) LINK $$@
	$$(quiet)$$(CXX) $$(link_$$(VARIANT)) $$(LDFLAGS) $$(CXXFLAGS) $$(variant_$$(VARIANT)) -o $$@ $$^ $$(LINK_LIBS)
endef
$(foreach program,$(PROGRAMS),$(eval $(call program_rule,$(program))))

$(BUILD)/libdrivebay.a: $(call objects,$(lib_SOURCES))
	$(say) AR $@
	$(quiet)rm -f $@ && ar rcs $@ $^

$(BUILD)/unit-tests: $(call objects,$(TESTS) $(filter-out $(lib_SOURCES),$(SOURCES))) $(BUILD)/libdrivebay.a
	$(say) LINK $@
	$(quiet)$(CXX) $(LDFLAGS) $(CXXFLAGS) $(variant_$(VARIANT)) -o $@ $^ $(LINK_LIBS) -lboost_unit_test_framework

$(BUILD)/obj/%.o: %.cc $(BUILD)/flags
	$(say) CXX $<
	@mkdir -p $(@D)
	$(quiet)$(CXX) $(COMPILE_FLAGS) $(if $(filter tests/unit/%,$<),$(TEST_FLAGS)) -MMD -MP -c -o $@ $<

# Rebuilt when the flags or the compiler change, and only then: where the tree lies is of no account.
compiled_with = $(CXX) $(filter-out -ffile-prefix-map=%,$(COMPILE_FLAGS))
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(compiled_with)' | cmp -s - $@ || printf '%s\n' '$(compiled_with)' > $@
.PHONY: FORCE
FORCE:

-include $(patsubst %.o,%.d,$(call objects,$(SOURCES) $(TESTS) $(MAINS)))

include tests/module.mk tests/sim/module.mk tests/bench/module.mk tests/fuzz/module.mk

.PHONY: deps
deps: ## install what building and testing need (from debian/control); nothing to do when all is there
	@tests/deps.sh

unitdir ?= /lib/systemd/system
helperdir ?= /sbin
completions := $(prefix)/share/bash-completion/completions

.PHONY: install
install: all ## install into $(DESTDIR)$(prefix)
	install -d $(addprefix $(DESTDIR),$(sbindir) $(bindir) $(helperdir) $(unitdir) $(mandir)/man5 $(mandir)/man8 $(completions) \
		$(prefix)/share/zsh/vendor-completions $(prefix)/lib/sysusers.d $(prefix)/lib/tmpfiles.d $(prefix)/lib/modules-load.d \
		$(sysconfdir)/drivebay/conf.d $(sysconfdir)/logrotate.d)
	install $(BUILD)/drivebay-arbiterd $(BUILD)/drivebay-gadgetd $(DESTDIR)$(sbindir)
	install $(BUILD)/drivebay $(BUILD)/drivebayfs $(DESTDIR)$(bindir)
	# where mount(8) looks for them, whatever the prefix
	install fusefs/mount.fuse.drivebayfs fusefs/umount.fuse.drivebayfs $(DESTDIR)$(helperdir)
	install -m 644 $(wildcard $(addsuffix /*.service,$(ROOMS))) $(DESTDIR)$(unitdir)
	install -m 644 $(wildcard $(addsuffix /*.5,$(ROOMS))) $(DESTDIR)$(mandir)/man5
	install -m 644 $(wildcard $(addsuffix /*.8,$(ROOMS))) $(DESTDIR)$(mandir)/man8
	ln -sf mount.fuse.drivebayfs.8 $(DESTDIR)$(mandir)/man8/umount.fuse.drivebayfs.8
	for file in $(wildcard $(addsuffix /*.bash-completion,$(ROOMS))); do \
		install -m 644 $$file $(DESTDIR)$(completions)/$$(basename $$file .bash-completion) || exit 1; \
	done
	for file in $(wildcard $(addsuffix /*.zsh-completion,$(ROOMS))); do \
		install -m 644 $$file $(DESTDIR)$(prefix)/share/zsh/vendor-completions/_$$(basename $$file .zsh-completion) || exit 1; \
	done
	install -m 644 arbiter/drivebay-arbiter.sysusers $(DESTDIR)$(prefix)/lib/sysusers.d/drivebay-arbiter.conf
	install -m 644 arbiter/drivebay-arbiter.tmpfiles $(DESTDIR)$(prefix)/lib/tmpfiles.d/drivebay-arbiter.conf
	install -m 644 gadgetd/drivebay-gadgetd.modules-load $(DESTDIR)$(prefix)/lib/modules-load.d/drivebay-gadgetd.conf
	@for pair in etc/arbiter.cfg=drivebay/arbiter.cfg etc/fusefs.cfg=drivebay/fusefs.cfg etc/gadgetd.cfg=drivebay/gadgetd.cfg \
		arbiter/drivebay-arbiterd.logrotate=logrotate.d/drivebay-arbiterd; do \
		file=$(DESTDIR)$(sysconfdir)/$${pair#*=}; \
		if [ -e $$file ]; then echo "  kept $$file as it is"; \
		else install -m 644 $${pair%%=*} $$file; fi || exit 1; \
	done

.PHONY: clean
clean: ## remove all that was built, the chassis' kernel included
	rm -rf build

.PHONY: deb
deb: deps ## Debian packages, into build/deb
	@debian/make-packages $(BUILD) build/deb

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | \
		awk -F'\t' '{printf "  %-14s %s\n", $$1, $$2}'
	@echo "  VARIANT=release|debug|asan|tsan chooses how to build (into build/<variant>), V=1 shows the commands."
