# SPDX-License-Identifier: MPL-2.0
# Everything a developer or a CI job calls. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build install provider provider-dev host host-aarch64 collection deb bench base drbd9 test check demo audit clean-lab

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/replivol
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
HOST_TARGET := x86_64-unknown-linux-gnu

# Where tests, demo and examples find what `build` and `setup` made.
export REPLIVOL_DIST := $(TARGET)/dist
export REPLIVOL_ANSIBLE := $(CACHE)/ansible/bin
export REPLIVOL_MOTO := $(CACHE)/moto/bin

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what a fresh Debian 12 machine lacks (as root; quick when all is there)
	@scripts/setup

build: provider host ## provider (release) and static drbd-host, in target/dist

install: build ## build, and put both where this user's terraform finds them
	@scripts/install

provider: ## the provider (release), in target/dist
	cargo build --locked --release -p terraform-provider-drbd
	@install -D -t $(REPLIVOL_DIST) $(TARGET)/release/terraform-provider-drbd

# Tests and demo share one compilation of the AWS SDK, which takes minutes. All targets, because what is selected decides
# the features of shared dependencies, and with other features the SDK would be compiled again.
provider-dev: ## the provider with overflow checks, quicker to build, in target/dist
	cargo build --locked --workspace --all-targets
	@install -D -t $(REPLIVOL_DIST) $(TARGET)/debug/terraform-provider-drbd

host: ## static drbd-host, in target/dist
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile host --target $(HOST_TARGET) -p drbd-host
	@! readelf --program-headers $(TARGET)/$(HOST_TARGET)/host/drbd-host | grep -q INTERP || \
		{ echo "drbd-host is not static" >&2; exit 1; }
	@install -D -t $(REPLIVOL_DIST) $(TARGET)/$(HOST_TARGET)/host/drbd-host

drbd9: ## the stand-in for DRBD 9's kernel side, for tests only, in target/dist/simulated
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target $(HOST_TARGET) -p simulated-drbd9
	@install -D -t $(REPLIVOL_DIST)/simulated $(TARGET)/$(HOST_TARGET)/release/drbdsetup

# Beyond `setup`: rustup target add aarch64-unknown-linux-gnu; apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross
host-aarch64: ## static drbd-host for aarch64, which `collection` and `deb` then pack too (needs a cross compiler)
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc RUSTFLAGS="-C target-feature=+crt-static" \
		cargo build --locked --profile host --target aarch64-unknown-linux-gnu -p drbd-host
	@install -D $(TARGET)/aarch64-unknown-linux-gnu/host/drbd-host $(REPLIVOL_DIST)/drbd-host-aarch64

collection: setup host ## the Ansible collection replivol.drbd, a tarball in target/dist
	@scripts/collection

deb: host ## Debian package of drbd-host, in target/dist
	@scripts/deb

# What `cargo clippy` does, but around `cargo build`: the dependencies are then compiled once for clippy and tests
# together, and not a second time for clippy alone.
LINT := CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__ RUSTC_WORKSPACE_WRAPPER=clippy-driver

check: setup ## formatting, clippy, shellcheck, licences
	cargo fmt --all --check
	$(LINT) cargo build --locked --quiet --workspace --all-targets
	shellcheck --severity=warning --external-sources $$(grep -rlE '^(#!/bin/(ba)?sh|# shellcheck shell=)' .ci scripts tests/lab ansible-module/collection ansible-module/tests)
	scripts/check-licences

test: setup check collection deb drbd9 provider-dev ## everything the project promises, on real hosts too
	tests/lab/build >/dev/null
	cargo test --locked --workspace --doc --quiet
	cargo nextest run --locked --workspace

demo: setup provider-dev collection ## two real hosts, one replicated volume, both front doors (KEEP=1 leaves the hosts running)
	@scripts/demo.sh

# With BASE=COMMIT what that commit shipped takes turns with this one. It is built first: both use one target directory.
bench: setup $(if $(BASE),base) provider collection ## what it costs beside doing it by hand, as ratios (BENCH="host playbook" for some; BASE=COMMIT)
	tests/lab/build >/dev/null
	cargo build --locked --release -p simulated-provider
	@install -D $(TARGET)/release/simulated-provider $(REPLIVOL_DIST)/simulated/terraform-provider-drbd
	$(if $(BASE),REPLIVOL_BASE=$$(scripts/base $(BASE))) cargo bench --locked --quiet -p system-tests --bench bench -- $(BENCH)

base: ## what BASE=COMMIT shipped, in target/base, for `bench`
	scripts/base $(BASE) >/dev/null

audit: ## cargo-deny with the advisory database (needs the network and cargo-deny)
	cargo deny --all-features check

clean-lab: ## stop every lab on this machine, remove its files and the cached images
	@tests/lab/clean
