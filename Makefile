.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
JUDGES := .venv-judge
AUDIT := .venv-audit
PEERS := .venv-peers
PEERS_READY := $(PEERS)/.ready
AUDIT_READY := $(AUDIT)/.ready
JUDGES_READY := $(JUDGES)/.ready

help: ## print this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements.lock
	python3 -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements.lock
	$(PY) -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'reprise.pth').write_text(str(pathlib.Path.cwd()))"
	printf '#!/bin/sh\nexec "$(CURDIR)/$(PY)" -m training "$$@"\n' > $(VENV)/bin/reprise
	printf '#!/bin/sh\nexec "$(CURDIR)/$(PY)" -m serving "$$@"\n' > $(VENV)/bin/reprise-serve
	chmod +x $(VENV)/bin/reprise $(VENV)/bin/reprise-serve
	touch $(READY)

run: $(READY) ## set up, train on a simulated market unless there is a champion, and serve on port 8000
	$(PY) -m training demo
	$(PY) -m serving

test: $(READY) ## set up, then run the tests
	$(PY) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: $(READY) ## style and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

$(JUDGES_READY): requirements-judge.lock $(READY)
	python3 -m venv --clear $(JUDGES)
	$(JUDGES)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements-judge.lock
	$(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $$($(JUDGES)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/product.pth
	touch $(JUDGES_READY)

judge: $(JUDGES_READY) ## judge the appraiser beside oracle and peers: docs/judgement.md; ARGS="--help" tells how to narrow it
	$(JUDGES)/bin/python -m tests.judge $(ARGS)

judge-offers: $(READY) ## judge offers beside the truth of every scenario: docs/offers.md (an hour); what is done is kept
	$(PY) -m tests.judge.offers $(ARGS)

soak: $(READY) ## the long forms of tests, some three hours; ARGS="tests/journeys/test_endurance.py" for some of them
	$(PY) -m pytest -m soak -s $(ARGS)

$(PEERS_READY): requirements-peers.lock
	python3 -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements-peers.lock
	touch $(PEERS_READY)

bench: $(READY) $(PEERS_READY) ## measure speed beside peers, in one run
	$(PY) -m pytest -m bench -s tests/benchmarks/bench_*.py

pictures: $(READY) ## draw docs/market: every scenario, beside the public numbers; and list them all
	$(VENV)/bin/reprise scenarios --numbers > docs/market-numbers.md
	for file in training/scenarios/*.toml; do name=$$(basename $$file .toml); \
	  $(PY) notebooks/01-look-at-the-market.py -- --scenario $$name --out docs/market/$$name.png || exit 1; done

questions: $(READY) ## write docs/questions.md after a change of the questions or of the rule behind them
	$(PY) -c 'from valuation import rulebook; print(rulebook.page(), end="")' > docs/questions.md

$(AUDIT_READY): requirements-audit.lock
	python3 -m venv --clear $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements-audit.lock
	touch $(AUDIT_READY)

audit: $(AUDIT_READY) ## known holes in libraries, and risky code; what is waived, and why: deploy/waivers.md
	$(AUDIT)/bin/bandit --quiet --recursive valuation training serving --configfile pyproject.toml
	$(AUDIT)/bin/pip-audit --requirement requirements-run.lock --require-hashes --disable-pip --strict

openapi: $(READY) ## write docs/openapi.json again; refuses what would break those who use the API
	$(PY) -m tests.serving.compatible

COMPILE := UV_PYTHON_DOWNLOADS=never uv pip compile --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock'

lock: ## write the locks again (maintainers; needs uv)
	$(COMPILE) pyproject.toml --group dev -o requirements.lock
	$(COMPILE) --group judge -c requirements.lock -o requirements-judge.lock
	$(COMPILE) pyproject.toml --extra postgres -c requirements.lock -o requirements-run.lock
	$(COMPILE) --group audit -o requirements-audit.lock
	$(COMPILE) --group peers -o requirements-peers.lock
	@! grep -n '://' requirements*.lock

.PHONY: help run test lint judge judge-offers soak bench audit openapi pictures questions lock
