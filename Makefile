# `make run` and `make test` work on a fresh machine with Python >= 3.11, make and git; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := requirements/constraints.txt
PYTEST := $(BIN)/python -m pytest

# uv reads its certificates from the system, as pip does; both obey the same pins, for the build backend too.
export UV_SYSTEM_CERTS := 1
export UV_BUILD_CONSTRAINT := $(CONSTRAINTS)
export PIP_CONSTRAINT := $(CONSTRAINTS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# A link from the cache saves nothing on a small environment, and warns where the cache is on another disk.
export UV_LINK_MODE := copy

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
# Two suites at once would disturb each other's timing, and there is one environment to install into.
.NOTPARALLEL:
.DEFAULT_GOAL := help

# Install the package (editable) with the given extras: uv if it is to be had, pip otherwise.
define install
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) --editable '.$(1)' \
	  || $(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.$(1)'
endef

# Stamps are written last: what was interrupted is done again.
$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Trunkline needs Python 3.11 or newer (make PYTHON=...)")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) uv || echo 'uv is not to be had; pip does it'
	touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml $(CONSTRAINTS)
	$(call install,)
	touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml $(CONSTRAINTS)
	$(call install,[dev])
	touch $(VENV)/.run $@

# The clients of tests/clients, apart from the rest and from each other: some want openai 2, some openai 3.
CLIENTS := $(VENV)-clients
NODE_CLIENTS := tests/clients/node/node_modules

$(CLIENTS)/%/.made: requirements/clients-%.txt | $(VENV)/.made
	{ $(BIN)/uv venv --quiet --clear --python $(PYTHON) $(@D) \
	    && $(BIN)/uv pip install --quiet --python $(@D)/bin/python --requirement $<; } \
	  || { $(PYTHON) -m venv --clear $(@D) && PIP_CONSTRAINT= $(@D)/bin/python -m pip install --quiet --requirement $<; }
	touch $@

$(NODE_CLIENTS)/.made: tests/clients/node/package-lock.json | $(VENV)/.dev
	$(BIN)/python tests/clients/npm.py ci
	touch $@

.PHONY: help run test check lint fix unit contract e2e clients test-clients endurance pins clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 24

run: $(VENV)/.run ## a small real model behind the gateway on 127.0.0.1:8080; Ctrl-C stops both
	@exec $(BIN)/trunkline demo

test: unit contract e2e clients endurance ## all tests but those of the Node clients

check: lint unit ## format, lint, types, import rules, unit and architecture tests: under a minute

lint: $(VENV)/.dev ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright --warnings

# Only what must be covered is run under coverage, which makes all the rest slower.
PURE := $(addprefix tests/unit/,policy routing streams wire)

unit: $(VENV)/.dev ## unit and architecture tests; each pure file covered by its own test file
	rm -f .coverage .coverage.*
	$(BIN)/coverage run --rcfile tests/coverage.toml -m pytest --numprocesses 2 --dist worksteal $(PURE)
	$(BIN)/coverage combine --rcfile tests/coverage.toml --quiet
	$(BIN)/python tests/architecture/own_coverage.py
	$(PYTEST) --numprocesses 2 --dist worksteal tests/unit tests/architecture tests/simulation $(PURE:%=--ignore=%)

# They wait most of their time, for times that are what is tested.
contract: $(VENV)/.dev peers ## tests over loopback sockets
	$(PYTEST) --numprocesses 2 --dist loadfile tests/contract tests/failover

# Real programs that the tests stand against, from Debian's packages: only root can install them, others have them or
# see the tests that need them skipped, with the reason.
.PHONY: peers
peers:
	@command -v tinyproxy >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null \
	  || { apt-get update -qq && apt-get install -y -qq --no-install-recommends tinyproxy >/dev/null; }

e2e: $(VENV)/.dev ## tests against a real llama.cpp server, in two builds
	$(PYTEST) tests/e2e

# Gigabytes of environments (requirements/servers/) under .venv-servers, kept for the next time.
SERVERS ?= mlx transformers vllm
.PHONY: test-servers
test-servers: $(VENV)/.dev ## compare what other real servers say directly and through the gateway (SERVERS="...")
	TRUNKLINE_TEST_SERVERS='$(SERVERS)' $(PYTEST) tests/e2e/servers

clients: $(VENV)/.dev $(CLIENTS)/openai2/.made $(CLIENTS)/openai3/.made ## what users call us with, in Python
	$(PYTEST) tests/clients -m 'not node'

test-clients: $(VENV)/.dev $(CLIENTS)/openai2/.made $(CLIENTS)/openai3/.made $(NODE_CLIENTS)/.made ## the same, and in Node
	$(PYTEST) tests/clients

endurance: $(VENV)/.dev ## tens of thousands of calls with faults: no leak, no hang; gigabytes through slow readers
	$(PYTEST) --numprocesses 2 --dist loadfile tests/endurance

fix: $(VENV)/.dev ## format, and mend what the linter can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

pins: $(VENV)/.dev ## renew the pinned versions
	@{ echo '# Exact versions of everything that `make` installs, for every platform. Renew with `make pins`.'; \
	  $(BIN)/uv pip compile pyproject.toml requirements/build.in --extra dev --universal --python-version 3.11 \
	    --upgrade --no-header --no-annotate --quiet; } > $(CONSTRAINTS).new
	mv $(CONSTRAINTS).new $(CONSTRAINTS)
	@for pins in requirements/clients-*.in; do \
	  { echo "# Exact versions of the clients in $${pins##*/}. Renew with \`make pins\`."; \
	    $(BIN)/uv pip compile $$pins --universal --python-version 3.11 --upgrade --no-header --no-annotate --quiet; \
	  } > $${pins%.in}.new; mv $${pins%.in}.new $${pins%.in}.txt; done

clean: ## remove the environment and all that can be made again
	rm -rf $(VENV) $(VENV)-servers $(CLIENTS) $(NODE_CLIENTS) .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis build dist

-include bench/bench.mk
