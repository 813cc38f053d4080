# OpenRDU: two commands do everything on a fresh machine, `make sim` and `make test`; `make help` lists the rest.
# SIM=icarus runs the block benches on Icarus; WAVES=1 writes waves; ONLY=arith picks one block of a long campaign.
PYTHON ?= python3
SIM ?= verilator
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
RUN := .venv/bin/python
STAMP := .venv/openrdu.stamp
comma := ,
export SIM WAVES

.PHONY: help sim test verify bench figures verilog fpga-units doctor lint format types clean
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml scripts/bootstrap.py
	@$(PYTHON) scripts/bootstrap.py

sim: $(STAMP) ## language models, a router and experts on the RTL of a socket, every bit compared (ARITH=fast, EXPERTS=0, LINKS=, MODEL=, PROMPT=, TOKENS=, LAYERS=, PRESET=, WAVES=1; a layer of MODEL=smollm2, prefill of ROWS=)
ifneq ($(ROWS)$(filter smollm2,$(MODEL)),)
	@$(RUN) -m scripts.sim_layer --model "$(or $(MODEL),smollm2)" --rows "$(or $(ROWS),32$(comma)64)" \
	  $(if $(PRESET),--preset $(PRESET))
else
	@$(RUN) -m scripts.sim $(if $(MODEL),--model "$(MODEL)") $(if $(PROMPT),--prompt "$(PROMPT)") \
	  $(if $(TOKENS),--tokens $(TOKENS)) $(if $(LAYERS),--layers $(LAYERS)) $(if $(PRESET),--preset $(PRESET)) \
	  $(if $(ARITH),--arith $(ARITH)) $(if $(EXPERTS),--experts $(EXPERTS)) $(if $(LINKS),--host-links $(LINKS))
endif

test: $(STAMP) ## every quick test
	@$(RUN) -m pytest -n $(JOBS) $(ARGS)

verify: $(STAMP) ## the long campaign, resumable (ONLY=arith picks one block)
	@$(RUN) -m scripts.verify $(if $(ONLY),--only $(ONLY))

bench: $(STAMP) ## measures speeds (ONLY=arith picks one block)
	@$(RUN) -m scripts.bench $(if $(ONLY),--only $(ONLY))

figures: $(STAMP) ## every figure this project claims, measured or missing
	@$(RUN) -m scripts.figures

verilog: $(STAMP) ## Verilog, JSON sidecar and FuseSoC core of units and a socket, to build/verilog (PRESET=)
	@$(RUN) -m scripts.verilog $(if $(PRESET),--preset $(PRESET))

fpga-units: $(STAMP) ## area and clock of every unit on an ECP5-85F, to docs/fpga_units.md (ONLY=multiply_add picks, SEEDS=1)
	@$(RUN) -m scripts.fpga_units $(if $(ONLY),--only $(ONLY)) $(if $(SEEDS),--seeds $(SEEDS))

doctor: $(STAMP) ## what was found on this machine, versions included
	@$(RUN) -m scripts.doctor

lint: $(STAMP) ## format, lint, types
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy

format: $(STAMP) ## rewrites the sources the way lint wants them
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

clean: ## removes everything built (not the virtual environment)
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
