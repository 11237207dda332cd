PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MARKS ?= not slow
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: setup demo test lint bench clean

setup: $(VENV)/.ready

# torch first and exactly: a plain `torch` pulls several GB of CUDA packages
$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$$(grep ^torch== constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -c 'import librosa.beat, librosa.core.pitch'  # compiled once here, not by two processes at a time
	touch $@

demo: setup
	$(BIN)/crnn-bench demo --out runs/demo

test: setup lint
	$(BIN)/pytest -m "$(MARKS)"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
