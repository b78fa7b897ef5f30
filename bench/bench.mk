# Included by the Makefile. BENCH_ARGS goes to `python -m bench run`, for example BENCH_ARGS=--quick.
# BENCH_DEPS: what has to be made first, by default the stamp of the virtual environment.
PY ?= .venv/bin/python
BENCH_DEPS ?= $(if $(VENV),$(VENV)/.run)

.PHONY: bench bench-peers

bench: $(BENCH_DEPS) ## the benchmark, side by side with the peers that are installed (BENCH_ARGS=--quick)
	@$(PY) -m bench run $(BENCH_ARGS)

bench-peers: $(BENCH_DEPS) ## nginx, haproxy, wrk, vllm-router, litellm: what the benchmark compares with
	@$(PY) -m bench peers
