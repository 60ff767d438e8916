# One command each. `make run` needs python3 (3.11 or newer) and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
export PORT
# Processes that run tests side by side; most tests wait for processes of their own.
TESTERS ?= 3
TEST := $(BIN)/python -m pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder

.PHONY: run test check js node bench chaos format clean

run: $(VENV)/.engine
	@exec $(BIN)/python manage.py up

test: $(VENV)/.dev
	@$(TEST) $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory js
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(TEST) $(ARGS)

# Types and lint of the front end. Node.js is needed for this check alone, never to build or to run.
js: node_modules/.installed | node
	node_modules/.bin/tsc
	node_modules/.bin/eslint --max-warnings 0 dashboard/static/js eslint.config.js

node:
	@command -v npm >/dev/null || { echo "make js needs Node.js 20.19 or newer with npm; neither is needed to run Fourwalls." >&2; exit 1; }

bench: $(VENV)/.dev
	@$(BIN)/python -m pytest -q -s -m perf tests/perf $(ARGS)

chaos: $(VENV)/.dev
	@$(BIN)/python -m pytest -q -s -m chaos tests/chaos $(ARGS)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info node_modules

$(VENV)/.engine: pyproject.toml constraints.txt
	@$(PYTHON) dashboard/preflight.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned packages into $(VENV); this takes a few minutes the first time."
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt ".[engine,parquet]" $(PIP_ARGS) || \
	  { echo "Installing failed; the lines above say why. Nothing was started." >&2; exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/.engine
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt ".[engine,parquet,dev]" $(PIP_ARGS)
	@touch $@

node_modules/.installed: package-lock.json | node
	@npm ci --silent --no-fund --no-audit
	@touch $@
