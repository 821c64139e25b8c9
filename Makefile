# The first command on a fresh clone may be any of these: each makes .venv by itself, and again when pyproject.toml or
# constraints.txt changed. Needed: git, make, and a Python of 3.11 or later with its venv module.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# How many tests run at once; those marked `alone` have the machine to themselves (tests/conftest.py).
JOBS ?= 2
# Through the environment, so that no character of a path means anything to the shell.
export ROOT ?=

.PHONY: help run test check tables chaos lint types docs sanitize perf install clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

run: $(STAMP) ## watch a real tree and show the events that arrive; ROOT=path watches that tree until Ctrl-C
	@if [ -n "$$ROOT" ]; then exec $(VENV)/bin/shardwatch watch "$$ROOT"; else exec $(PY) -P -m shardwatch.supervisor.demo; fi

test: $(STAMP) ## run every test; ARGS="-k name" goes to pytest
	@export SW_TESTS_WITH_PARENT=1; exec $(PY) -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

check: lint types ## the everyday loop: lint, types, unit and property tests, in two minutes
	@export SW_TESTS_WITH_PARENT=1; exec $(PY) -m pytest -n $(JOBS) --dist loadgroup -q tests/unit tests/property $(ARGS)

tables: $(STAMP) ## write the tables of docs/filesystems.md as tests find them (needs root): ARGS=--long takes longer over it
	@export SW_TESTS_WITH_PARENT=1; exec $(PY) -m pytest -n 1 --dist loadgroup -q tests/integration/test_mirror_matrix.py \
	  tests/integration/test_filesystems.py -k document\ or\ mirror --write-tables $(ARGS)

chaos: $(STAMP) ## kill everything at random, and check that no change is missed: SEED=n replays a run, MINUTES=m (4), ARGS="--files 50000"
	@export SW_TESTS_WITH_PARENT=1 PYTHONPATH=tests; exec $(PY) -P -m chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

lint: $(STAMP) ## ruff, and import-linter for the arrows between the rooms
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/lint-imports --no-logo

types: $(STAMP) ## mypy, strict: the product, its tests, the benchmarks, the manual, the example
	@$(VENV)/bin/mypy src tests
	@$(VENV)/bin/mypy perf
	@$(VENV)/bin/mypy manual
	@$(VENV)/bin/mypy examples/extract

docs: $(STAMP) ## the documents as a site, in build/site; fails if a link leads nowhere
	@exec $(PY) manual/build_manual.py

sanitize: $(STAMP) ## native code under the address and undefined behaviour sanitizers, with damaged input: ROUNDS=n (30000)
	@exec tests/sanitize.sh $(ROUNDS)

perf: $(STAMP) ## the benchmarks; QUICK=1 takes five minutes, PEERS=1 or =watchman,... or OLD=commit compares, NATIVE=0, ROWS=cost or =start,...
	@$(PY) -m compileall -q aggregator bridge shard supervisor  # what a pull has brought is not compiled at each start
	@export PEERS QUICK OLD; if [ "$(NATIVE)" = 0 ]; then export SHARDWATCH_NATIVE=0; fi; \
	  if [ -n "$$PEERS" ]; then $(PY) perf/peers.py "$$PEERS" || exit; fi; \
	  $(PY) -m pytest perf -p no:xdist --benchmark-columns=min,median,max,rounds $(if $(ROWS),--rows=$(ROWS)) $(ARGS); code=$$?; \
	  if [ -z "$$QUICK" ]; then $(PY) perf/report.py || exit; fi; exit $$code

install: $(STAMP) ## only make .venv

clean: ## remove what make made
	rm -rf $(VENV) .demo build dist src/*.egg-info shard/compiled/*.so

$(STAMP): pyproject.toml constraints.txt shard/compiled/_loops.c
	@rm -f $@; \
	if ! $(PY) -c 'import pip' 2>/dev/null; then \
	  for candidate in $$PYTHON python3 python3.11 python3.12 python3.13 python3.14; do \
	    if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	    then found="$$candidate"; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "No Python 3.11 or later with its venv module was found (Debian: apt-get install python3-venv)." >&2; \
	    echo "If it has another name: make PYTHON=/path/to/python ..." >&2; exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$("$$found" --version)"; \
	  "$$found" -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "Installing the packages of constraints.txt into $(VENV)"
	@$(PY) -m pip install -qq -c constraints.txt setuptools
	@$(PY) -m pip install -qq -c constraints.txt --no-build-isolation -e '.[dev,docs,nats,top,web]'
	@$(PY) -m compileall -q aggregator bridge shard supervisor
	@touch $@
