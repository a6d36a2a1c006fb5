# Two commands: `make demo` and `make test`. Both make the environment when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

KERNELS := $(wildcard damcli/kernels/*.[ch])

.PHONY: demo test lint clean

demo: $(VENV)/installed
	$(BIN)/damcli demo

test: $(VENV)/installed-test lint
	$(BIN)/python -m pytest

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: $(VENV)/made pyproject.toml setup.py constraints.txt $(KERNELS)
	$(PIP) -e .
	touch $@

$(VENV)/installed-test: $(VENV)/made pyproject.toml setup.py constraints.txt $(KERNELS)
	$(PIP) -e '.[torch,detect,plots,cluster,test]'
	touch $@ $(VENV)/installed

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "damcli needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info damcli/kernels/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
