.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
# The system's trust store, not only the bundled one: behind a company's proxy the bundled one is not enough.
export UV_SYSTEM_CERTS := 1
export UV_PYTHON_DOWNLOADS := never
UV := .venv/bin/uv
# Four processes (they wait as often as they work), each with servers of its own; the tests of one file stay together.
WORKERS := -n 4 --dist loadfile

# What somebody set for other projects has no say in where and what this one installs.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH
unexport PIP_DRY_RUN PIP_PREFIX PIP_PYTHON PIP_REQUIRE_HASHES PIP_ROOT PIP_TARGET PIP_USER
unexport UV_ENV_FILE UV_LOCKED UV_MANAGED_PYTHON UV_NO_BINARY UV_NO_BUILD UV_NO_DEV UV_NO_EDITABLE UV_NO_GROUP
unexport UV_NO_INSTALL_LOCAL UV_NO_INSTALL_PROJECT UV_NO_SYNC UV_PROJECT UV_PROJECT_ENVIRONMENT UV_PYTHON
unexport UV_SYSTEM_PYTHON UV_WORKING_DIR UV_WORKING_DIRECTORY
# Or every process compiles all that it imports once more, which is most of its start.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.run.stamp ## start the whole system on this machine, until Ctrl-C
	@exec .venv/bin/python -m deploy.local --parent $$PPID

test: .venv/.dev.stamp ## every test, against real NATS, Postgres and Valkey (ARGS=... goes to pytest)
	@.venv/bin/pytest $(WORKERS) $(ARGS)

check: lint types architecture .venv/.dev.stamp ## lint, types, architecture, and the tests with their coverage: what CI runs
	@.venv/bin/pytest $(WORKERS) --cov --cov-report=term

lint: .venv/.dev.stamp ## ruff: rules and layout
	@.venv/bin/ruff check && .venv/bin/ruff format --check

types: .venv/.dev.stamp ## mypy, strict
	@.venv/bin/mypy

architecture: .venv/.dev.stamp ## who may import whom; the other rules are tests in tests/architecture
	@.venv/bin/lint-imports

demo: .venv/.run.stamp ## with the platform up: import a history (REPO=path), train, play a few agents
	@.venv/bin/precedent demo --repository-path $(or $(REPO),.)

format: .venv/.dev.stamp ## lay the code out, and mend what ruff can
	@.venv/bin/ruff check --fix --quiet; .venv/bin/ruff format

train: data .venv/.run.stamp ## fit the model that ships (DATA=labelled histories; OUT=directory)
	@.venv/bin/precedent train --data $(DATA) --out $(or $(OUT),services/trainer/default_model)

eval: data .venv/.dev.stamp ## confidence, categories, related changes, with repositories left out (DATA=directory): docs/evaluation.md
	@.venv/bin/python -m services.trainer.offline eval --data $(DATA) --out $(or $(OUT),docs/evaluation.md)
	@$(MAKE) --no-print-directory eval-memory

data:
	@if [ -z "$(DATA)" ]; then \
	  echo 'DATA is missing: say DATA=path, a directory with *outcome*.jsonl.gz in it; docs/ml-training.md tells the format' >&2; \
	  exit 2; fi

seed-large: .venv/.dev.stamp ## fill the empty platform that runs with a million fixes and learnings (ROWS=n)
	@.venv/bin/python -m benchmarks.seed_large

bench-data: .venv/.dev.stamp ## reads at a million rows beside their naive forms, database CPU, the API: docs/performance-baseline.md
	@.venv/bin/python -m benchmarks.bench_data

bench-training: .venv/.dev.stamp ## a fit of a million fixes: seconds and memory (ROWS=n)
	@.venv/bin/python -m benchmarks.bench_training

bench-flow: .venv/.dev.stamp ## submit to scored, and to answered: milliseconds at two rates, and the most fixes a second
	@.venv/bin/python -m benchmarks.bench_flow

bench-patterns: .venv/.dev.stamp ## an analysis beside 100,000 fixes, fixes categorized a second, the worst diffs
	@.venv/bin/python -m benchmarks.bench_patterns

bench-limiter: .venv/.dev.stamp .venv/.bench.stamp ## two-bucket decisions a second, beside limits and throttled-py
	@.venv/bin/python -m benchmarks.bench_limiter

bench-edge: .venv/.dev.stamp .venv/.bench.stamp ## the edge, beside the least that its server can do, and beside others
	@.venv/bin/python -m benchmarks.bench_edge

bench-bulk: .venv/.dev.stamp ## an import, lines a second to scored, beside JetStream alone; the write step beside COPY (LINES=n)
	@.venv/bin/python -m benchmarks.bench_bulk

contract-files: .venv/.dev.stamp ## write docs/openapi.json, asyncapi.json and problems.md anew
	@.venv/bin/python -m services.gateway.contract_files docs

bench-scoring: .venv/.dev.stamp .venv/.bench.stamp .venv/mlserver ## what a score costs: a row, a diff in the worker, the path over HTTP beside others
	@.venv/bin/python -m benchmarks.bench_scoring

soak: .venv/.dev.stamp ## a thousand models swapped under load: no failed request, flat memory
	@.venv/bin/pytest -s --timeout 1800 -o norecursedirs= tests/chaos/test_swaps.py
fuzz-api: .venv/.dev.stamp ## the API under generated requests for ten minutes, with every key, with a seed of its own
	@PRECEDENT_FUZZ_PHASES=examples,coverage,fuzzing,stateful PRECEDENT_FUZZ_EXAMPLES=100 PRECEDENT_FUZZ_SECONDS=100 \
	  PRECEDENT_FUZZ_KEYS=all,read,submit,report,vote,operate PRECEDENT_FUZZ_SEED=$$RANDOM .venv/bin/pytest -n 0 --timeout 1800 tests/api/test_schemathesis.py

chaos: .venv/.dev.stamp ## kills scoring, NATS and the supervisor under load; about three minutes
	@.venv/bin/pytest -s --timeout 1800 -o norecursedirs= tests/chaos/test_kills.py

eval-memory: .venv/.dev.stamp ## categories and related changes on labelled histories (DATA=directory), into docs/evaluation.md
	@.venv/bin/python -m benchmarks.evaluate_memory $(DATA) $(or $(OUT),docs/evaluation.md)

fuzz: .venv/.dev.stamp ## texts without end for the diff reader, five minutes
	@$(MAKE) --no-print-directory .venv/.fuzz.stamp || echo 'without atheris'
	@.venv/bin/python -m tests.fuzz.diffs

# `make .venv/.dev.stamp` installs the group `dev`, and so on. Inexact: one group never removes what another brought.
.venv/.%.stamp: pyproject.toml uv.lock .venv/bin/uv
	@$(UV) sync --frozen --inexact --no-default-groups --group $* --quiet
	@touch $@

# Apart, for it wants other versions of what this project has. Where it cannot be had the rest is measured without it.
.venv/mlserver: | .venv/bin/uv
	@$(UV) venv --quiet --python .venv/bin/python $@ && $(UV) pip install --quiet --python $@/bin/python mlserver==1.7.1 mlserver-lightgbm==1.7.1 \
	  || { rm -rf $@; echo 'without MLServer'; }

.venv/bin/uv:
	@for python in $(PYTHON) python3.14 python3.13 python3.12 python3.11 none; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; done; \
	if [ $$python = none ]; then \
	  echo 'Precedent needs Python 3.11 or newer and finds none: install it, or name it with PYTHON=/path/to/python' >&2; \
	  exit 1; fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$python cannot make a virtual environment: on Debian or Ubuntu, apt install python3-venv" >&2; exit 1; fi; \
	echo "Installing into .venv (the first time only)"; \
	$$python -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.PHONY: help run test check lint types architecture format demo train eval data bench-training bench-flow bench-limiter bench-edge bench-bulk bench-scoring soak chaos contract-files fuzz-api bench-patterns bench-data seed-large fuzz eval-memory
