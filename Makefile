# `make` alone prints the targets; each is one line of explanation after `##`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BENCH := .venv-bench
S3 := .venv-s3
BIN := $(VENV)/bin
SLOWEST := --durations=40 --durations-min=1
LOCKED := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links
LOCK = $(BIN)/uv pip compile pyproject.toml $(LOCKED)

CLIENTS := docs/samples/javascript tests/contracts/asyncapi

.PHONY: help env up quick test check clients bench docs lock clean

help: ## print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 8

env: $(VENV)/project ## make the environment in .venv from the hashed lock

$(VENV)/project: $(VENV)/packages pyproject.toml
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/packages: requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(S3)/packages: requirements/s3.txt
	$(PYTHON) -m venv $(S3)
	$(S3)/bin/python -m pip install --quiet --require-hashes -r requirements/s3.txt
	@touch $@

$(BENCH)/packages: requirements/bench.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --require-hashes -r requirements/bench.txt
	$(BENCH)/bin/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

up: env ## run it all here: Kafka, workers, reader, traffic, and a live view
	$(BIN)/netsold up

quick: env $(S3)/packages ## the tests that need no broker, with the coverage of the pure rooms
	$(BIN)/python -m pytest -q -n auto --cov -m "not kafka and not faults and not long" $(SLOWEST)

test: check quick ## the gate: check, then every test but the long ones
	$(BIN)/python -m pytest -v -n 2 --dist loadfile -m "(kafka or faults) and not long" $(SLOWEST)

check: env ## format, lint, types, reference pages, and contracts: HTTP, topics, schemas of every release
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_docs.py -k reference_pages
	$(BIN)/netsold schemas check

clients: ## packages of the sample consumers and of AsyncAPI's parser, by their locks, where node and go are
	for folder in $(CLIENTS); do ! command -v npm >/dev/null || npm ci --prefix $$folder --ignore-scripts --no-audit --no-fund --silent; done
	! command -v go >/dev/null || go -C docs/samples/go mod download

bench: env $(BENCH)/packages ## the same job by several engines, in one table
	$(BIN)/python -m bench

docs: env ## write docs/reference anew from the lists in the code
	$(BIN)/python -m docs.lists

lock: env ## resolve the dependencies anew and write the hashed locks
	$(LOCK) --upgrade --extra otel --extra iceberg --output-file requirements/run.txt
	$(LOCK) --upgrade --extra otel --extra iceberg --group dev --constraint requirements/run.txt --output-file requirements/dev.txt
	$(LOCK) --upgrade --group bench --output-file requirements/bench.txt
	$(BIN)/uv pip compile --group s3 $(LOCKED) --upgrade --output-file requirements/s3.txt
	cd docs/samples/python && ../../../$(BIN)/uv pip compile requirements.in $(LOCKED) --upgrade --output-file requirements.txt

clean: ## remove what was made here, but not data/
	rm -rf $(VENV) $(BENCH) $(S3) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
