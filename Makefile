# Every action of the project has one name, here. `make` alone lists them.
# PYTHON=/path/to/python3 chooses the interpreter of a new .venv; JOBS=4 how many tests run at once.

VENV := .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -q
# Real processes on a busy machine: the few that failed are run again, alone, and named (ADR 14).
SECOND_TRY := $(BIN)/python tools/second_try.py
DEMO_OUT := demo-out
SHELL := /bin/sh
# The tests start covey a thousand times: its modules are compiled once, not each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv venv-run demo check format-check lint types layers unit test static bench conformance \
	docs wheel-test format lock system-packages hooks clean

help:  ## list what there is
	@awk 'BEGIN {FS = ":.*##"} /^[a-z-]+:.*##/ {printf "  make %-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv-run:
	@tools/venv.sh $(VENV) requirements/run.txt

venv:
	@tools/venv.sh $(VENV) requirements/dev.txt

demo: venv-run  ## checksum every file of the Python standard library, on all cores
	@tools/demo.sh $(BIN) $(DEMO_OUT)

# ---------------------------------------------------------------- checks

check: venv  ## format, lint, types, layers, unit tests: under 30 s
	@$(MAKE) --no-print-directory -j3 --output-sync=target types static unit

static: format-check lint layers

format-check: venv
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }

lint: venv
	@$(BIN)/ruff check --quiet .

types: venv
	@$(BIN)/basedpyright --level error

layers: venv
	@$(BIN)/lint-imports --config importlinter.toml --no-cache >/dev/null || { $(BIN)/lint-imports --config importlinter.toml --no-cache; exit 1; }

unit: venv
	@$(PYTEST) tests/unit

test: venv system-packages  ## everything: checks, all tests, the conformance table, the wheel
	@$(MAKE) --no-print-directory static types
	$(PYTEST) -n $(JOBS) tests/unit tests/property
	$(PYTEST) tests/architecture
	$(PYTEST) -n $(JOBS) tests/simulator
	$(SECOND_TRY) -n $(JOBS) --dist worksteal tests/integration
	$(SECOND_TRY) -n $(JOBS) --dist worksteal tests/conformance
	$(SECOND_TRY) tests/docs
	@$(MAKE) --no-print-directory wheel-test

conformance: venv  ## the 40 rows of the consolidated table: pass or open
	@$(PYTEST) -n $(JOBS) tests/conformance --conformance-table

wheel-test: venv  ## the built wheel works in a clean environment, away from the checkout
	@tools/wheel_test.sh $(BIN)

system-packages:
	@tools/system_packages.sh

# ---------------------------------------------------------------- making things

docs: venv  ## write the generated reference pages and the tutorial outputs again
	@$(BIN)/python tools/gen_reference.py
	@$(BIN)/python tools/tutorial.py

bench:  ## measure against other systems, write docs/benchmarks.md (some ten minutes)
	@tools/venv.sh $(BENCH_VENV) requirements/bench.txt
	@$(BENCH_VENV)/bin/python bench/run.py --write docs/benchmarks.md

format: venv  ## format the code and repair what lint can repair
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

lock: venv  ## resolve requirements/*.in again into hashed lock files
	@tools/lock.sh $(BIN)

hooks: venv  ## run the quick checks before each commit
	@printf '#!/bin/sh\nexec make --no-print-directory static\n' >.git/hooks/pre-commit
	@chmod +x .git/hooks/pre-commit

clean:  ## remove what make made
	rm -rf $(VENV) $(BENCH_VENV) $(DEMO_OUT) build dist src/*.egg-info .pytest_cache .ruff_cache .hypothesis
