# Everything a newcomer or a CI machine runs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
# maturin installs through pip, whose list of what is there already is of no interest.
export PIP_QUIET := 1
# Extra arguments: make test-python ARGS="-k fragment -x"
ARGS ?=
# What to do where the Autobahn test suite cannot be installed: fail or skip. CI must have it.
WITHOUT_PYTHON_2 ?= skip
# The same where the advisory database cannot be had.
WITHOUT_ADVISORIES ?= fail
FUZZ_SECONDS ?= 60
# How long the soak takes, and with how many sockets.
MINUTES ?= 5
SOCKETS ?= 100

.PHONY: help build demo test test-rust test-loom test-bench test-python hostile test-matrix contract check lint licences advisories \
        fmt fuzz miri valgrind soak bench bench-adoption bench-instructions bench-peers bench-http bench-slow-client bench-video clean core video tools uwsgi node \
        cargo-tools packages-test original

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-17s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## Set everything up and run the example project (HOST=, PORT=, ARTICLE_VIDEO_URL=)
	@echo "==> Open http://$(HOST):$(PORT)/ in a browser; Ctrl-C ends the demo"
	@cd examples/article && exec ../../$(BIN)/python manage.py runserver $(HOST):$(PORT)

build: core video ## Make .venv with the package (editable, release build), Django and all tools

$(VENV)/bin/python:
	@scripts/make-venv.sh "$(PYTHON)" $(VENV)

$(VENV)/.tools: pyproject.toml | $(VENV)/bin/python
	@echo "==> Installing Django, gunicorn, gevent, maturin and the test tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

tools: $(VENV)/.tools

uwsgi: $(VENV)/.uwsgi

$(VENV)/.uwsgi: pyproject.toml | $(VENV)/.tools
	@scripts/make-uwsgi.sh $(VENV)
	@touch $@

node: target/node/.ready

target/node/.ready: tests/node/package.json scripts/make-node.sh
	@scripts/make-node.sh target/node
	@touch $@

cargo-tools: $(VENV)/.cargo-tools

$(VENV)/.cargo-tools: pyproject.toml | $(VENV)/.tools
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group cargo-tools
	@touch $@

core: $(VENV)/.tools
	@scripts/need-cargo.sh
	@echo "==> Building dwebsocket-rs (release)"
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) PATH="$(CURDIR)/$(BIN):$$PATH" maturin develop --release --quiet

VIDEO_PACKAGES := libopencv-dev clang libclang-dev libturbojpeg0-dev libavformat-dev libavcodec-dev libavutil-dev pkg-config

# Whether the crate of video can be compiled here.
HAS_VIDEO := pkg-config --exists opencv4 libturbojpeg libavformat

# Without OpenCV the package works, all but video: a machine that cannot install it still gets the rest.
video: core
	@if scripts/packages.sh "video (OpenCV, FFmpeg)" $(VIDEO_PACKAGES); then \
	    echo "==> Building dwebsocket-rs-video (release; the first time takes a minute or two)"; \
	    VIRTUAL_ENV=$(CURDIR)/$(VENV) PATH="$(CURDIR)/$(BIN):$$PATH" maturin develop --release --quiet -m video/Cargo.toml; \
	else \
	    echo "==> Going on without video: its packages are missing, see above" >&2; \
	fi

# What the tests compare ours with: the original, in an environment of its own, since both are named dwebsocket.
target/original/venv/.ready: scripts/original.sh | $(VENV)/bin/python
	@scripts/original.sh $(BIN)/python target/original/venv

original: target/original/venv/.ready

packages-test:
	@scripts/packages.sh "the tests" chromium nginx-light libnginx-mod-rtmp ffmpeg openssl apache2-bin \
	    libapache2-mod-wsgi-py3 systemd postgresql valgrind

# A plus stands between two that run side by side.
TEST_STEPS := packages-test uwsgi node original test-rust valgrind+bench-instructions test-loom test-bench test-python hostile conformance+test-matrix

test: ## Set up what the tests need and run them all
	@scripts/steps.sh "$(MAKE)" build $(TEST_STEPS)

test-rust: ## Rust tests of the core and of video, without Python
	@scripts/need-cargo.sh
	@echo "==> Rust tests"
	@cargo test --no-default-features $(ARGS)
	@if $(HAS_VIDEO); then cargo test --no-default-features -p dwebsocket-rs-video $(ARGS); fi

test-loom: ## Model checks of the mailbox and the turnstile
	@scripts/need-cargo.sh
	@echo "==> Loom models"
	@RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --no-default-features --profile loom --test loom $(ARGS)

test-bench: ## Tests of the load that peers are compared with
	@scripts/need-cargo.sh
	@echo "==> Tests of the side-by-side benchmark's load"
	@cargo test --quiet --manifest-path benches/peers/Cargo.toml --target-dir target/peers/cargo $(ARGS)

test-python: original ## Python and browser tests in .venv (ARGS= goes to pytest)
	@echo "==> Python and browser tests"
	@scripts/pytest.sh $(BIN)/python $(ARGS)

hostile: core ## Attacks on the example project, with clients beside them that notice nothing
	@echo "==> Hostile clients"
	@$(BIN)/python tests/hostile/run.py

contract: core uwsgi ## The contract under every server and Django, as tables (ARGS= goes to pytest)
	@scripts/contract.sh $(ARGS)

test-matrix: core ## The wheel on every supported Python and Django that is here
	@WITH_VIDEO=$$($(HAS_VIDEO) && echo yes) scripts/test-matrix.sh

conformance: core ## The Autobahn test suite against the example project
	@$(BIN)/python tests/conformance/autobahn.py --without-python-2 $(WITHOUT_PYTHON_2)

lint: core ## Formatting, clippy, ruff, mypy, stubtest, layers, licences
	@echo "==> Lints"
	@cargo fmt --all --check
	@cargo clippy --quiet --all-targets -- -D warnings
	@cargo clippy --quiet --all-targets --no-default-features -- -D warnings
	@cargo fmt --manifest-path benches/peers/Cargo.toml --check
	@cargo clippy --quiet --manifest-path benches/peers/Cargo.toml --target-dir target/peers/cargo --all-targets -- -D warnings
	@if $(HAS_VIDEO); then cargo clippy --quiet -p dwebsocket-rs-video --all-targets -- -D warnings; fi
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/stubtest dwebsocket._core
	@$(BIN)/lint-imports
	@bash -n scripts/*.sh .ci/run
	@$(MAKE) licences

licences: cargo-tools ## That the licence of every crate fits ours (deny.toml)
	@scripts/licences.sh $(BIN)/cargo-deny

advisories: cargo-tools ## Crates with known vulnerabilities (ADVISORY_DB=, WITHOUT_ADVISORIES=skip)
	@scripts/advisories.sh $(WITHOUT_ADVISORIES) $(BIN)/cargo-audit

check: ## The lints, then every test: what CI runs
	@scripts/steps.sh "$(MAKE)" build lint $(TEST_STEPS)

fmt: tools ## Format Rust and Python
	@cargo fmt --all
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

fuzz: ## Run each fuzz target for a minute (FUZZ_SECONDS=)
	@scripts/need-cargo.sh
	@scripts/fuzz.sh $(FUZZ_SECONDS)

miri: ## Tests of the core under Miri, where a nightly toolchain has it
	@scripts/need-cargo.sh
	@scripts/miri.sh

valgrind: ## Signal handlers, adopted sockets and wire under Valgrind
	@scripts/need-cargo.sh
	@scripts/valgrind.sh

soak: core ## Used and misused for long: leaks, lost messages, a graph (MINUTES=5, SOCKETS=100, ARGS="--help")
	@cd benches && ../$(BIN)/python -m soak --minutes $(MINUTES) --sockets $(SOCKETS) $(ARGS)

bench: ## Benchmarks of the core (criterion)
	@cargo bench --no-default-features --bench wire --bench connection $(ARGS)

bench-instructions: ## Instructions of the echo path beside the committed ones (ARGS=--update writes these)
	@scripts/need-cargo.sh
	@scripts/packages.sh "counting instructions" valgrind
	@echo "==> Instructions of the echo path"
	@$(PYTHON) benches/instructions.py $(ARGS)

bench-peers: core ## Side by side with every peer (ARGS="--only echo --rounds 1 --peers ours,picows", or --help)
	@scripts/need-cargo.sh
	@cd benches && ../$(BIN)/python -m peers $(ARGS)

# The worker by itself, and the servers that it stands in for, with as many threads.
HTTP_PEERS := ours,ours-gunicorn,gunicorn-gthread-64,granian-wsgi,granian-wsgi-64,granian-wsgi-default

bench-http: core ## Plain HTTP side by side with gunicorn gthread and granian, with and without middleware (ARGS=--rounds 9)
	@scripts/need-cargo.sh
	@cd benches && ../$(BIN)/python -m peers --only http,http-bare --peers $(HTTP_PEERS) $(ARGS)

bench-adoption: core ## Echo under servers that are not ours, beside our own
	@$(BIN)/python benches/adoption.py

bench-video: build ## Video beside the Python way and WebGear (ARGS="--quick", "--only json --rounds 3", or --help)
	@scripts/need-cargo.sh
	@cd benches && ../$(BIN)/python -m video $(ARGS)

bench-slow-client: core ## Latency and memory beside a client that reads nothing
	@$(BIN)/python benches/slow_client.py

clean: ## Remove everything that was built, .venv included
	rm -rf target $(VENV) tests/output python/dwebsocket/*.so video/python/dwebsocket_video/*.so
