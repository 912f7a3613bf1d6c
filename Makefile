# Needs Python 3.11+ and make; installs everything else into .venv from uv.lock.

PYTHON ?= python3
UV_VERSION := 0.13.9
export UV_LINK_MODE := copy
export UV_PYTHON_DOWNLOADS := never

BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo run sandbox test faults mutants check format bench screenshots lock clean

demo: $(READY) ## every situation on a service and a Cordial of its own; ARGS=--once to exit after it
	$(BIN)/python -m app demo $(ARGS)

ifeq ($(wildcard .env),)
run: export CORDIAL_EXTRA_HOSTS ?= 127.0.0.1:9100,localhost:9100
endif
run: $(READY) ## the service, with its data in ./data; without .env, the sandbox's port is allowed
	$(BIN)/python -m app serve

sandbox: $(READY) ## a local Cordial on port 9100
	$(BIN)/python -m app sandbox

test: $(READY) ## all tests, a real PostgreSQL included; ARGS are pytest's
	$(BIN)/python -m pytest $(ARGS)

faults: $(READY) ## the fault suite in its long form, one table at the end; ARGS="--seed 7" repeats a run
	$(BIN)/python -m tests.faults $(ARGS)
	$(BIN)/python -m pytest --hypothesis-profile many tests/jebbit tests/rules tests/api/test_openapi.py

mutants: $(READY) ## small changes of the code that no test notices; ARGS="app/rules/policy.py" for one file
	$(BIN)/python -m tests.mutants $(ARGS)

check: $(READY) ## style, types, directions of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## how fast it is, against baselines of the same run; ARGS="--rows 1,3 --engines sqlite" for less
	$(BIN)/python -m tests.load.bench $(ARGS)

screenshots: $(READY) ## the pictures of docs/console.md, from the demo's data; needs chromium
	$(BIN)/python -m tests.browser.screenshots

lock: $(READY) ## newest versions that pyproject.toml allows
	$(BIN)/uv lock --upgrade

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml uv.lock Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv sync --quiet --locked
	touch $@
