PYTHON = .venv/bin/python

list:
	@echo "setup    make the environment, with what tests need"
	@echo "run      serve"
	@echo "demo     send to invented recipients, and count"
	@echo "test     the tests that need no server processes, browser or Postfix"
	@echo "browser  the tests in a real browser"
	@echo "pictures a picture of every screen, into pictures/, and the README's"
	@echo "simulate a million steps of simulated histories, each looked at for a broken promise"
	@echo "kill     300 campaigns to 2,000 people each, whose server is killed while it sends: over an hour"
	@echo "bench    how fast it is, beside the baseline: half an hour, or two minutes with BENCH=--quick"
	@echo "fuzz     requests made out of the API's description, for FUZZ_SECONDS (60)"
	@echo "audit    known holes in what is installed; asks the network for them"
	@echo "all      all tests"
	@echo "check    style, types, which room imports which"
	@echo "fix      put the style right"
	@echo "schema   write docs/schema.md from the tables"

setup:
	python3 -m venv .venv
	.venv/bin/pip install -q -r requirements-dev.txt

run:
	$(PYTHON) app.py

demo:
	$(PYTHON) app.py demo

test:
	$(PYTHON) -m pytest -q -n auto -m "not processes and not killing and not postfix and not browser"

browser:
	REQUIRE_BROWSER=1 $(PYTHON) -m pytest -q -n 2 tests/browser

pictures:
	mkdir -p pictures
	REQUIRE_BROWSER=1 SCREENSHOTS=pictures $(PYTHON) -m pytest -q -n 2 tests/browser/test_screens.py tests/browser/test_picture.py
	cp pictures/automation.png docs/images/automation.png

simulate:
	SIMULATED_STEPS=$${SIMULATED_STEPS:-1000000} $(PYTHON) -m pytest -q tests/simulation

kill:
	KILL_ROUNDS=$${KILL_ROUNDS:-300} KILL_RECIPIENTS=$${KILL_RECIPIENTS:-2000} $(PYTHON) -m pytest -q tests/killing

bench:
	$(PYTHON) -m benchmarks --compare $(BENCH)

# In an environment of their own: what they need is no business of the product's.
.venv-checks: requirements-checks.txt
	python3 -m venv .venv-checks
	.venv-checks/bin/pip install -q -r requirements-checks.txt
	touch .venv-checks

fuzz: .venv-checks
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} $(PYTHON) -m tests.fuzz .venv-checks/bin/schemathesis

audit: .venv-checks
	.venv-checks/bin/pip-audit --disable-pip --no-deps -r requirements.txt

all:
	$(PYTHON) -m pytest -q -n 4

check:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy .
	.venv/bin/lint-imports

fix:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

schema:
	$(PYTHON) -m migrations.schema_page > docs/schema.md

.PHONY: list setup run demo test browser pictures simulate kill bench fuzz audit all check fix schema
