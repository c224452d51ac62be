# Builds, checks, tests and installs groupshare. `make` is `make all`.

.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: all lints check test hostile netlab netbench sim walk rolling explore fuzz sanitize bench load soak demo install uninstall deb dist clean rust rust-tools FORCE

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=

# Given to cargo on every call, so that the programs are found whatever the user's cargo settings say.
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
MSRV := $(shell sed -n 's/^rust-version = "\([0-9.]*\)"$$/\1/p' Cargo.toml)

# cargo runs as many jobs as there are cores, whatever `make -j` says: this file starts one cargo at a time.
RUN_CARGO := env -u MAKEFLAGS -u MFLAGS $(CARGO)
# For a line that does more than call make: `make -n` runs every line that has MAKE itself in it.
RUN_MAKE := env -u MAKEFLAGS -u MFLAGS $(MAKE) --no-print-directory
BUILD := $(RUN_CARGO) build --release --locked --target-dir '$(TARGET_DIR)'

all: rust
	@$(BUILD) --bins
	@$(call place,tracker)
	@$(call place,client)

tracker/tracker: rust FORCE
	@$(BUILD) --bin tracker
	@$(call place,tracker)

client/client: rust FORCE
	@$(BUILD) --bin client
	@$(call place,client)

# Copies a program to its folder if it has changed. A rename, so that one that runs is not disturbed.
place = cmp -s '$(TARGET_DIR)/release/$(1)' $(1)/$(1) || \
	{ cp '$(TARGET_DIR)/release/$(1)' $(1)/$(1).new && mv -f $(1)/$(1).new $(1)/$(1); }

# Format, lints and documentation with warnings denied, the oldest compiler and the dependencies. The compiler and cargo-deny
# are optional: a line says which of them is missing.
lints: rust rust-tools
	@$(RUN_CARGO) fmt --check
	@$(RUN_CARGO) clippy --all-targets --locked --target-dir '$(TARGET_DIR)' -- -D warnings
	@RUSTDOCFLAGS='$(RUSTDOCFLAGS) -D warnings' \
		$(RUN_CARGO) doc --quiet --no-deps --document-private-items --locked --target-dir '$(TARGET_DIR)'
	@$(CHECK_MSRV)
	@$(CHECK_DENY)

# The lints, and every cargo test, the one that guards the architecture among them.
check: lints
	@$(RUN_CARGO) test --locked --target-dir '$(TARGET_DIR)'

# The gate: what `make check` does, then the programs as their users run them. The tests wait more than they compute, so the
# lints and the programs for users are compiled while the tests run. Both end before this does, whichever fails.
test: rust rust-tools
	@$(if $(shell $(PYTHON_PROBLEM)),$(error $(shell $(PYTHON_PROBLEM))))
	@echo 'Takes 10 to 30 minutes, 8 GB below $(TARGET_DIR)/ and 2 GB in the temporary folder'
	@$(RUN_CARGO) test --no-run --locked --target-dir '$(TARGET_DIR)'
	@{ export CARGO_TERM_QUIET=true; $(RUN_MAKE) lints && $(RUN_MAKE) all; } & \
		$(RUN_CARGO) test --locked --target-dir '$(TARGET_DIR)'; tests=$$?; \
		wait $$! && exit $$tests
	@./test.sh

# Attackers at full numbers against trackers and clients, and what honest users notice meanwhile. `make check` plays small ones.
# TIME=10 has each of them attack for so many seconds, ONLY=siege plays those whose name has that in it.
hostile: rust
	@echo 'Takes more than an hour, or about 20 s for each siege with TIME=5'
	@HOSTILE='$(or $(TIME),full)' $(RUN_CARGO) test --release --locked --target-dir '$(TARGET_DIR)' --test hostile -- \
		--nocapture --test-threads=1 $(ONLY)

# Members behind firewalls and NATs, in network namespaces: which way each pair takes, and how long that lasts. `make check`
# plays it too, and allows twice the time.
netlab: rust
	@GROUPSHARE_NETLAB_STRICT=1 $(RUN_CARGO) test --locked --target-dir '$(TARGET_DIR)' --test netlab -- --nocapture

# Many more seeds of the simulation of trackers in sync than `make check` plays.
sim: rust
	@SEEDS=100000 $(RUN_CARGO) test --release --locked --target-dir '$(TARGET_DIR)' --test simulation -- --nocapture

# People do things to their files and clients by chance for TIME seconds (3600). SEED=N begins with an earlier walk's chances.
walk: rust
	@TIME='$(or $(TIME),3600)' SEED='$(SEED)' \
		$(RUN_CARGO) test --release --locked --target-dir '$(TARGET_DIR)' --test programs walk -- --nocapture

# A rolling upgrade of three trackers from the programs of the tag OLD to these, and the way back, while clients of both make
# changes. The old programs are built below the target folder. `make check` plays it with these programs on both sides.
ROLLING = $(abspath $(TARGET_DIR))/rolling
rolling: rust
	@$(if $(OLD),,$(error Say which release to upgrade from, for example: make rolling OLD=v1.0.0))
	@git rev-parse --quiet --verify '$(OLD)^{commit}' >/dev/null || { echo 'There is no tag or commit $(OLD) here'; exit 1; }
	@rm -rf '$(ROLLING)/source' && mkdir -p '$(ROLLING)/source'
	@git archive '$(OLD)' | tar -x -C '$(ROLLING)/source'
	@$(RUN_CARGO) build --bins --locked --manifest-path '$(ROLLING)/source/Cargo.toml' --target-dir '$(ROLLING)/target'
	@GROUPSHARE_OLD='$(ROLLING)/target/debug' \
		$(RUN_CARGO) test --locked --target-dir '$(TARGET_DIR)' --test programs rolling -- --nocapture

# The lock-and-channel code of committer and download in ITERATIONS schedules of each test, or of those whose name has ONLY
# in it. SEED=N takes other chances, SCHEDULE=FILE plays one schedule again.
explore: rust
	@ITERATIONS='$(ITERATIONS)' SEED='$(SEED)' SCHEDULE='$(SCHEDULE)' RUSTFLAGS='$(RUSTFLAGS) --cfg explore' \
		$(RUN_CARGO) test --locked --target-dir '$(TARGET_DIR)/explore' --config profile.dev.opt-level=1 --test explore -- \
		--nocapture $(ONLY)

# Every target of fuzz/ for TIME seconds (60), or those that TARGETS names, from the committed corpora on. COUNT=N goes on until
# each has had N executions on these sources, COUNT=full until each has had as many as docs/TESTING.md says; what earlier calls
# have done counts. What is found lies in fuzz/artifacts then, new inputs in fuzz/found, the counts in fuzz/counts.
TARGETS ?= $(patsubst fuzz/fuzz_targets/%.rs,%,$(sort $(wildcard fuzz/fuzz_targets/*.rs)))
fuzz: rust
	@$(if $(shell $(NIGHTLY_PROBLEM)),$(error $(shell $(NIGHTLY_PROBLEM))))
	@CARGO='$(CARGO)' TIME='$(or $(TIME),60)' COUNT='$(COUNT)' fuzz/campaign.sh $(TARGETS)

# The library's tests on a nightly compiler that has every access to memory watched (AddressSanitizer), the rooms with unsafe
# code among them. TESTS='--lib sys:: sha1_pair' runs those alone.
sanitize: rust
	@$(if $(shell $(NIGHTLY_PROBLEM)),$(error $(shell $(NIGHTLY_PROBLEM))))
	@RUSTFLAGS='$(RUSTFLAGS) -Zsanitizer=address' $(RUN_CARGO) +nightly test --locked --target $(HOST) \
		--target-dir '$(TARGET_DIR)/sanitize' --config 'profile.dev.debug="line-tables-only"' $(or $(TESTS),--lib)

# Loopback only; needs 12 GiB in the temporary folder and 5 GiB in /dev/shm. docs/PERFORMANCE.md says what the parts are.
bench: rust
	@echo 'Takes about an hour. One part alone, for example: cargo bench -- transfer size=256 rounds=3 only=limit,groupshare'
	@$(RUN_CARGO) bench --locked --target-dir '$(TARGET_DIR)'

# A full house on one tracker: 10,000 idle clients, a storm of connections, silent strangers.
load: rust
	@$(RUN_CARGO) bench --locked --target-dir '$(TARGET_DIR)' -- load

# The programs over links of a wide area, in network namespaces. ONLY=fat20,lossy plays some of the rows.
netbench: rust
	@echo 'Takes about 40 minutes, 5 GiB in /dev/shm and 12 GiB of memory. Some rows alone: make netbench ONLY=fat20,lossy'
	@$(RUN_CARGO) bench --locked --target-dir '$(TARGET_DIR)' -- netbench $(if $(ONLY),only=$(ONLY))

# Everything goes wrong for TIME seconds, and nothing acknowledged may be lost. SEED=N begins with the chances of an earlier run.
soak: rust
	@$(RUN_CARGO) bench --locked --target-dir '$(TARGET_DIR)' -- soak time=$(or $(TIME),600) $(if $(SEED),seed=$(SEED))

demo: rust
	@echo 'Takes about a minute and 0.9 GB in the temporary folder; building before that takes some minutes and 1 GB'
	@$(MAKE) --no-print-directory all
	@./demo.sh

# What is installed: the mode, the file, and its place below PREFIX. The programs get longer names than in their folders,
# since `tracker` and `client` are taken on many systems.
INSTALLED = \
	755:tracker/tracker:bin/groupshare-tracker \
	755:client/client:bin/groupshare-client \
	644:packaging/groupshare-tracker.1:share/man/man1/groupshare-tracker.1 \
	644:packaging/groupshare-client.1:share/man/man1/groupshare-client.1 \
	644:packaging/groupshare-tracker@.service:lib/systemd/system/groupshare-tracker@.service \
	644:packaging/groupshare.conf:lib/sysusers.d/groupshare.conf \
	$(foreach example,tracker.conf prometheus/scrape.yml prometheus/alerts.yml, \
		644:packaging/$(example):share/doc/groupshare/examples/$(notdir $(example))) \
	$(foreach program,groupshare-tracker groupshare-client, \
		644:packaging/completions/bash/$(program):share/bash-completion/completions/$(program) \
		644:packaging/completions/zsh/_$(program):$(ZSH_DIR)/_$(program) \
		644:packaging/completions/fish/$(program).fish:share/fish/vendor_completions.d/$(program).fish) \
	$(foreach text,README.md CHANGELOG.md CONTRIBUTING.md LICENSE-MIT LICENSE-APACHE tracker_info.txt $(wildcard docs/*.md docs/*.svg docs/*.json), \
		644:$(text):share/doc/groupshare/$(text))
ZSH_DIR = share/zsh/site-functions

install:
	@{ test -x tracker/tracker && test -x client/client; } || $(MAKE) --no-print-directory all
	@packaging/install.sh '$(DESTDIR)$(PREFIX)' $(INSTALLED)
	@sed -i 's|/usr/local/bin|$(PREFIX)/bin|' '$(DESTDIR)$(PREFIX)/lib/systemd/system/groupshare-tracker@.service'
	@echo "Installed $(DESTDIR)$(PREFIX)/bin/groupshare-tracker and $(DESTDIR)$(PREFIX)/bin/groupshare-client"

# What was installed with the same DESTDIR and PREFIX, the folders made for it where nothing else is in them, and no more.
uninstall:
	@packaging/install.sh --remove '$(DESTDIR)$(PREFIX)' $(INSTALLED)

# A package for Debian and its derivatives in packaging/deb/, installed, run, removed and purged in a temporary root.
deb: all
	@CARGO='$(CARGO)' MAKE='$(RUN_MAKE)' packaging/deb/build.sh

# A release of the commit that is checked out, in target/dist: sources, programs, the package, checksums. The programs are static
# where the compiler's musl target and musl-gcc are installed.
dist: rust
	@echo 'Takes 5 to 15 minutes and 1 GB below $(TARGET_DIR)/'
	@CARGO='$(CARGO)' MAKE='$(RUN_MAKE)' packaging/dist.sh '$(TARGET_DIR)/dist'

# What was built, and nothing else: keys, data and whatever other projects keep in a shared target folder stay.
clean:
	@rm -f tracker/tracker tracker/tracker.new client/client client/client.new packaging/deb/*.deb
	@rm -rf fuzz/target
	@if [ '$(TARGET_DIR)' = target ]; then rm -rf target; \
	else rm -rf '$(TARGET_DIR)/dist'; for folder in '$(TARGET_DIR)' '$(TARGET_DIR)/explore' '$(TARGET_DIR)/msrv' '$(TARGET_DIR)/sanitize'; do \
		$(RUN_CARGO) clean --package groupshare --target-dir "$$folder"; \
	done; fi

# Says in one line what to install, where cargo would say it in many.
rust:
	@$(if $(shell $(RUST_PROBLEM)),$(error $(shell $(RUST_PROBLEM))))

rust-tools: rust
	@$(if $(shell $(TOOLS_PROBLEM)),$(error $(shell $(TOOLS_PROBLEM))))

RUST_PROBLEM = for tool in $(CARGO) $${RUSTC:-rustc}; do \
		have=$$($$tool --version 2>/dev/null | cut -d" " -f2); \
		if [ "$$(printf "%s\n" $(MSRV) "$$have" | sort -V | head -n 1)" != $(MSRV) ]; then \
			echo "Rust $(MSRV) or newer is needed, but $$tool $${have:+is }$${have:-does not run}: install Rust from https://rustup.rs, or run rustup update"; \
			exit; \
		fi; \
	done; \
	for tool in cc "$$CC" gcc clang; do command -v "$$tool" >/dev/null && exit; done; \
	echo "A C compiler is needed, but there is none: install gcc, for example with apt install build-essential"

# Compiles everything with the oldest compiler that Cargo.toml promises, unless that is the one in use anyway.
CHECK_MSRV = case "$$($${RUSTC:-rustc} --version)" in "rustc $(MSRV)."*) exit;; esac; \
	toolchain=$$(rustup toolchain list 2>/dev/null | sed -n 's/^\($(MSRV)\(\.[0-9]*\)*\)-.*/\1/p' | head -n 1); \
	if [ -z "$$toolchain" ]; then \
		echo "Not checked with Rust $(MSRV), the oldest that is promised: run rustup toolchain install $(MSRV)"; exit; \
	fi; \
	env -u MAKEFLAGS -u MFLAGS -u RUSTC rustup run "$$toolchain" \
		cargo check --quiet --all-targets --locked --target-dir '$(TARGET_DIR)/msrv'

# Holds deny.toml over all dependencies. Known weaknesses are in a database that has to be fetched.
CHECK_DENY = if ! $(CARGO) deny --version >/dev/null 2>&1; then \
		echo 'Not checked against deny.toml: run cargo install --locked cargo-deny'; exit; \
	fi; \
	$(RUN_CARGO) deny --locked check --hide-inclusion-graph bans licenses sources || exit; \
	if $(RUN_CARGO) deny fetch db >/dev/null 2>&1; then \
		$(RUN_CARGO) deny --locked --offline check --hide-inclusion-graph advisories; \
	else \
		echo 'Not checked for known weaknesses: their database cannot be fetched'; \
	fi

NIGHTLY_PROBLEM = $(CARGO) +nightly --version >/dev/null 2>&1 || \
	echo "A nightly compiler is needed: run rustup toolchain install nightly"

# The sanitizer has to be kept from what runs while it is built: only a target that is named keeps the two apart.
HOST = $(shell $${RUSTC:-rustc} -vV | sed -n 's/^host: //p')

PYTHON_PROBLEM = command -v python3 >/dev/null || \
	echo "python3 is needed for the tests, but there is none: install it, for example with apt install python3"

TOOLS_PROBLEM = for tool in fmt clippy; do \
		$(CARGO) $$tool --version >/dev/null 2>&1 || \
		{ echo "cargo $$tool is needed for the checks, but does not run: run rustup component add rustfmt clippy"; exit; }; \
	done
