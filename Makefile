# Every verb sets itself up: a fresh machine needs Python >= 3.11, git and make, nothing else.
#
#   make demo ARGS="--seconds 10"      ARGS goes to what the verb runs
#   make test ARGS="-k flights"

VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?=
ARGS   ?=
SERVERS ?= /var/tmp/newer-services
MINUTES ?= 30
LOCKS  := $(VENV)/.locked

# pyright takes its node from the locked packages, the same for everybody, and never looks for a newer self.
export PYRIGHT_PYTHON_GLOBAL_NODE := off
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help install demo services programs test test-all test-faults test-newer test-compose test-browser soak model test-model check bench fmt lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(LOCKS) ## Make .venv with the locked versions and the project itself.

$(LOCKS): requirements/dev.txt requirements/install.sh pyproject.toml
	@PYTHON="$(PYTHON)" sh requirements/install.sh $(VENV)
	@touch $@

demo: services ## Show a fleet of 28 agents on simulated backends for 30 seconds.
	@$(BIN)/optimizer demo $(ARGS)

services: install ## Make RabbitMQ and Redis available (running ones, Docker, installed, apt-get).
	@$(BIN)/python -m optimizer_ops.services up

test: export OPTIMIZER_TEST_SEED ?= 1
test: programs ## Run the tests that take seconds.
	@$(BIN)/python -m pytest -m "not slow and not real_model and not compose and not browser" -n 2 --dist loadfile $(ARGS)

test-all: programs ## Run all tests, those that take minutes too.
	@$(BIN)/python -m pytest -m "not real_model and not compose and not browser" $(ARGS)

test-faults: programs ## Run every row of the fault table, minutes long ones too (under 40 minutes).
	@$(BIN)/python -m pytest -m "not real_model and not compose and not browser" tests/faults $(ARGS)

# Newer servers than the installed ones, in a folder in which another Debian with them is unpacked; needs root.
test-newer: export OPTIMIZER_TEST_SERVERS := $(SERVERS)
test-newer: install ## Run what talks to servers against newer ones: SERVERS=folder (see CONTRIBUTING.md).
	@$(BIN)/python -m tests.support.newer
	@$(BIN)/python -m pytest -m "not slow and not real_model and not compose and not browser" tests/integration tests/acceptance tests/faults $(ARGS)

test-compose: install ## Run the whole deployment in containers; without an engine, as root, in one of its own.
	@$(BIN)/python -m pytest -m compose -s tests/compose $(ARGS)

soak: programs ## Load with random faults for MINUTES=30; then who grew and what leaked.
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

model: install ## Fetch a small language model that runs on the CPU, for `make test-model` (110 MB).
	@sh tests/support/get_model.sh .run/model

test-model: install ## Ask that model through the whole line.
	@$(BIN)/python -m pytest -m real_model $(ARGS)

# Tests start servers of their own too. Without them, those tests are skipped, or fail where CI is set.
programs: install
	@$(BIN)/python -m optimizer_ops.services install || true
	@sh tests/support/get_promtool.sh .run/promtool || true

check: install ## Look at style, types, layers, docstrings of tests and locks.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	@$(BIN)/interrogate --quiet --whitelist-regex '^test_' tests \
	  || { $(BIN)/interrogate -vv --whitelist-regex '^test_' tests | grep MISSED; echo "Each test states its fact in a docstring."; exit 1; }
	@! grep -nE '^ *-|://' requirements/client.txt requirements/server.txt requirements/dev.txt | grep -vE ':    --hash=sha256:' \
	  || { echo "A lock file names an index or an option; make it again: make lock"; exit 1; }

# Debian's Chromium, installed by apt-get when root; without it those tests are skipped, or fail where CI is set.
test-browser: programs ## Look at the dashboard in a real headless Chromium, at three widths, in both schemes.
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { [ "$$(id -u)" != 0 ] \
	  || { apt-get update -qq && apt-get install -y -qq chromium; }; }
	@$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

bench: services ## Measure, each number beside a plain one (docs/performance.md): some 15 minutes.
	@$(BIN)/python -m tests.bench $(ARGS)

fmt: install ## Format the code and mend what can be mended.
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: install ## Lock versions again after a change of pyproject.toml (ARGS=--upgrade for newer ones).
	@$(BIN)/python -m venv .run/lock && .run/lock/bin/python -m pip install --quiet pip-tools
	@.run/lock/bin/python requirements/lock.py $(ARGS)

clean: ## Stop services started here and remove what was built.
	@if $(BIN)/python -c 'import optimizer_ops.services' 2>/dev/null; then $(BIN)/python -m optimizer_ops.services stop; fi
	rm -rf $(VENV) .run build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
