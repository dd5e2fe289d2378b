.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

help: ## print this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): requirements.lock pyproject.toml
	python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	$(PY) -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'reprise.pth').write_text(str(pathlib.Path.cwd()))"
	touch $(READY)

test: $(READY) ## set up, then run the tests
	$(PY) -m pytest

lint: $(READY) ## style, types and the import ladder
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

lock: ## write requirements.lock again (maintainers; needs uv)
	UV_PYTHON_DOWNLOADS=never uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command 'make lock' -o requirements.lock
	@! grep -n '://' requirements.lock

.PHONY: help run test lint lock bench
