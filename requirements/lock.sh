#!/bin/sh
# Rewrites the hashed lock files from pyproject.toml and build.in. Run by `make lock`.
set -eu
cd "$(dirname "$0")/.."
lock() { .venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet --upgrade "$@"; }
lock requirements/build.in -o requirements/build.txt
lock pyproject.toml -o requirements/run.txt
lock pyproject.toml --extra dev -c requirements/run.txt -o requirements/dev.txt
lock requirements/spark.in -o requirements/spark.txt
