# The README's commands. Without make: the lines below, typed by hand.
PYTHON ?= python3
BIN := .venv/bin
# Installed when pyproject.toml or the lock of all versions is newer than the last installation.
INSTALLED := .venv/installed

.PHONY: setup repro test coverage check fuzz torture review lock requirements vulnerabilities

setup: $(INSTALLED)

# By uv where it is installed, which takes half a minute instead of minutes; else by pip. Same lock, same hashes.
UV := $(shell command -v uv 2>/dev/null)
VENV := $(if $(UV),$(UV) venv --quiet --allow-existing --seed --python $(PYTHON),$(PYTHON) -m venv)
INSTALL := $(if $(UV),$(UV) pip install --python $(BIN)/python,$(BIN)/python -m pip install --disable-pip-version-check)

$(INSTALLED): pyproject.toml requirements.lock
	$(VENV) .venv
	$(INSTALL) --quiet --no-deps --require-hashes -r requirements.lock
	$(INSTALL) --quiet --no-deps --no-build-isolation -e .
	touch $(INSTALLED)

# PATH: dvc runs `python -m stages.<name>`, which must be the environment's.
# DVC killed at the wrong moment leaves its lock file empty and would refuse to work (treeverse/dvc#7615).
repro: setup
	@! git grep --line-number -e '^<<<<<<< ' -e '^>>>>>>> ' -- params.yaml dvc.yaml dvc.lock metrics plots || \
		{ echo "a merge conflict is left there: keep one side first" >&2; exit 2; }
	find .dvc -path '.dvc/tmp/rwlock' -empty -delete
	$(BIN)/unlearning check
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
	$(BIN)/unlearning summary

# A test on each core, two to eight at once; most wait for a program that runs on one core. Threads wait asleep,
# since they share the cores.
AT_ONCE = $(BIN)/python -c "from unlearning.base.cores import available; print(min(8, max(2, available())))"
test: check
	OMP_WAIT_POLICY=passive PATH="$(CURDIR)/$(BIN):$$PATH" \
		$(BIN)/python -m pytest -n $$($(AT_ONCE)) --dist worksteal $(PYTEST)

# The same, with the lines that no test reaches; takes longer.
coverage:
	$(MAKE) test PYTEST="--cov=unlearning --cov-report=term:skip-covered"

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Hostile input, N cases of each kind: see tests/fuzzing.py.
fuzz: N = 3000
fuzz: setup
	FUZZ_CASES=$(N) $(BIN)/python -m pytest -o faulthandler_timeout=0 --hypothesis-show-statistics tests/test_fuzz_*.py

# Kills the pipeline N times at random moments: see tests/torture.py.
N ?= 20
torture: setup
	$(BIN)/python tests/torture.py $(N)

# What this branch changes against BASE, into review/: parameters, figures, limits, lock, pictures.
BASE ?= main
review: setup
	$(BIN)/unlearning review --base "$(BASE)"

# Whether dvc.lock fits code, parameters, metrics and plots; needs no data. check_request runs every time, so it is asked apart.
lock: setup
	$(BIN)/dvc repro --allow-missing --dry --downstream prepare_data | tee /dev/stderr | grep --quiet "Data and pipelines are up to date."
	said=$$($(BIN)/dvc status check_request) && ! echo "$$said" | grep -e "changed deps" -e "changed checksum"

# requirements.lock: every version with its hashes, for every platform; after a change of dependencies in
# pyproject.toml. Versions that still fit stay; to raise them: make requirements UPGRADE=--upgrade
requirements: setup
	$(BIN)/uv pip compile pyproject.toml --quiet --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-header $(UPGRADE) -o requirements.lock

# Known vulnerabilities of what is installed, asked of the package index.
vulnerabilities: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	$(BIN)/pip-audit --skip-editable
