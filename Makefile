# The menu. Every entry is one script; CI and people call the same ones.
.DEFAULT_GOAL := help
.PHONY: help up lock test fast lint docs screenshots sbom bench-web bench-import bench-size bench-ranges rename-campaign range-moves consistency races fuzz \
	drill-campaign process-kills failover-bench shard-outage abuse guard-soak guard-faults deploy-kills nightly nightly-short mutants

help: ## Show this menu
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

lock: ## Renew the pinned dependencies of deployments, requirements.txt
	./scripts/lock

up: ## Start the whole system on this machine
	./scripts/up

test: ## Run every check and test, as CI does
	./scripts/test

nightly: ## Run what takes too long for every change: full matrices and all campaigns, some five hours
	./scripts/venv server,mongod,xlsx,dev
	.venv/bin/python -m tests.runner.nightly

nightly-short: ## The campaigns of the night in their shortest form, a quarter of an hour
	./scripts/venv server,mongod,xlsx,dev
	.venv/bin/python -m tests.runner.nightly --short

fast: ## Run the fast ring only: no sockets, less than a minute
	./scripts/test fast

lint: ## Run the checks of style, types and import rules
	./scripts/test lint

docs: ## Write the generated pages of the documentation
	.venv/bin/python scripts/write-command-docs
	.venv/bin/python scripts/write-rights-docs
	.venv/bin/python scripts/write-field-docs

screenshots: ## Write a screenshot of every page into screenshots/
	./scripts/screenshots

sbom: ## Write sbom.json: what a deployment is made of, in CycloneDX
	./scripts/venv sbom
	.venv/bin/cyclonedx-py requirements requirements.txt --output-format JSON --output-file sbom.json

bench-web: ## Ours beside the seed, Eve and FastAPI: ratios of one run (needs wrk)
	./scripts/venv server,mongod,bench
	.venv/bin/python -m bench.web.run

bench-ranges: ## A map of 10 and of 10,000 ranges, side by side: ratios, without a cluster
	.venv/bin/python bench/many_ranges.py

bench-size: ## Lists at 10,000 and at 1,000,000 products, side by side (takes long)
	.venv/bin/python bench/catalogue_size.py --large 1000000

bench-import: ## An import beside a bare insert_many of its documents: the ratio of one run
	./scripts/venv server,mongod,xlsx,dev
	.venv/bin/python -m bench.import_speed --rows 100000

bench-idle: ## What an idle system takes of a processor, and what a command takes to start
	./scripts/venv server,mongod,xlsx,dev
	.venv/bin/python -m bench.idle

consistency: ## Random clients and faults of sixteen kinds for an hour: is every promise kept?
	.venv/bin/python -m campaigns.consistency.run

races: ## 500 races of four for an SKU, also while somebody dies, and other races: half an hour
	.venv/bin/python -m campaigns.races

rename-campaign: ## Rename over the border under readers and kill -9: takes half an hour
	.venv/bin/python -m campaigns.renames

range-moves: ## Fill and empty a third shard under load, with kill -9 of the mover: nothing lost, four minutes
	.venv/bin/python -m campaigns.range_moves

deploy-kills: ## Kill `deploy apply` at ten random moments: the next one always ends healthy
	DEPLOY_KILLS=10 .venv/bin/pytest tests/incus/test_deploy.py --durations=10

drill-campaign: ## Kill a random member of every set 50 times under load: nothing lost, half an hour
	.venv/bin/python -m campaigns.kills

process-kills: ## kill -9 of a random process 200 times under load: no wrong answer, half an hour
	.venv/bin/python -m campaigns.processes

failover-bench: ## The write gaps of MongoDB's defaults, ours, and ours with the guard: an hour and a half
	.venv/bin/python -m campaigns.gaps

abuse: ## Twenty-two kinds of abuse: what they cost those who do nothing wrong, ten minutes
	.venv/bin/python -m campaigns.abuse

shard-outage: ## A whole shard killed and hanging under load: the other one as quick as before, two minutes
	.venv/bin/python -m campaigns.shard_outage

guard-soak: ## Ten minutes of busy processors, ten of a slow network: no election nobody asked for
	.venv/bin/python -m campaigns.soak

guard-faults: ## Kill, pause and double the guard in the middle of failovers: half an hour
	.venv/bin/python -m campaigns.guard_faults

mutants: ## Change the rules a little, thousands of times: which change does no test notice? Half an hour
	./scripts/venv server,mongod,xlsx,dev,mutants
	.venv/bin/mutmut run
	.venv/bin/mutmut results

fuzz: ## Fuzz the REST API for ten minutes, sequences of calls included
	FUZZ_SECONDS=600 FUZZ_PHASES=examples,coverage,fuzzing,stateful .venv/bin/pytest tests/api/test_fuzz.py
