# Everything a newcomer needs: `make fuzz` and `make test`. Everything CI runs: `make check`.
# Needs python3 (3.11 or later), make and gcc; the rest goes into .venv.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed-from-pyproject

FUZZ_SECONDS ?= 60
CANARY_SECONDS ?= 15
CLEAN_SECONDS ?= 15
PYTEST_ARGS ?= -n auto

# GNU make answers 2 for any recipe that fails, but under -q it hands a recipe's status 1 on as it is (lines
# that begin with + run even then). `make fuzz` uses that: 0 is nothing found, 1 is a finding.
ifeq ($(MAKECMDGOALS),fuzz)
MAKEFLAGS += -q
endif
ALONE := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL

.DEFAULT_GOAL := help
.PHONY: help fuzz test check format lint types smoke bench clean

help:
	@echo 'make fuzz     fuzz reference against candidate for $(FUZZ_SECONDS) s; status 0: nothing found, 1: a finding'
	@echo 'make test     run every test'
	@echo 'make check    what CI runs: format, lint, types, house rules, tests, fuzz smoke with a planted canary'
	@echo 'make bench    measure, print a table, write bench/results.json'
	@echo 'make format   rewrite the sources in the one format'
	@echo 'make clean    remove .venv and caches'

# Rebuilt when pyproject.toml changes, and only then: the install is editable, so sources need no rebuild.
$(STAMP): pyproject.toml
	+@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo '$(PYTHON): Python 3.11 or later is needed; install it, or name it: make PYTHON=python3.12 ...' >&2; exit 2; }
	+@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo '$(PYTHON): module ensurepip is missing; install it: apt-get install python3-venv' >&2; exit 2; }
	+@echo 'making $(VENV) ...'
	+@$(ALONE) $(PYTHON) -m venv --clear $(VENV)
	+@$(ALONE) $(PY) -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	+@touch $@

fuzz: $(STAMP)
	+@$(ALONE) $(VENV)/bin/zsfuzz run --time $(FUZZ_SECONDS)

test: $(STAMP)
	$(PY) -m pytest $(PYTEST_ARGS)

# One after the other, whatever -j says. The tests (house rules among them) come last, so that their summary
# is the end of the log.
check: $(STAMP)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(MAKE) --no-print-directory smoke
	$(PY) -m pytest $(PYTEST_ARGS)

format: $(STAMP)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

lint: $(STAMP)
	$(VENV)/bin/ruff check .

types: $(STAMP)
	$(VENV)/bin/mypy

# A fuzzer that finds nothing looks the same as one that checks nothing: a planted bug must be found first.
smoke: $(STAMP)
	@echo 'smoke: a planted canary must be found within $(CANARY_SECONDS) s'
	@rm -rf .fuzz/canary .fuzz/clean; mkdir -p .fuzz
	@$(VENV)/bin/zsfuzz run --candidate candidate-literal:H05 --time $(CANARY_SECONDS) --stop-on-first \
	  --findings .fuzz/canary --json > .fuzz/canary.json; status=$$?; \
	  if [ $$status -ne 1 ]; then echo "smoke: the canary was not found (status $$status), see .fuzz/canary.json" >&2; exit 1; fi
	@echo 'smoke: reference against candidate must be clean for $(CLEAN_SECONDS) s'
	@$(VENV)/bin/zsfuzz run --time $(CLEAN_SECONDS) --findings .fuzz/clean --json > .fuzz/clean.json; status=$$?; \
	  if [ $$status -ne 0 ]; then echo "smoke: status $$status instead of 0, see .fuzz/clean.json" >&2; exit 1; fi
	@echo 'smoke: the canary was found, the clean pair is clean'

bench: $(STAMP)
	$(PY) -m bench.run

clean:
	rm -rf $(VENV) .fuzz .mypy_cache .pytest_cache .ruff_cache .hypothesis zsfuzz.egg-info build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
