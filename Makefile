# Two commands matter to a newcomer: `make demo` and `make test`. `make check` is what CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
FOLDERS := agent tools graph memory harness prompts
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: demo test check lint types docs docs-check wheel-test clean

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Backstory needs Python 3.11 or later; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -e . pytest
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install -e '.[dev]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/python examples/demo.py

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadgroup

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

build/types: pyproject.toml backstory/__init__.py
	rm -rf $@ && mkdir -p $@/backstory
	for file in backstory/*.py backstory/py.typed; do ln -s ../../../$$file $@/backstory/; done
	for folder in $(FOLDERS); do ln -s ../../../$$folder $@/backstory/$$folder; done

types: $(VENV)/installed-dev
	@rm -rf build/types && $(MAKE) -s build/types
	$(BIN)/mypy

docs: $(VENV)/installed-dev
	$(BIN)/python docs/generate.py

docs-check: $(VENV)/installed-dev
	$(BIN)/python docs/generate.py --check

# The suite again, against the built wheel, from a directory that holds none of our folders.
wheel-test: $(VENV)/installed-dev
	rm -rf build/wheel && mkdir -p build/wheel/elsewhere
	$(BIN)/python -m build -q --wheel --outdir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip --disable-pip-version-check -q install "$$(ls build/wheel/*.whl)[test]"
	cd build/wheel/elsewhere && ../venv/bin/python -m pytest -n auto --dist loadgroup -m "not slow" -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) $(CURDIR)/tests

check: lint types test docs-check wheel-test

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
