# Each target sets up what it needs; a second call is quick: what was installed is remembered by the digest of the lock files.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
PORT ?= 8400
APP_PORT ?= 8401
CONFIG ?= .demo/vestibule.yaml
PYTEST_ARGS ?=
# Two more than the cores: many tests wait for a server rather than compute.
TEST_PROCESSES ?= $(shell expr $$(nproc) + 2)
SOAK_MINUTES ?= 10
UV_VERSION := 0.13.9

VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PIP_NO_INPUT := 1
# What is compiled is kept: each program that tests start, and each of their processes, would compile all of us anew.
unexport PYTHONDONTWRITEBYTECODE

digest = $(shell cat $(1) 2>/dev/null | sha256sum | cut -c1-16)
RUN_READY := $(VENV)/.run-$(call digest,requirements/main.txt pyproject.toml)
DEV_READY := $(VENV)/.dev-$(call digest,requirements/dev.txt pyproject.toml)
NODE := bench/peers/node_oidc_provider
NODE_READY := $(NODE)/node_modules/.package-lock.json

.PHONY: help setup run run-fresh test soak check format bench bench-cut lock migrate docs packages clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DEV_READY) ## Prepare .venv with everything, development tools included

run: $(RUN_READY) ## Start the demo (PORT=8400 APP_PORT=8401): the identity provider and a care application; Ctrl-C stops both
	@$(BIN)/python -m demo --port $(PORT) --app-port $(APP_PORT)

run-fresh: $(RUN_READY) ## The same, starting over: the demo's data are thrown away first
	@$(BIN)/python -m demo --port $(PORT) --app-port $(APP_PORT) --fresh

# The second run is of the tests that a store can change, three cases of each (`make soak` runs every one). pytest says 5 when PYTEST_ARGS leaves nothing to run.
test: packages $(NODE_READY) check ## Check, then run every test on SQLite, then on PostgreSQL and Redis (PYTEST_ARGS="-k logout" for some)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --stores=postgresql $(PYTEST_ARGS) || [ $$? -eq 5 ]

# Each step by itself: one that finds something does not keep the others from being run by hand.
soak: packages $(NODE_READY) ## The long runs: deaths under departures, races, hosts killed (SOAK_MINUTES=10), hostile requests, every case on PostgreSQL
	SOAK_MINUTES=$(SOAK_MINUTES) $(BIN)/python -m pytest -n 0 -s tests/faults/test_cut_soak.py tests/security/test_cut_races.py \
		tests/flows/test_cut_model.py $(PYTEST_ARGS)
	SOAK_MINUTES=$(SOAK_MINUTES) $(BIN)/python -m pytest -n 0 -s tests/faults/test_many_servers.py \
		tests/security/test_lockout_attacks.py tests/security/test_fuzz.py -k 'answered or storm or test_fuzz' $(PYTEST_ARGS)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --stores=postgresql --every-case $(PYTEST_ARGS)

check: $(DEV_READY) ## Lint, formatting, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(DEV_READY) ## Rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV_READY) ## Measure (PEER=node-oidc-provider puts that peer beside us; with a directory: .venv/bin/python -m bench.directory)
	$(BIN)/python -m bench

bench-cut: packages $(DEV_READY) ## Measure how long a departure takes by each path, and thousands at once (half an hour)
	$(BIN)/python -m bench.cut
	$(BIN)/python -m bench.drain

lock: build/uv/bin/uv-$(UV_VERSION) ## Choose the newest versions again and write requirements/*.txt with hashes
	build/uv/bin/uv pip compile $(LOCK_FLAGS) pyproject.toml requirements/build.in --extra demo -o requirements/main.txt
	build/uv/bin/uv pip compile $(LOCK_FLAGS) requirements/native.in -o requirements/native.txt
	build/uv/bin/uv pip compile $(LOCK_FLAGS) pyproject.toml requirements/build.in requirements/native.in --extra demo --extra windows --extra dev \
		-c requirements/main.txt -c requirements/native.txt -o requirements/dev.txt

LOCK_FLAGS := --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

migrate: $(RUN_READY) ## Bring a database to the newest schema (CONFIG=path; the demo's by default)
	$(BIN)/vestibule --config $(CONFIG) migrate

docs: $(DEV_READY) ## Write the generated reference pages again
	$(BIN)/python docs/generate.py

packages: ## Install the Debian programs that tests drive (root), or name them
	@tests/support/packages.sh chromium=chromium chromium-headless-shell=chromium-headless-shell apache2=apache2-bin mod_auth_openidc.so=libapache2-mod-auth-openidc \
		fonts=fonts-dejavu-core slapd=slapd ns-slapd=389-ds-base dscreate=python3-lib389 \
		redis-server=redis-server nginx=nginx-light initdb=postgresql aiosmtpd=python3-aiosmtpd \
		rsyslogd=rsyslog lmnsd_ossl=rsyslog-openssl \
		samba=samba samba-tool=samba-common-bin provision=samba-ad-provision dsdb=samba-dsdb-modules vfs=samba-vfs-modules winbindd=winbind \
		krb5kdc=krb5-kdc kadmin.local=krb5-admin-server kinit=krb5-user npm=npm

clean: ## Remove .venv and caches (the demo's data stay: make run-fresh)
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@tests/support/packages.sh --venv $(PYTHON)
	$(PYTHON) -m venv $(VENV)

$(RUN_READY): | $(VENV)/bin/python
	$(call install,requirements/main.txt)

# gssapi has no wheel: it is built with what native.txt pins, and nothing else.
$(DEV_READY): | $(VENV)/bin/python
	@tests/support/packages.sh krb5-config=libkrb5-dev gcc=gcc Python.h=python3-dev
	$(BIN)/pip install --quiet --require-hashes -r requirements/native.txt
	$(call install,requirements/dev.txt)

# The upstream provider that tests sign people in at, and a peer of the bench: package-lock.json has the digest of each package.
$(NODE_READY): $(NODE)/package-lock.json | packages $(DEV_READY)
	@$(BIN)/python -c 'from bench.peers import node_oidc; node_oidc.install()'
	@touch $@

define install
	@echo 'Installing from $(1) (a minute or two the first time)'
	$(BIN)/pip install --quiet --require-hashes $(if $(findstring dev,$(1)),--no-build-isolation) -r $(1)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
endef

build/uv/bin/uv-$(UV_VERSION):
	$(PYTHON) -m venv build/uv
	build/uv/bin/pip install --quiet uv==$(UV_VERSION)
	@touch $@
