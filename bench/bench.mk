# Included by the Makefile. BENCH_ARGS goes to `python -m bench run`, for example BENCH_ARGS=--quick.
# BENCH_DEPS: what has to be built first (the virtual environment).
PY ?= .venv/bin/python

.PHONY: bench bench-peers
bench: $(BENCH_DEPS)
	$(PY) -m bench run $(BENCH_ARGS)

bench-peers: $(BENCH_DEPS)
	$(PY) -m bench peers
