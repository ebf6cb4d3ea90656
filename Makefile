# make train [ARGS="--model=mlp"]   trains and exports a model, by default convnet
# make demo [ARGS="--model=mlp"]    serves a page that reads your handwriting, with
#                                   pretrained weights or the model that ARGS trains
# make tensorboard                  shows the runs in runs/ in TensorBoard
# make test [TESTS=tests/zoo]       runs all tests that are not marked slow
# make test-slow [TESTS=...]        runs the slow tests
# make lint                         checks style with ruff and types with mypy
# make soak                         tests for an hour; writes a table into docs/reliability.md
# make results                      trains for hours; rewrites the tables of results
# make weights                      writes zoo/weights from the runs of make results
# make bench [BENCH="fit race"]     compares the zoo with its peers; needs $MNIST_DIR
# make clean                        removes the environment
# Each target first installs what it needs.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
RUNS := runs
DEMO = runs/demo$(if $(ARGS),-trained)
DEMO_WEIGHTS := mlp/mnist
PORT := 8000
TENSORBOARD := from zoo import startup; startup.start(); \
  from tensorboard import main; main.run_main()

.PHONY: train demo tensorboard test test-slow soak results weights bench lint clean

train: ARGS ?= --model=convnet
train: $(VENV)/installed
	@$(RUN) train.py $(ARGS)

demo: $(VENV)/installed
	@test -z "$(ARGS)" || \
	  $(RUN) train.py $(ARGS) --run_dir=$(DEMO) --export=tflite,web
	@test -f $(DEMO)/export/web/index.html || $(RUN) -m export \
	  $(if $(ARGS),--run_dir=$(DEMO),--weights=$(DEMO_WEIGHTS) --out=$(DEMO)) --formats=web
	@$(RUN) -m http.server --bind 127.0.0.1 --directory $(DEMO)/export/web $(PORT)

tensorboard: $(VENV)/installed
	@$(RUN) -c "$(TENSORBOARD)" --logdir=$(RUNS) --host=127.0.0.1

test: $(VENV)/installed
	@$(RUN) -m pytest -q -n auto --maxprocesses=4 --dist=worksteal -m "not slow" $(TESTS)

test-slow: $(VENV)/installed
	@$(RUN) -m pytest -q -n auto --maxprocesses=2 --dist=loadfile -m slow $(TESTS)

soak: $(VENV)/installed
	@$(RUN) -m tests.soak $(SOAK)

results: $(VENV)/installed
	@$(RUN) -m benchmarks.accuracy $(RESULTS)

weights: $(VENV)/installed
	@$(RUN) -m benchmarks.weights $(WEIGHTS)

bench: $(VENV)/bench_installed
	@$(RUN) -m benchmarks $(BENCH)

lint: $(VENV)/installed
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v[:2] <= (3, 13) or \
	  sys.exit(f"Python 3.11 to 3.13 is needed. Found {v[0]}.{v[1]}. Pass another: make PYTHON=python3.12")'
	@echo "Installing into $(VENV). This takes a minute or two, once."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation --editable .
	@touch $@

$(VENV)/bench_installed: $(VENV)/installed benchmarks/requirements.txt
	@echo "Installing the peers into $(VENV). This takes a few minutes, once."
	@$(RUN) -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@
