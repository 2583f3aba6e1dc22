# A front for people: CMake does the work.  `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := realm
MAKEFLAGS += --no-print-directory --no-builtin-rules

# Given to every configure: make CMAKE_FLAGS=-DREALM_WERROR=ON
CMAKE_FLAGS ?=
# Given to `realm serve`: make serve SERVE_FLAGS="--port 9000"
SERVE_FLAGS ?=
PREFIX ?= /usr/local
# Compilers and tests at a time.
export REALM_JOBS ?= $(shell nproc)
export PATH := $(PATH):$(HOME)/.cargo/bin

REALM := build/release/realm

.PHONY: help realm all setup serve demo test quick fmt lint layers symbols bench bench-load bench-peer soak fuzz coverage \
	install clean

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | \
		awk -F '\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'

realm: build/release/build.ninja ## build build/release/realm (what plain `make` does)
	@cmake --build --preset release --parallel $(REALM_JOBS) --target realm

all: build/release/build.ninja ## build everything: program, library, tests, example
	@cmake --build --preset release --parallel $(REALM_JOBS)

setup: ## check what building and testing need; as root, install it
	@tools/setup.sh

# Configured once; ninja runs CMake again by itself when something changes.
build/release/build.ninja:
	@tools/setup.sh build
	@cmake --preset release $(CMAKE_FLAGS)

serve: realm ## set up, fetch the default model and serve it on 127.0.0.1:8080
	@model=$$(tools/fetch_model.sh | tail -n1); \
	exec $(REALM) serve --model smollm2="$$model" $(if $(filter 0,$(shell id -u)),--allow-root) $(SERVE_FLAGS)

demo: realm ## set up, ask the served model one question and check the answer
	@tools/demo.sh

test: setup ## build and run every test
	@cmake --preset release $(CMAKE_FLAGS) >/dev/null
	@cmake --build --preset release --parallel $(REALM_JOBS)
	@tools/ctest.sh release -L quick
	@tools/ctest.sh release -LE quick
	@tools/test_checks.py
	@tools/pytest.sh

quick: all ## the tests that take seconds
	@tools/ctest.sh release -L quick

fmt: ## format the C sources
	@tools/format.sh

lint: setup ## format, layers, source rules, clang-tidy
	@tools/format.sh --check
	@tools/check_layers.py
	@tools/check_source.py
	@tools/tidy.py

layers: ## check the includes against tools/layers.txt
	@tools/check_layers.py

symbols: all ## check that librealm shows realm_* only
	@tools/check_symbols.sh build/release/librealm.a build/release/librealm.so

bench: realm ## measure both models on this machine
	@for model in smollm2 gemma3; do \
		path=$$(tools/fetch_model.sh $$model | tail -n1); \
		$(REALM) bench -m "$$path" --prefill 512 --decode 64 --batch 1,4,16,32 --reps 3; \
	done

bench-load: realm ## loads of many clients, beside llama.cpp's server (an hour)
	@bench/server/load.py

soak: all ## ten minutes of everything at once, and whether time tells tenants of each other
	@build/release/tests/bench_engine_soak --seconds 600
	@build/release/tests/bench_engine_timing

bench-peer: realm ## measure beside llama.cpp and write docs/benchmarks.md (an hour)
	@bench/peer/compare.py --types

fuzz: setup ## run every fuzzer for FUZZ_SECONDS (20)
	@cmake --preset fuzz $(CMAKE_FLAGS) >/dev/null
	@cmake --build --preset fuzz --parallel $(REALM_JOBS) --target fuzzers
	@tools/fuzz.sh

coverage: setup ## line coverage of all tests, by folder
	@cmake --preset coverage $(CMAKE_FLAGS) >/dev/null
	@cmake --build --preset coverage --parallel $(REALM_JOBS)
	@find build/coverage -name '*.gcda' -delete
	@tools/ctest.sh coverage
	@REALM=$(CURDIR)/build/coverage/realm tools/pytest.sh
	@tools/coverage.py

install: all ## install program, library and headers under PREFIX (/usr/local)
	@cmake --install build/release --prefix $(PREFIX)

clean: ## remove build/
	@rm -rf build
