# Stoker. `make deps` and `make test-deps` install what is missing; `make run` is the demo; `make test` the tests.
# Debian 12 is the base. Flavours: plain (default), asan, tsan: make FLAVOUR=asan.

FLAVOUR ?= plain
BUILD   := build/$(FLAVOUR)
CC      ?= gcc
CI      ?=
PREFIX  ?= /usr/local
PYTHON  ?= /usr/bin/python3

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
        -Wnull-dereference -Wswitch-enum $(if $(and $(CI),$(filter plain,$(FLAVOUR))),-Werror)
HARD := -fstack-protector-strong -fPIE -fstack-clash-protection
LINK := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
# A hundred unit tests are linked in each flavour; gold (of the package binutils) needs half the time.
TESTLINK := $(LINK) $(if $(wildcard /usr/bin/ld.gold),-fuse-ld=gold)

ifeq ($(FLAVOUR),asan)
  OPT := -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else ifeq ($(FLAVOUR),tsan)
  OPT := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
else
  OPT := -O2 -g -D_FORTIFY_SOURCE=3
endif

PKGS    := ncursesw lmdb libunbound libpcre2-8 jansson libidn2 inih opendkim libmicrohttpd libcurl libssl libcrypto
CFLAGS  += -std=c11 -D_GNU_SOURCE -I. $(WARN) $(HARD) $(OPT) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
# libev.a, not libev.so, and before all others: Debian builds the shared one with libevent's names in it, and libunbound would call those instead
# of libevent's own and crash (core/net/resolver.c refuses to start in a program linked so).
LIBS    := -l:libev.a $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lcrypt -lm -pthread
TESTLIBS:= -lcmocka $(LIBS)

# Folders from left to right: each may include only those before it (make lint checks).
FOLDERS := core/base conf core/classify core/net core/sign core/spool core/sched core/smtp core/intake \
           core/feedback core/report core/control core/sim tui
LIBOF    = $(BUILD)/lib$(subst /,-,$(1)).a
SRCS    := $(foreach f,$(FOLDERS),$(wildcard $(f)/*.c)) $(wildcard core/*.c)
OBJS    := $(SRCS:%.c=$(BUILD)/%.o)
HAVE    := $(foreach f,$(FOLDERS),$(if $(wildcard $(f)/*.c),$(f)))
ARCHIVES:= $(foreach f,$(HAVE),$(call LIBOF,$(f)))

all: $(BUILD)/stoker

$(BUILD)/stoker: $(patsubst %.c,$(BUILD)/%.o,$(wildcard core/*.c)) $(ARCHIVES)
	$(CC) $(CFLAGS) $(LINK) -o $@ $(filter %.o,$^) -Wl,--start-group $(ARCHIVES) -Wl,--end-group $(LIBS)

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/core/control/page.o: core/control/page.html

# Where the shipped files will be is known to one object only, made anew when PREFIX is another.
$(BUILD)/core/main.o: CFLAGS += -DSTOKER_SHARE='"$(PREFIX)/share/stoker"'
$(BUILD)/core/main.o: $(BUILD)/prefix
$(BUILD)/prefix: always
	@mkdir -p $(@D); [ "$$(cat $@ 2>/dev/null)" = "$(PREFIX)" ] || echo "$(PREFIX)" > $@

define ARCHIVE
$(call LIBOF,$(1)): $$(patsubst %.c,$$(BUILD)/%.o,$$(wildcard $(1)/*.c))
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach f,$(HAVE),$(eval $(call ARCHIVE,$(f))))

# Unit tests: tests/unit/FOLDER/test_x.c links FOLDER and what stands to its left (so the layering also holds at
# link time). FOLDER is the last part of the folder's path: tests/unit/spool/test_segment.c -> core/spool.
UNIT      := $(wildcard tests/unit/*/test_*.c)
UNITBINS  := $(UNIT:%.c=$(BUILD)/%)
folder_of  = $(filter %/$(1) $(1),$(FOLDERS))
upto       = $(if $(filter $(1),$(firstword $(2))),$(firstword $(2)),$(firstword $(2)) $(call upto,$(1),$(wordlist 2,99,$(2))))
libs_for   = $(foreach f,$(filter $(HAVE),$(call upto,$(call folder_of,$(1)),$(FOLDERS))),$(call LIBOF,$(f)))
define UNITRULE
$(BUILD)/$(1:%.c=%): $(BUILD)/$(1:%.c=%.o) $(call libs_for,$(notdir $(patsubst %/,%,$(dir $(1)))))
	$$(CC) $$(CFLAGS) $$(TESTLINK) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(TESTLIBS)
endef
$(foreach t,$(UNIT),$(eval $(call UNITRULE,$(t))))

unit-bins: $(UNITBINS)
# One unit test: make unit T=spool/test_segment
unit: $(if $(T),$(BUILD)/tests/unit/$(T),$(UNITBINS))
	@set -e; for t in $^; do echo "== $$t"; $$t; done

# The same programs with a reader that leaves the directive named by STOKER_MUTANT at its default: each directive's test must fail.
WRAP := tests/mutant.c -Wl,--wrap=section_add -Wl,--start-group $(ARCHIVES) -Wl,--end-group
build/mutant/stoker: $(BUILD)/stoker tests/mutant.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LINK) -o $@ $(patsubst %.c,$(BUILD)/%.o,$(wildcard core/*.c)) $(WRAP) $(LIBS)
build/mutant/tests/unit/%: $(BUILD)/tests/unit/% tests/mutant.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LINK) -o $@ $(BUILD)/tests/unit/$*.o $(WRAP) $(TESTLIBS)
mutants: build/mutant/stoker $(UNIT:%.c=build/mutant/%)

asan:
	$(MAKE) FLAVOUR=asan all
tsan:
	$(MAKE) FLAVOUR=tsan all

# ---- what must be there ----
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
APT  := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends
DEPS := gcc make pkg-config libev-dev libncurses-dev libinih-dev libunbound-dev liblmdb-dev libpcre2-dev libjansson-dev \
        libidn2-dev libopendkim-dev libssl-dev libcrypt-dev libmicrohttpd-dev libcurl4-openssl-dev ca-certificates
TEST_DEPS := libcmocka-dev clang-format python3 python3-pyte python3-pexpect postfix swaks nsd tmux openssh-server \
        openssh-client postgrey procps iproute2 util-linux mount git \
        libnet-ssleay-perl openssl python3-cryptography python3-dkim python3-nacl libmail-dkim-perl python3-prometheus-client chromium systemd groff-base passwd
# Installs only what is missing, so that it costs nothing (and needs no network) when all is there.
missing = $(shell dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $(1) 2>/dev/null | awk '$$2 == "installed" {print $$1}' | \
          sort -u | grep -vxF -f - <(printf '%s\n' $(1)))
SHELL := /bin/bash

deps:
	@m="$(call missing,$(DEPS))"; [ -z "$$m" ] || { $(SUDO) apt-get update -q && $(APT) $$m; }
test-deps: deps
	@m="$(call missing,$(TEST_DEPS))"; [ -z "$$m" ] || { $(SUDO) apt-get update -q && $(APT) $$m; }

# ---- the two commands ----
run: deps
	@$(MAKE) --no-print-directory all
	$(BUILD)/stoker demo

# Unit tests, end-to-end tests (reduced counts, fixed seeds; also with sanitizers), lint. Ends with "N passed, N failed".
test: test-deps
	@$(MAKE) --no-print-directory all unit-bins
	@$(MAKE) --no-print-directory FLAVOUR=asan all unit-bins
	$(PYTHON) tests/run.py

# Each promise at its full count, with what was found; T=name runs one.
accept: test-deps
	@$(MAKE) --no-print-directory all unit-bins mutants
	@$(MAKE) --no-print-directory FLAVOUR=tsan all
	@$(MAKE) --no-print-directory FLAVOUR=asan all
	$(PYTHON) tests/accept/accept.py $(T)

bench: test-deps
	@$(MAKE) --no-print-directory all
	$(PYTHON) tests/bench/postfix.py

lint:
	$(PYTHON) tests/lint.py

# Files, manual, completion, unit; as root and without DESTDIR also the user `stoker` and its directories. A packager's
# DESTDIR gets files only: conf/stoker.sysusers and conf/stoker.tmpfiles say the rest.
I := $(DESTDIR)$(PREFIX)
UNITDIR ?= $(if $(filter /usr,$(PREFIX)),$(DESTDIR)/lib,$(DESTDIR)/etc)/systemd/system
install: all
	install -d $(I)/bin $(I)/share/stoker/conf $(I)/share/stoker/themes $(I)/share/man/man1 $(I)/share/man/man5 \
	        $(I)/share/bash-completion/completions $(I)/lib/sysusers.d $(I)/lib/tmpfiles.d $(UNITDIR)
	install -m 755 $(BUILD)/stoker $(I)/bin/stoker
	install -m 644 conf/*.ini $(I)/share/stoker/conf
	install -m 644 themes/*.ini $(I)/share/stoker/themes
	$(BUILD)/stoker help --page stoker.1 > $(I)/share/man/man1/stoker.1
	$(BUILD)/stoker help --page stoker.ini.5 > $(I)/share/man/man5/stoker.ini.5
	$(BUILD)/stoker help --page completion > $(I)/share/bash-completion/completions/stoker
	chmod 644 $(I)/share/man/man1/stoker.1 $(I)/share/man/man5/stoker.ini.5 $(I)/share/bash-completion/completions/stoker
	sed 's|@PREFIX@|$(PREFIX)|' conf/stoker.service > $(UNITDIR)/stoker.service
	chmod 644 $(UNITDIR)/stoker.service
	install -m 644 conf/stoker.sysusers $(I)/lib/sysusers.d/stoker.conf
	install -m 644 conf/stoker.tmpfiles $(I)/lib/tmpfiles.d/stoker.conf
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || $(MAKE) --no-print-directory install-user
install-user:
	getent passwd stoker >/dev/null || useradd --system --user-group --home-dir /var/spool/stoker --no-create-home \
	        --shell /usr/sbin/nologin stoker
	install -d -o stoker -g stoker -m 700 /var/spool/stoker
	install -d -o stoker -g stoker -m 750 /var/log/stoker
	install -d -o stoker -g stoker -m 755 /run/stoker
	install -d -m 755 /etc/stoker
	@[ -e /etc/stoker/stoker.ini ] || echo "now copy $(PREFIX)/share/stoker/conf/stoker.ini to /etc/stoker/stoker.ini, put your" \
	        "names and addresses in, and: stoker check; systemctl enable --now stoker"

clean:
	rm -rf build

.PHONY: always install-user all unit unit-bins asan tsan clean deps test-deps run test accept bench lint install
.SECONDARY:
-include $(OBJS:.o=.d) $(patsubst %.c,$(BUILD)/%.d,$(UNIT))
