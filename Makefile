# Needs Python 3.11+ and make; installs everything else into .venv from uv.lock.

PYTHON ?= python3
UV_VERSION := 0.13.9
export UV_LINK_MODE := copy
export UV_PYTHON_DOWNLOADS := never

# Some tests wait for a process or a clock: one more at a time than there are cores.
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo run sandbox test faults mutants check format bench clients image-check screenshots lock clean

demo: $(READY) ## every situation on a service and a Cordial of its own; ARGS=--once to exit after it
	$(BIN)/python -m app demo $(ARGS)

ifeq ($(wildcard .env),)
run: export CORDIAL_EXTRA_HOSTS ?= 127.0.0.1:9100,localhost:9100
endif
run: $(READY) ## the service, with its data in ./data; without .env, the sandbox's port is allowed
	$(BIN)/python -m app serve

sandbox: $(READY) ## a local Cordial on port 9100
	$(BIN)/python -m app sandbox

test: export PYTHONDONTWRITEBYTECODE := # else every worker compiles all tests anew in every run
test: $(READY) ## all tests, a real PostgreSQL included; ARGS are pytest's, JOBS=0 runs them one by one
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

faults: $(READY) ## the fault suite in its long form, one table at the end; ARGS="--seed 7" repeats a run
	$(BIN)/python -m tests.faults $(ARGS)
	$(BIN)/python -m pytest --hypothesis-profile many tests/jebbit tests/rules tests/delivery/test_histories.py \
		tests/delivery/test_worker.py tests/delivery/test_sending.py tests/operations/test_config_as_code.py \
		tests/operations/test_comparing.py tests/api/test_openapi.py tests/hostile/test_growth.py tests/browser \
		tests/load tests/test_children.py tests/test_ending.py

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

screenshots: $(READY) ## the pictures of docs/, from the demo's data; needs a Chromium
	$(BIN)/python -m tests.browser.screenshots

clients: $(READY) ## what tests/clients needs: a generator of Python clients and, where npm is, linters and TypeScript
	$(BIN)/uv venv --quiet --clear .venv.clients
	$(BIN)/uv pip install --quiet --python .venv.clients/bin/python --require-hashes -r tests/clients/requirements.txt
	@command -v npm >/dev/null || { echo "NO NPM: linters and the TypeScript client are not tested" >&2; exit 0; }; \
		cd tests/clients && npm ci --silent --no-audit --no-fund --ignore-scripts

image-check: $(READY) ## what the Dockerfile does, without Docker: a clean environment, another user, only /data written
	$(BIN)/python -m tests.image

lock: $(READY) ## newest versions that pyproject.toml allows
	$(BIN)/uv lock --upgrade
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" tests/clients/requirements.in -o tests/clients/requirements.txt

clean:
	rm -rf .venv .venv.new .venv.uv .venv.clients tests/clients/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis

# An environment is made aside and moved to its place when it is whole, so that a first `make` that
# fails half way (no network, no python3-venv) leaves nothing behind that a second would trip over.
$(READY): pyproject.toml uv.lock Makefile
	@$(BIN)/uv --version >/dev/null 2>&1 || $(MAKE) --no-print-directory .venv-anew
	@$(BIN)/uv sync --quiet --locked
	@touch $@

.PHONY: .venv-anew
.venv-anew:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed. If it has another name: make PYTHON=python3.13" >&2; exit 1; }
	@rm -rf .venv.uv .venv.new
	@$(PYTHON) -m venv .venv.uv \
		|| { rm -rf .venv.uv; echo "Python's module venv is missing or not whole. On Debian and Ubuntu:" \
			"apt-get install python3-venv. Then run make again." >&2; exit 1; }
	@echo "Installing what uv.lock lists into .venv: some 500 MB, about a minute with a quick network."
	@.venv.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@.venv.uv/bin/uv venv --quiet --relocatable --python .venv.uv/bin/python .venv.new
	@UV_PROJECT_ENVIRONMENT=.venv.new .venv.uv/bin/uv sync --quiet --locked
	@rm -rf .venv .venv.uv
	@mv .venv.new .venv
	@echo "Installed."
