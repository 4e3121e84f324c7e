# Two-word recipes. Each works as the first command in a fresh clone with Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

# Tests start processes of our own, and each would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test nightly torture bench lint lock wheel clean

demo: $(STAMP)
	$(BIN)/rollcall demo --dir demo

test: $(STAMP) lint
	$(BIN)/pytest -q -n auto --dist worksteal -m "not nightly" $(ARGS)

nightly: $(STAMP) lint .venv/spark
	$(BIN)/pytest -q -n 2 --dist worksteal -m nightly $(ARGS)

torture: $(STAMP)
	$(BIN)/pytest -q -s tests/torture $(ARGS)

bench: $(STAMP)
	$(BIN)/python benchmarks/pull.py

lint: $(STAMP)
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/python tests/house/portable_sql.py
	$(BIN)/lint-imports --no-cache > .venv/imports.log || { cat .venv/imports.log; exit 1; }

lock: $(STAMP)
	sh requirements/lock.sh

wheel: $(STAMP)
	$(BIN)/python -m build --no-isolation --wheel

clean:
	rm -rf .venv demo build dist

# For the comparison with Spark, where there is a Java to run it. Without the package that one test is left out, and says so.
.venv/spark: $(STAMP) requirements/spark.txt
	if command -v java > /dev/null; then $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements/spark.txt && touch .venv/spark || echo "pyspark could not be installed"; fi

$(STAMP): requirements/build.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Rollcall needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	touch $(STAMP)
