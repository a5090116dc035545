# Most targets run one command, which you can also type in a shell after `. .venv/bin/activate`.
SHELL := /bin/bash
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# By default uv ignores the system's certificate authorities and pip's package index. These variables make uv use both.
export UV_SYSTEM_CERTS ?= 1
INDEX := $(or $(PIP_INDEX_URL),$(shell $(PYTHON) -m pip config get global.index-url 2>/dev/null))
ifneq ($(INDEX),)
export UV_DEFAULT_INDEX ?= $(INDEX)
endif

# The inventory of the machine. For another one: make verify INVENTORY=inventory/mine
INVENTORY ?= inventory/local
FOLDER = $(if $(wildcard $(INVENTORY)/.),$(INVENTORY),$(patsubst %/,%,$(dir $(INVENTORY))))
# Earlier releases used the folder `secrets`. The next playbook moves it to `.secrets`.
SECRETS = $(firstword $(wildcard $(FOLDER)/.secrets $(FOLDER)/secrets) $(FOLDER)/.secrets)

.PHONY: up env ssh status test test-all down verify sbom bench outdated tools

up: .venv/done  ## a local VM, the installation, a training run
	ansible-playbook -i inventory/local playbooks/up.yml
	@cat inventory/local/.secrets/summary.txt

env:  ## what MLflow's client and an S3 client need: eval "$(make -s env)"
	@cat $(SECRETS)/env

ssh: .venv/done  ## a shell on the machine
	@python playbooks/ssh.py $(INVENTORY)

test: tools .venv/done training/.venv/done  ## lint, unit tests, molecule
	.ci/test

test-all: tools .venv/done training/.venv/done  ## that, and what takes too long for every day
	.ci/test --all

# A prerequisite of the tests: stop with an error message if programs are missing, before anything is installed.
tools:
	@.ci/tools

status: .venv/done  ## what is wrong with the machine and what to do, or that all is well
	@python playbooks/ssh.py $(INVENTORY) trackbox-status

verify: .venv/done  ## whether the installation keeps every promise
	ansible-playbook -i $(INVENTORY) playbooks/verify.yml

bench: .venv/done training/.venv/done  ## how fast it is beside what: bench/RESULTS.md (ONLY=log_metric for one subject)
	python bench "$(ONLY)"

sbom: .venv/done  ## what is installed there: sbom.cdx.json beside the secrets
	ansible-playbook -i $(INVENTORY) playbooks/sbom.yml

outdated: .venv/done  ## what is behind, of all that is pinned
	python .ci/outdated

down: .venv/done  ## the local VM, its secrets and its network, gone
	ansible-playbook -i inventory/local playbooks/local-vm.yml -e local_vm_state=absent

# Debian packages Python's venv separately, so install it if it is missing.
.venv/done: requirements.txt roles/machine/files/uv.txt
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ $$(id -u) = 0 ] && apt-get update -qq && apt-get install -qq -y python3-venv; } \
	  || { echo "Python's venv is missing: install python3-venv, or name another Python: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
	  "Trackbox needs Python 3.11 or newer on the controller, and this is %d.%d: name another one, make PYTHON=python3.13" % sys.version_info[:2])'
	$(PYTHON) -m venv --clear .venv
	.venv/bin/pip install --quiet --require-hashes --requirement roles/machine/files/uv.txt
	uv pip install --quiet --require-hashes --compile-bytecode --python .venv --requirement requirements.txt
	@touch $@

training/.venv/done: .venv/done training/requirements-dev.txt training/pyproject.toml
	uv venv --quiet --clear --python $(PYTHON) training/.venv
	uv pip install --quiet --require-hashes --compile-bytecode --python training/.venv --requirement training/requirements-dev.txt
	uv pip install --quiet --no-deps --python training/.venv --editable training
	@touch $@
