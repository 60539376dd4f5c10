# Every target makes the virtual environments that it needs, from pinned and hashed requirements.
SHELL := /bin/bash
PYTHON ?= python3
PY := .venv/bin/python
DEPLOY := .venv-deploy/bin/python
PAGE := .venv-page/bin/python
export SAM_CLI_TELEMETRY := 0
export ORT_DISABLE_TELEMETRY := 1
# The locks are whole, so nothing is resolved here (insightface would ask for the windowed OpenCV).
PIP_FLAGS := --quiet --disable-pip-version-check --require-hashes --no-deps

PURELIB := 'import sysconfig; print(sysconfig.get_path("purelib"))'

# Lambda's runtime client is made for Linux only; elsewhere local/runtime_client.py takes its place.
NOT_HERE := $(if $(filter Linux,$(shell uname)),nothing,awslambdaric)

.DEFAULT_GOAL := help
ENGINE := layers/engine/native/libcoldswap.so
CPP = $(shell git ls-files '*.cpp' '*.h' '*.inc')
.PHONY: help engine engine-sanitize demo gallery up openapi test test-onnxruntime test-full test-attack test-clients test-page test-exiftool test-package test-upgrade test-sam deploy destroy check-account lint format signing-key key keep-warm settings models fonts bench bench-quick bench-memory bench-quality bench-lambda demo-pack-report demo-pack-train lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

engine: $(ENGINE) ## compile the native engine for this machine

engine-sanitize: .venv/ready ## test the native engine under the address, undefined-behaviour and thread sanitizers
	$(PY) -m tests.engine.sanitize

demo: .venv/ready .venv-cloud/ready $(ENGINE) ## run the whole stack on this machine: memes, still and moving, and two videos in out/; FACE=me.jpg MEME=meme.jpg swaps pictures of your own; GPU=1 tries the worker for GPUs
	@$(PY) -m local.demo $(if $(FACE),--face '$(FACE)') $(if $(MEME),--meme '$(MEME)') $(if $(GPU),--gpu)

gallery: .venv/ready .venv-cloud/ready $(ENGINE) ## swap pictures of your own with the published models, on one sheet: FACES=folder MEMES=folder
	@$(PY) -m local.gallery $(if $(FACES),--faces '$(FACES)') $(if $(MEMES),--memes '$(MEMES)')

up: .venv/ready .venv-cloud/ready $(ENGINE) ## run the stack on this machine until Ctrl-C; prints commands to try; HOST=0.0.0.0 or PUBLIC_URL=https://… for a phone
	@$(PY) -m local.up $(if $(filter command,$(origin HOST)),--host '$(HOST)') $(if $(PUBLIC_URL),--public-url '$(PUBLIC_URL)')

openapi: .venv/ready ## write the API's description (layers/core/openapi.json) again
	$(PY) -m tools.openapi

test: .venv/ready .venv-cloud/ready $(ENGINE) ## run every test but the longest
	$(PY) -m pytest -m 'not full and not upgrade and not clients' --timeout 240 -n 3 --dist loadscope --no-loadscope-reorder

test-onnxruntime: .venv/ready .venv-cloud/ready ## test swapping on onnxruntime, without the native engine
	rm -f $(ENGINE)
	$(PY) -m pytest -q tests/unit/engine tests/unit/models tests/unit/swap tests/integration/test_callers.py; status=$$?; \
	    $(PY) -m layers.engine.build --if-possible; exit $$status

test-full: .venv/ready .venv-cloud/ready .venv-schema/ready .venv-clients/ready .venv-page/ready $(ENGINE) ## run all tests, even the longest; Chromium has to be installed
	$(PY) -m pytest --timeout 900
	$(PAGE) -m pytest --timeout 120 tests/page

test-attack: .venv/ready .venv-cloud/ready .venv-schema/ready $(ENGINE) ## run only the long attacks: load, fuzzing, and requests generated from the API's description
	$(PY) -m pytest -m full --timeout 900 tests/attack tests/integration/test_load.py tests/integration/test_schema.py

test-clients: .venv/ready .venv-cloud/ready .venv-clients/ready $(ENGINE) ## swap with other people's clients: Replicate's, and one generated from the API's description
	$(PY) -m pytest -m clients --timeout 240 tests/clients

test-page: .venv/ready .venv-cloud/ready .venv-page/ready $(ENGINE) ## use the page in Debian's Chromium (install chromium first); pictures of each step in out/page/
	$(PAGE) -m pytest --timeout 120 tests/page

test-package: .venv/ready .venv-cloud/ready $(ENGINE) ## install the committed sources with pip into an empty environment and swap there; the command at true size; models for the local cloud
	$(PY) -m pytest -m full --timeout 900 tests/package tests/bench/test_command.py tests/integration/test_local_models.py

test-upgrade: .venv/ready .venv-cloud/ready $(ENGINE) ## update a busy stack of version 0.1.0, taken from git's history, to these sources
	$(PY) -m pytest -m upgrade --timeout 240 tests/upgrade

test-exiftool: .venv/ready ## check that exiftool reads the labels (install libimage-exiftool-perl first)
	$(PY) -m tests.exiftool.check

test-sam: .venv/ready .venv-cloud/ready .venv-lint/ready ## test the images under Docker and sam local; FULL=1 also measures them; SIZES=1 only measures a swap by MemorySize
	$(PY) -m local.sam $(if $(FULL),--full) $(if $(SIZES),--sizes)

lint: .venv/ready .venv-lint/ready .venv-checkov/ready ## check style, types and the templates
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv-lint/bin/clang-format --dry-run --Werror $(CPP)
	.venv/bin/mypy
	.venv-lint/bin/cfn-lint template.yaml monitoring.yaml
	AWS_DEFAULT_REGION=us-east-1 .venv-lint/bin/sam validate --lint
	.venv-checkov/bin/checkov -f template.yaml monitoring.yaml --framework cloudformation --compact --quiet
	.venv-checkov/bin/checkov -d functions -d local --framework dockerfile --compact --quiet

format: .venv/ready .venv-lint/ready ## apply ruff's fixes and formatting, and lay out C++
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv-lint/bin/clang-format -i $(CPP)

deploy: .venv-deploy/ready ## check, build, deploy to AWS, print a first request; ENV=name in samconfig.toml, CANARY=1; ACCEPT_TERMS=1 once
	@$(DEPLOY) -m tools.deploy up --env $(or $(ENV),default) $(if $(CANARY),--canary) $(if $(ACCEPT_TERMS),--accept-terms)

destroy: .venv-deploy/ready ## delete the stack of ENV, whatever state it is in, and its buckets with everything in them
	@$(DEPLOY) -m tools.deploy down --env $(or $(ENV),default)

check-account: .venv-deploy/ready ## check on AWS what the emulator cannot show, for the stack of ENV (docs/first-account.md); changes nothing
	@$(DEPLOY) -m tools.check_account --env $(or $(ENV),default)

signing-key: .venv/ready ## give the stack of ENV a new key to sign results with; KMS=1 for one in KMS; NAME=signer, as readers show it
	@$(PY) -m tools.signing_key --env $(or $(ENV),default) $(if $(NAME),--name '$(NAME)') $(if $(KMS),--kms) $(if $(FORGET),--forget-former)

key: .venv-deploy/ready ## manage API keys of the stack of ENV (AuthMode=key): NAME=alice makes one and shows it once, REVOKE=alice ends it, LIST=1
	@$(DEPLOY) -m tools.api_keys --env $(or $(ENV),default) $(if $(LIST),--list,$(if $(REVOKE),--revoke='$(REVOKE)',--make='$(NAME)'))

keep-warm: .venv-deploy/ready ## keep a sandbox of each function of the stack of ENV warm: ON=1 starts it; without ON, stop it
	@$(DEPLOY) -m tools.keep_warm --env $(or $(ENV),default) $(if $(ON),--on)

settings: .venv-deploy/ready ## show the settings of the stack of ENV that need no deployment; SET='daily_budget=50 cache_latents=true' changes them; RESET=1 restores the defaults
	@$(DEPLOY) -m tools.settings --env $(or $(ENV),default) $(if $(SET),--set '$(SET)',$(if $(RESET),--reset))

models: .venv/ready $(if $(LOCAL),.venv-cloud/ready) $(ENGINE) ## put models for photographs into the stack's bucket: ACCEPT=1 [PACK=large], or FROM=folder LICENCE=text; LOCAL=1, ENV=staging, STACK=name or BUCKET=name
	@$(if $(FROM),,$(PY) -m layers.models fetch --pack '$(or $(PACK),default)' $(if $(ACCEPT),--accept-license))
	@$(PY) -m layers.models build $(if $(FROM),--from '$(FROM)' --name '$(or $(PACK),own)' --licence '$(LICENCE)',--pack '$(or $(PACK),default)')
	@$(PY) -m $(if $(LOCAL),local.models,layers.models) publish --pack '$(or $(PACK),$(if $(FROM),own,default))' $(if $(LOCAL),,$(if $(BUCKET),--bucket '$(BUCKET)',--stack '$(or $(STACK),$(shell $(PY) -m tools.stack '$(or $(ENV),default)'))'))

fonts: .venv-deploy/ready ## put the typeface of Chinese, Japanese and Korean into the bucket of the stack of ENV, as deploy does; or BUCKET=name
	@$(DEPLOY) -m tools.large_fonts --env $(or $(ENV),default) $(if $(BUCKET),--bucket '$(BUCKET)')

bench: .venv/ready .venv-cloud/ready $(ENGINE) ## measure memory, time and bytes of swaps and videos, most of them against naive ways; swaps with AVX-512 and with AVX2 only; JSON in out/bench/
	$(PY) -m tests.bench.bench
	$(PY) -m tests.bench.video
	$(PY) -m tests.bench.looks
	$(PY) -m tests.bench.paste
	$(PY) -m tests.bench.detect
	$(PY) -m tests.bench.command
	$(PY) -m tests.bench.cold
	$(PY) -m tests.bench.tracks
	$(PY) -m tests.bench.moving

bench-quick: .venv/ready .venv-cloud/ready $(ENGINE) ## run every benchmark once, at a tiny size, to see that it works; keeps no numbers
	$(PY) -m tests.bench.quick

bench-memory: .venv/ready .venv-cloud/ready $(ENGINE) ## measure what a swap holds in memory, in every setting; table and plot in out/bench/
	$(PY) -m tests.bench.memory

bench-quality: .venv/ready $(ENGINE) ## compare pasted faces with drawn truths: sharpness, likeness, CPU; table and a sheet at full size in out/bench/
	$(PY) -m tests.bench.quality

bench-lambda: .venv-deploy/ready ## measure swaps on AWS, cold and warm, on a copy of the function of the stack of ENV: prints what it costs; YES=1 does it; SIZES='1024 1769', COLD=10, WARM=40, FACE=me.jpg MEME=meme.jpg
	@$(DEPLOY) -m tools.bench_lambda --env $(or $(ENV),default) $(if $(YES),--yes) $(if $(SIZES),--sizes $(SIZES)) $(if $(COLD),--cold $(COLD)) $(if $(WARM),--warm $(WARM)) $(if $(FACE),--face '$(FACE)') $(if $(MEME),--meme '$(MEME)')

demo-pack-report: .venv/ready ## measure the demo pack on identities never trained on
	$(PY) -m local.demo_pack.training.measure

demo-pack-train: .venv-train/ready ## train the demo pack again (takes a night on two cores)
	.venv-train/bin/python -m local.demo_pack.training.train

# Where there is no compiler, everything works through onnxruntime.
$(ENGINE): layers/engine/build.py $(wildcard layers/engine/native/*.cpp layers/engine/native/*.h layers/engine/native/*.inc) | .venv/ready
	@$(PY) -m layers.engine.build --if-possible

.venv/ready: requirements/dev.txt functions/swap/requirements-insightface.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	awk '/^[a-z]/ {skip = /^($(NOT_HERE))==/} !skip' requirements/dev.txt > .venv/requirements.txt
	.venv/bin/pip install $(PIP_FLAGS) -r .venv/requirements.txt
	.venv/bin/pip install $(PIP_FLAGS) -r functions/swap/requirements-insightface.txt
	@touch $@

.venv-cloud/ready: requirements/cloud.txt
	$(PYTHON) -m venv .venv-cloud
	.venv-cloud/bin/pip install $(PIP_FLAGS) -r requirements/cloud.txt
	@touch $@

.venv-lint/ready: requirements/lint.txt
	$(PYTHON) -m venv .venv-lint
	.venv-lint/bin/pip install $(PIP_FLAGS) -r requirements/lint.txt
	@touch $@

# pip goes in the end: nothing else is installed there, and a home of 1 GB has room for it only once.
.venv-deploy/ready: requirements/deploy.txt
	$(PYTHON) -m venv .venv-deploy
	.venv-deploy/bin/pip install $(PIP_FLAGS) --no-cache-dir --no-compile -r requirements/deploy.txt
	.venv-deploy/bin/pip uninstall --quiet --yes pip
	@touch $@

.venv-checkov/ready: requirements/checkov.txt
	$(PYTHON) -m venv .venv-checkov
	.venv-checkov/bin/pip install $(PIP_FLAGS) -r requirements/checkov.txt
	@touch $@

.venv-schema/ready: requirements/schema.txt
	$(PYTHON) -m venv .venv-schema
	.venv-schema/bin/pip install $(PIP_FLAGS) -r requirements/schema.txt
	@touch $@

.venv-clients/ready: requirements/clients.txt
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/pip install $(PIP_FLAGS) -r requirements/clients.txt
	@touch $@

# It sees the packages of .venv too: the tests in it start the local cloud.
.venv-page/ready: requirements/page.txt | .venv/ready
	$(PYTHON) -m venv .venv-page
	.venv-page/bin/pip install $(PIP_FLAGS) -r requirements/page.txt
	$(PY) -c $(PURELIB) > "$$($(PAGE) -c $(PURELIB))/venv.pth"
	@touch $@

# torch is no part of the locked set: which build fits depends on the machine.
.venv-train/ready: local/demo_pack/training/requirements.txt
	$(PYTHON) -m venv .venv-train
	.venv-train/bin/pip install --quiet -r local/demo_pack/training/requirements.txt
	.venv-train/bin/pip install $(PIP_FLAGS) -r functions/swap/requirements-insightface.txt
	@touch $@

LOCK = .venv-lock/bin/uv pip compile -q --generate-hashes --python-version 3.11 --no-annotate --no-header --no-emit-index-url
# `sam validate --lint` and `sam pipeline`, which deploy nothing, need these: half as much again.
WITHOUT = $(foreach package,cfn-lint sympy mpmath networkx pyopenssl cryptography cffi pycparser,--no-emit-package $(package))
lock: ## resolve the .in files again
	test -d .venv-lock || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install -q uv; }
	$(LOCK) functions/swap/requirements.in -o functions/swap/requirements.txt
	$(LOCK) --no-deps functions/swap/requirements-insightface.in -o functions/swap/requirements-insightface.txt
	$(LOCK) functions/video/requirements.in -c functions/swap/requirements.txt -o functions/video/requirements.txt
	$(LOCK) workers/gpu/requirements.in -c functions/swap/requirements.txt -o workers/gpu/requirements.txt
	$(LOCK) requirements/dev.in -c functions/swap/requirements.txt -c functions/video/requirements.txt -o requirements/dev.txt
	$(LOCK) requirements/cloud.in -o requirements/cloud.txt
	$(LOCK) requirements/lint.in -o requirements/lint.txt
	$(LOCK) $(WITHOUT) requirements/deploy.in -c requirements/lint.txt -o requirements/deploy.txt
	$(LOCK) requirements/checkov.in -o requirements/checkov.txt
	$(LOCK) requirements/schema.in -o requirements/schema.txt
	$(LOCK) requirements/clients.in -o requirements/clients.txt
	$(LOCK) requirements/page.in -c requirements/dev.txt -o requirements/page.txt

clean: ## delete everything that the targets above made
	rm -f $(ENGINE)
	rm -rf .venv .venv-cloud .venv-lint .venv-deploy .venv-checkov .venv-schema .venv-clients .venv-page .venv-train .venv-lock .aws-sam out build .local .mypy_cache .ruff_cache .hypothesis
