# One command each. `make run` needs python3 (3.11 or newer) and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
export PORT
# Processes that run tests side by side; most tests wait for processes of their own.
TESTERS ?= 3
TEST = $(BIN)/python -m pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder

.PHONY: run test quick check js node shape bench chaos gpu format clean

run: $(VENV)/.engine
	@exec $(BIN)/python manage.py up

test: $(VENV)/.dev
	@$(TEST) $(ARGS)

# Before each commit: no ranks, databases, browsers or slow files; under two minutes on two cores.
quick: TESTERS = logical --maxprocesses 8
quick: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(TEST) -q -m "not (ranks or services or browser or gpu or chaos or perf or slow)" $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory js
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(TEST) $(ARGS)

# Structure figures: of this tree, or of others side by side with ARGS="TREE TREE".
shape:
	@$(PYTHON) -m tests.structure $(ARGS)

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

# Truth from one NVIDIA GPU in at most ten minutes, as a folder that tests replay. On a CPU: make gpu ARGS="--dry-run".
GPU_OUT ?= build/gpu-$(shell date +%Y%m%d-%H%M%S)
gpu: $(VENV)/.dev
	@$(BIN)/python -m tests.gpu $(GPU_OUT) $(ARGS)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info node_modules

$(VENV)/.engine: pyproject.toml constraints.txt
	@$(PYTHON) dashboard/server/preflight.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python dashboard/server/install.py ".[engine,parquet]" $(PIP_ARGS)
	@touch $@

$(VENV)/.dev: $(VENV)/.engine
	@$(BIN)/python dashboard/server/install.py ".[engine,parquet,dev]" $(PIP_ARGS)
	@touch $@

node_modules/.installed: package-lock.json | node
	@npm ci --silent --no-fund --no-audit
	@touch $@
