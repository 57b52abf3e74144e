# The two commands: `make train` and `make test`. Both make their own environment in .venv from the lock.

# The first Python on the path that TensorFlow has wheels for.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Further options for `make train`, as ARGS="--epochs 1 --arch dense".
ARGS ?=

.PHONY: train test test-all soak lint lock audit clean

train: $(VENV)/.installed
	$(BIN)/python -m vae_tf.train --variant bn $(ARGS)

# As many processes as cores; each takes the tests that stand together, so that they share what they prepare.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal

test: lint
	$(PYTEST) -m "not slow"

# With the slow tests: kills, more worker processes, notebooks, all fuzz cases.
test-all: lint
	$(PYTEST)

# What a run survives, many times over: an hour, as root (its disks are mounted). Writes RELIABILITY.md.
soak: $(VENV)/.installed-dev
	$(BIN)/python -m scripts.soak

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: requirements.lock pyproject.toml
	$(call install,requirements.lock)

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml
	$(call install,requirements-dev.lock)
	@touch $(VENV)/.installed

# Build isolation is off so that the build, too, uses the lock (setuptools comes with TensorFlow).
define install
	$(if $(PYTHON),,$(error vae_tf needs Python 3.11, 3.12 or 3.13 on the path (or make PYTHON=/path/to/it)))
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(1)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
endef

# Writes both locks anew from the ranges in pyproject.toml, and the conda file of Azure ML from the locks.
lock: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --custom-compile-command "make lock" \
		--python-version 3.11 --upgrade pyproject.toml --extra dev --output-file requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --custom-compile-command "make lock" \
		--python-version 3.11 --constraint requirements-dev.lock pyproject.toml --output-file requirements.lock
	$(BIN)/python scripts/make_conda_file.py

# Are there advisories of a version that is locked? (The development lock holds all of the other.) Strict, as otherwise
# what the service does not answer about passes as harmless.
audit: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv tool run --quiet pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements-dev.lock \
		|| { echo "make audit: not clean. Either the packages above have advisories: raise their versions with make lock;"; \
		echo "or an ERROR says that a package could not be looked up: nothing is known then; try again where pypi.org answers."; exit 1; } >&2

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
