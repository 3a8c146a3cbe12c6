# What a contributor types. `make test` is exactly what CI runs; it needs nothing set up before it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: test check lint types unit lab guide slurm demo docs bench sabotage simulate fuzz crashes disks storm wars soak lowest clean

test: lint types unit
check: test

# Redone only when the project's dependencies changed. A half-made environment has no stamp, and is made again.
$(VENV)/installed: pyproject.toml
	@echo "making $(VENV) with what burnish and its tests need; this takes a minute or two"
	@scripts/python_venv $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -qq -e '.[dev]'
	touch $@

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(BIN)/vermin --target=3.8- --violations --no-tips burnish/remote/agent

types: $(VENV)/installed
	$(BIN)/mypy --strict

# Most tests wait for processes most of the time: so many of them at once keep two cores busy.
TESTERS ?= 3
unit: $(VENV)/installed
	@scripts/debian_packages
	$(BIN)/pytest -n $(TESTERS) --dist worksteal

# Power losses, pulled cables, one table on NFS: on machines of its own. Needs root; takes about 20 minutes, and is no part of `test`.
lab: $(VENV)/installed
	@scripts/debian_packages lab
	$(BIN)/pytest tests/lab/scenarios.py

# docs/guide.md, typed as it stands: sixty trainings over four SSH hosts. Needs root; takes some minutes, and is no part of `test`.
guide: $(VENV)/installed
	@scripts/debian_packages
	$(BIN)/pytest tests/guide/walk.py

# Nodes, controllers and coordinators that die in the middle of a sweep on Slurm, and what takes Slurm minutes. Needs root; twelve minutes.
slurm: $(VENV)/installed
	@scripts/debian_packages slurm
	$(BIN)/pytest tests/slurm/test_cluster.py tests/slurm/scenarios.py
	$(BIN)/pytest -k slurm tests/contract/test_every_engine*.py

# A sweep on this machine, from nothing to its results, in the git-ignored folder demo/.
demo: $(VENV)/installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo

# The pages that are made from the code, and the README's picture.
docs: $(VENV)/installed
	$(BIN)/python docs/make_states.py
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_picture.py

# Figures of docs/performance.md, measured here and now, and all that they were made of as JSON in build/.
bench: $(VENV)/installed
	@mkdir -p build
	$(BIN)/python benchmarks/local.py --json build/bench-local.json
	$(BIN)/python benchmarks/steps.py --json build/bench-steps.json
	$(BIN)/python benchmarks/start.py --json build/bench-start.json
	$(BIN)/python benchmarks/latency.py --json build/bench-latency.json
	$(BIN)/python benchmarks/ssh.py --json build/bench-ssh.json
	$(BIN)/python benchmarks/fleet.py --json build/bench-fleet.json
	$(BIN)/python benchmarks/idle.py --json build/bench-idle.json

# Breaks one promise at a time in a copy of the sources, and expects the tests to go red. About half an hour on two cores, so it is no part of
# `test`. GUARDS="'host key' nfs" takes those with a part of it in their names.
sabotage: $(VENV)/installed
	@scripts/debian_packages
	$(BIN)/python tests/sabotage/run.py --at_once $(TESTERS) $(GUARDS)

# The real code in SEEDS invented worlds. A failing seed prints its own command line.
SEEDS ?= 1000
FIRST ?= 0
simulate: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m simulation --seeds $(SEEDS) --first $(FIRST)

# INPUTS for each reader of what others write. A bad one prints its own command line.
INPUTS ?= 20000
fuzz: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m fuzz --inputs $(INPUTS) --first $(FIRST)

# kill -9 at every system call of a coordinator, links cut after every byte in four ways, and every state of a disk that a
# power loss may leave. About three hours.
crashes: $(VENV)/installed
	@scripts/debian_packages
	PYTHONPATH=tests $(BIN)/python -m simulation.crash_states --worlds 1
	BURNISH_TEST_SWEEP=all $(BIN)/pytest tests/system/test_coordinator_crash.py \
	    tests/system/test_every_cut.py

# Each folder of burnish on a disk that is full or broken in each way, at each moment. Needs root; about eight minutes on two cores.
disks: $(VENV)/installed
	@scripts/debian_packages
	BURNISH_TEST_SWEEP=all $(BIN)/pytest -n $(TESTERS) --dist worksteal tests/system/test_every_disk.py

# STORMS over real sshds, from the seed FIRST on: kills, processes that stand still, connections that break or fall silent. About two
# minutes each. A storm that broke something prints its command.
STORMS ?= 10
storm: $(VENV)/installed
	@scripts/debian_packages
	BURNISH_TEST_STORMS=$(STORMS),$(FIRST) $(BIN)/pytest -rP tests/contract/test_storm.py

# SAVES by everybody's editors while jobs end, and RACES of a save against the writing of the table, each way; from the seed FIRST. About
# ten minutes. What was lost prints its seed.
SAVES ?= 200
RACES ?= 5000
wars: $(VENV)/installed
	@scripts/debian_packages
	BURNISH_TEST_WAR=$(SAVES),$(FIRST) BURNISH_TEST_RACES=$(RACES),$(FIRST) $(BIN)/pytest -rP tests/system/test_editor_war.py \
	    tests/system/test_table_race.py

# So many jobs and reconnects of one run: descriptors, threads and memory stay flat. About half an hour on a quiet machine.
JOBS ?= 10000
RECONNECTS ?= 500
soak: $(VENV)/installed
	BURNISH_TEST_SOAK=$(JOBS),$(RECONNECTS) $(BIN)/pytest tests/system/test_many_reconnects.py

# The lowest versions of dependencies that pyproject.toml promises, and the tests of what is built on them; runs that share a table there have
# them and ours (of filelock, above all). About four minutes.
LOWEST := .venv-lowest
lowest: $(VENV)/installed
	@scripts/debian_packages
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/pip install -qq -e '.[test]' $$(sed -n '/^dependencies = /,/^]/s/.*"\(.*\)>=\(.*\)".*/\1==\2/p' pyproject.toml)
	$(LOWEST)/bin/pip check
	BURNISH_TEST_SECOND_PYTHON=$(CURDIR)/$(BIN)/python \
	    $(LOWEST)/bin/pytest -n $(TESTERS) tests/unit tests/system/test_bad_input.py tests/system/test_completion.py \
	    tests/system/test_lifecycle.py tests/system/test_table_lock.py tests/system/test_presence.py \
	    tests/system/test_runs_at_one_table.py tests/system/test_terminal.py \
	    tests/contract/test_ssh_transport.py tests/contract/test_ssh_sweep.py

clean:
	rm -rf $(VENV) $(LOWEST) demo tour build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
