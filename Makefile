# Start with `make train` or `make test`. Both create the environment .venv from a lock file.

# The first Python on the PATH for which TensorFlow has wheels.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Extra options for `make train`, such as ARGS="--epochs 1 --arch dense".
ARGS ?=

.PHONY: train test test-all soak lint lock audit clean

train: $(VENV)/.installed
	$(BIN)/python -m vae_tf.train --config configs/first_run.yml $(ARGS)

# As many processes as cores; neighbouring tests run in the same process, so that they share fixtures.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal

test: lint
	$(PYTEST) -m "not slow"

# Also runs the slow tests: killed runs, multi-worker training, notebooks, all fuzz cases.
test-all: lint
	$(PYTEST)

# Tests many times over what a run survives, and writes RELIABILITY.md. Takes an hour, and needs root to mount disks.
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

# Build isolation is off so that the build also uses the locked versions (setuptools comes with TensorFlow).
define install
	$(if $(PYTHON),,$(error vae_tf needs Python 3.11, 3.12 or 3.13 on the PATH; otherwise run make PYTHON=/path/to/python))
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(1)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
endef

# Regenerates the lock files from the ranges in pyproject.toml, and the conda files of Azure ML from the lock files.
# requirements-cuda.lock adds TensorFlow's CUDA libraries, which are only for Linux. requirements-batch.lock is for batch
# deployments: the packages that they need don't work with the newest NumPy.
lock: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --custom-compile-command "make lock" \
		--python-version 3.11 --upgrade pyproject.toml --extra dev --output-file requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --custom-compile-command "make lock" \
		--python-version 3.11 --constraint requirements-dev.lock pyproject.toml --output-file requirements.lock
	echo 'tensorflow[and-cuda]' | $(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --custom-compile-command "make lock" \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --constraint requirements-dev.lock - --output-file requirements-cuda.lock
	{ sed -nE 's/^((keras|tensorflow|nvidia-[^=]*)==[^ ]*).*/\1/p' requirements-cuda.lock; printf '%s\n' azureml-core 'azureml-dataset-runtime[fuse]'; } \
		| $(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --custom-compile-command "make lock" \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 pyproject.toml - --output-file requirements-batch.lock
	$(BIN)/python scripts/make_conda_file.py

# Checks the locked versions for known vulnerabilities. (The development lock includes everything in the runtime lock.)
# With --strict, a package that could not be looked up fails the check instead of passing.
audit: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv tool run --quiet pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements-dev.lock \
		|| { echo "make audit failed. If packages with vulnerabilities are listed above, update them with make lock."; \
		echo "If an ERROR says that a package could not be looked up, try again when pypi.org can be reached."; exit 1; } >&2

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
