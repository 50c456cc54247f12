# make demo   a small pretraining on this machine, with pictures
# make test   every test, in a virtual environment of its own
# make docs   the pages as a site, in build/docs
# All need Python 3.11 to 3.13, pip and make. PYTHON=python3.12 chooses another interpreter.

PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/demo
BIN = $(VENV)/bin

.PHONY: demo test lint docs clean

demo: $(VENV)/.demo
	@echo "== a small VideoMAE V2 pretraining on photographs under a moving camera, about three minutes"
	$(BIN)/jaxvision demo --workdir $(WORKDIR)

test: $(VENV)/.test
	@echo "== running every test on this machine's CPU"
	JAX_PLATFORMS=cpu $(BIN)/python -m pytest tests -n 2 $(PYTEST_ARGUMENTS)

lint: $(VENV)/.dev
	@echo "== checking style and types"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	@echo "== building the pages; a warning is an error"
	JAX_PLATFORMS=cpu $(BIN)/python -m sphinx -q -W --keep-going -c docs/site . build/docs
	@echo "open build/docs/docs/index.html"

$(VENV)/.made:
	@echo "== making a virtual environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); sys.exit(0 if ok else "Python 3.11 to 3.13 is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml constraints.txt
	@echo "== installing jaxvision (a few minutes the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml constraints.txt
	@echo "== installing jaxvision and what its tests need (a few minutes the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@echo "== installing jaxvision, its tests' needs and the checkers"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.test $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.made pyproject.toml constraints.txt
	@echo "== installing jaxvision and what builds its pages"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) runs
