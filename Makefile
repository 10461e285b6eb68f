# Everything a newcomer needs: `make fuzz` and `make test`. Everything CI runs: `make check`.
# Needs python3 (3.11 or later), make and gcc; the rest goes into .venv.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed-from-pyproject

FUZZ_SECONDS ?= 60
CANARY_SECONDS ?= 15
CANARY_DATE ?= $(shell date -u +%F)
CLEAN_SECONDS ?= 15
PYTEST_ARGS ?= -n auto
PYTHONS ?= 3.11 3.12 3.13

# GNU make answers 2 for any recipe that fails, but under -q it hands a recipe's status 1 on as it is (lines
# that begin with + run even then). `make fuzz` uses that: 0 is nothing found, 1 is a finding.
ifeq ($(MAKECMDGOALS),fuzz)
MAKEFLAGS += -q
endif
ALONE := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL

.DEFAULT_GOAL := help
.PHONY: help fuzz test check format lint types smoke bench canaries seeds clean

help:
	@echo 'make fuzz     fuzz reference against candidate for $(FUZZ_SECONDS) s; status 0: nothing found, 1: a finding'
	@echo 'make test     run every test'
	@echo 'make check    what CI runs: format, lint, types, house rules, tests, fuzz smoke with a planted canary'
	@echo 'make pythons  environments for the other Pythons that are here; tests compare their results with this one'
	@echo 'make bench    measure, print a table, write bench/results.json'
	@echo 'make seeds    make the seed corpus again'
	@echo 'make canaries measure again which faults are always found'
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

# A fuzzer that finds nothing looks the same as one that checks nothing: a planted bug must be found first. Which one
# goes by the date, out of those that are always found (bench/canaries.json): each has its turn.
smoke: $(STAMP)
	@rm -rf .fuzz/canary .fuzz/clean; mkdir -p .fuzz
	@fault=$$($(PY) -m bench.canary --date $(CANARY_DATE)) || exit 1; \
	  echo "smoke: the canary of $(CANARY_DATE), $$fault, must be found within $(CANARY_SECONDS) s"; \
	  $(VENV)/bin/zsfuzz run --fault $$fault --time $(CANARY_SECONDS) --stop-on-first \
	  --findings .fuzz/canary --json > .fuzz/canary.json; status=$$?; \
	  if [ $$status -ne 1 ]; then echo "smoke: the canary was not found (status $$status), see .fuzz/canary.json" >&2; exit 1; fi
	@echo 'smoke: reference against candidate must be clean for $(CLEAN_SECONDS) s'
	@$(VENV)/bin/zsfuzz run --time $(CLEAN_SECONDS) --findings .fuzz/clean --json > .fuzz/clean.json; status=$$?; \
	  if [ $$status -ne 0 ]; then echo "smoke: status $$status instead of 0, see .fuzz/clean.json" >&2; exit 1; fi
	@echo 'smoke: the canary was found, the clean pair is clean'

# One environment for each version of Python that is here, for tests/e2e/test_same_everywhere.py: greenlet is compiled
# for one version, so others cannot borrow it from .venv.
pythons:
	@for version in $(PYTHONS); do \
	  for python in "python$$version" "$${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version".*/bin/python; do \
	    if "$$python" -c '' 2> /dev/null; then \
	      echo "making .venv-$$version ..."; \
	      "$$python" -m venv --clear ".venv-$$version" && \
	      ".venv-$$version/bin/python" -m pip install --quiet --disable-pip-version-check --editable . || exit 1; \
	      continue 2; \
	    fi; \
	  done; \
	  echo "no Python $$version here"; \
	done

bench: $(STAMP)
	$(PY) -m bench.run

canaries: $(STAMP)
	$(PY) -m bench.canary --tries 100

# The same sources give the same files. Ten minutes or so.
seeds: $(STAMP)
	rm -rf .fuzz/seeds .fuzz/seeds-sequential corpus/seeds/*.zst
	$(VENV)/bin/zsfuzz run --no-seeds --runs 3000 --seed 1 --parallel 20 --corpus .fuzz/seeds --findings .fuzz/seeds-findings
	$(VENV)/bin/zsfuzz corpus distill corpus/seeds .fuzz/seeds --cover landmarks --text
	$(VENV)/bin/zsfuzz run --no-seeds --runs 2500 --seed 2 --parallel 0 --corpus .fuzz/seeds-sequential --findings .fuzz/seeds-findings
	$(VENV)/bin/zsfuzz corpus distill corpus/seeds .fuzz/seeds-sequential --cover landmarks --text

clean:
	rm -rf $(VENV) $(VENV)-3.* .fuzz .mypy_cache .pytest_cache .ruff_cache .hypothesis zsfuzz.egg-info build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
