# Two commands do everything on a fresh machine: `make repro` and `make test`.
# Needed: git, make and Python 3.11 to 3.13. pydensecrf2 comes along where a C++ compiler is.

UV_VERSION := 0.13.9
BIN := .venv/bin
READY := .venv/.ready
COMPILE := --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c \
	'import sys; print("$(p)") if (3, 11) <= sys.version_info < (3, 14) else None' 2>/dev/null)))

export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help repro test lint bench setup data lock clean

help: ## say what there is
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 10

repro: data ## set up, then run the pipeline of params.yaml's profile; PROFILE=smoke chooses another, JOBS=2 runs two stages at once
	$(if $(PROFILE),replication profile $(PROFILE))
	replication repro $(if $(JOBS),--jobs $(JOBS))

test: data ## set up, then run the tests; TESTS=tests/crf runs some
	python -m pytest -n auto --maxprocesses 4 --dist loadfile $(TESTS)

lint: $(READY) ## style and types
	ruff check .
	ruff format --check .
	mypy

bench: data ## one real-size update of every run, training, convolutions, loading, testing, trimap, CRF engines (hours)
	python benchmarks/one_update.py
	python benchmarks/training.py
	python benchmarks/convolution.py
	python benchmarks/loading.py
	python benchmarks/inference.py
	python benchmarks/trimap.py
	python benchmarks/crf.py
	python benchmarks/crf_random.py

setup: $(READY) ## only set up .venv

data: $(READY) ## set up, then take the embedded sample out of its remote
	dvc pull --quiet data.dvc

lock: ## resolve the newest versions that pyproject.toml admits into requirements.lock
	$(BIN)/uv pip compile $(COMPILE) --extra dev --extra cluster --constraint requirements.in \
	  pyproject.toml -o requirements.lock
	echo pydensecrf2==1.1 | $(BIN)/uv pip compile $(COMPILE) --no-deps - -o requirements-pydensecrf.lock

clean: ## delete .venv
	rm -rf .venv

# .ready is made last: a set-up that was broken off starts again.
$(READY): requirements.lock requirements-pydensecrf.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 found; install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes --compile-bytecode -r requirements.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps -e .
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes --no-deps \
	  -r requirements-pydensecrf.lock 2>.venv/pydensecrf.log \
	  || echo "pydensecrf2 does not build here (.venv/pydensecrf.log says why); the engine lattice needs it not"
	touch $(READY)
