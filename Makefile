# Every target sets itself up: a fresh clone, Python 3.11 or newer and make are all that is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: native demo test test-all lint format bench bench-all bench-compare fuzz docs site proto clean

# A dream, the embedded net's filters and classes, an atlas of some layers and a three-second zoom into demo/, offline.
demo: $(READY)
	$(BIN)/dreamopt demo -o demo

# A file's tests stay in one process, which keeps what they share; four at most, each of which holds torch and may ask a Caffe.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(READY)
	$(BIN)/python -m pytest $(PARALLEL)

# As CI does it: also what takes long.
test-all: $(READY)
	$(BIN)/python -m pytest $(PARALLEL) --slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Time the hot path, beside real Caffe where DREAMOPT_CAFFE_ROOT names its root, and print the ratios.
bench: $(READY)
	$(BIN)/python -m benchmarks.ratios

# Time everything that benchmarks/ has, some half an hour with the largest images, and save it in .benchmarks/; BENCH="-k startup" chooses.
bench-all: $(READY)
	$(BIN)/python -m pytest benchmarks -p no:cacheprovider --benchmark-autosave --benchmark-columns=median,iqr,rounds --benchmark-sort=name $(BENCH)

# The same, held against the last saved run of this machine; COMPARE=--fail ends with an error where something became slower.
bench-compare: $(READY)
	$(BIN)/python -m benchmarks.compare $(COMPARE) -- $(BENCH)

# Read 20,000 files that were damaged by a seed with every reader; what one does wrong is kept in fuzz-faults/ with its file.
fuzz: $(READY)
	$(BIN)/python -m tools.fuzz

# Write the tables of parts in docs/ and the stubs of packages whose names are loaded when they are asked for; then the site, of which
# docs/_build/html/index.html is the first page.
docs: $(READY)
	$(BIN)/python -m tools.make_docs
	$(BIN)/python -m tools.make_site

# The site alone, with every warning an error.
site: $(READY)
	$(BIN)/python -m tools.make_site

# Regenerate dreamopt/schema/caffe_pb2.py from caffe.proto.
proto: $(READY)
	$(BIN)/python -m tools.make_proto

# Build the native kernels again, in place, for each kind of processor.
native: $(READY)
	$(BIN)/python setup.py -q build_ext --inplace

$(READY): pyproject.toml setup.py constraints.txt $(wildcard dreamopt/engine/native/src/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist demo *.egg-info
