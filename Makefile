# Two commands: `make demo` and `make test`. Both make a virtual environment in .venv and install
# once; running either again installs nothing.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint types floors pytest test-slow world wheel clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) --editable '.[dev]'
	touch $@

demo: $(VENV)/.core  ## install, then run the whole job on the made world
	$(BIN)/lorepack demo --out demo

test: lint types floors pytest  ## everything that must hold, under 15 minutes on two cores

lint: $(VENV)/.dev  ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## static types of the package
	$(BIN)/mypy

floors: $(VENV)/.dev  ## imports point down only
	$(BIN)/lint-imports

pytest: $(VENV)/.dev  ## the tests, without those marked slow
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

test-slow: $(VENV)/.dev  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

world: $(VENV)/.dev  ## make the world's two models again, then measure their card
	$(BIN)/python -m lorepack.world.make
	$(BIN)/python -m benchmarks.world_card

wheel: $(VENV)/.dev  ## build the wheel
	$(BIN)/python -m build --wheel

clean:  ## remove what was built, not the environment
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache
