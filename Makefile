# Everything a fresh clone needs: `make demo` and `make test` set themselves up.
PYTHON := .venv/bin/python
LOCKED := .venv/.locked

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-paper demo-seeds ablation report bench-audio bench-data bench-start bench-train bench-visual check-gpu pictures test test-slow fuzz check lock clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

setup: $(LOCKED)  ## uv, .venv and the locked dependencies

# Compiled, because each command would spend half a minute on its imports where Python may not write bytecode.
$(LOCKED): requirements.lock pyproject.toml
	@command -v uv >/dev/null || python3 -m pip install --quiet uv
	@echo "Setting up .venv from requirements.lock (about 5 GB with the CUDA build of torch)"
	@test -x $(PYTHON) || uv venv --quiet --python '>=3.11,<3.14' .venv
	@uv pip sync --quiet --compile-bytecode --python $(PYTHON) requirements.lock
	@uv pip install --quiet --python $(PYTHON) --no-deps --editable .
	@touch $(LOCKED)

demo: $(LOCKED)  ## the whole two-stage system on a synthetic data set, with a pretrained frame encoder: three and a half minutes on 2 cores
	@$(PYTHON) -m sedcrnn pipeline stages=demo

demo-paper: $(LOCKED)  ## the same with the paper's VGG16, from scratch: ten minutes on 2 cores with bf16, forty without
	@$(PYTHON) -m sedcrnn pipeline stages=demo_paper

demo-seeds: $(LOCKED)  ## the demo for five seeds: what fusion gains, mean and spread
	@$(PYTHON) -m sedcrnn pipeline stages=demo 'seeds=[0,1,2,3,4]'

# For the real data set: make ablation data=tau2021 root=<folder> more='trainer=gpu'
data := synthetic
seeds := 0,1,2,3,4
ablation: $(LOCKED)  ## the fusion table over five seeds on the synthetic set; data=tau2021 root=<folder> more='trainer=gpu' for the real one
	@$(PYTHON) -m sedcrnn pipeline stages=ablation data=$(data) $(if $(root),data.root=$(root)) \
		sizes=$(if $(filter synthetic%,$(data)),small,as_written) 'seeds=[$(seeds)]' $(more)
	@$(PYTHON) -m sedcrnn report

report: $(LOCKED)  ## publish: the tables of experiments/ and runs/report.html from all evaluated runs
	@$(PYTHON) -m sedcrnn report publish=$(or $(publish),true)

bench-audio: $(LOCKED)  ## every spectrogram against the package that the authors used: CPU time and error
	@uv pip install --quiet --python $(PYTHON) --no-deps gammatone==1.0.3
	@$(PYTHON) -m sedcrnn.benchmarks.audio_benchmark

bench-start: $(LOCKED)  ## seconds and memory from the command to the first training step, by number of clips
	@$(PYTHON) -m sedcrnn.benchmarks.startup_benchmark

bench-data: $(LOCKED)  ## windows/s that the loader delivers, beside a bare memory map
	@$(PYTHON) -m sedcrnn.benchmarks.data_benchmark

KERAS := .venv/keras
bench-train: $(LOCKED)  ## samples/s of every stage beside the floor, and where the time goes; keras=1: beside Keras, too
	@$(if $(keras),test -x $(KERAS)/bin/python || uv venv --quiet --python $(PYTHON) $(KERAS))
	@$(if $(keras),uv pip install --quiet --python $(KERAS)/bin/python tensorflow-cpu)
	@$(if $(keras),KERAS_PYTHON=$(KERAS)/bin/python) $(PYTHON) -m sedcrnn.benchmarks.training_benchmark

bench-visual: $(LOCKED)  ## decoding beside OpenCV and moviepy, and what storing frames costs
	@uv pip install --quiet --python $(PYTHON) --no-deps opencv-python-headless moviepy imageio imageio-ffmpeg proglog decorator python-dotenv
	@$(PYTHON) -m sedcrnn.benchmarks.visual_benchmark

pictures: $(LOCKED)  ## docs/pictures: what README shows, of the demo's runs and report; needs chromium and chromedriver
	@$(PYTHON) -m sedcrnn.benchmarks.pictures

check-gpu: $(LOCKED)  ## what only a GPU can answer: tests and figures in eleven minutes; out=<folder> for the results
	@$(PYTHON) -m sedcrnn.benchmarks.gpu_check --out $(or $(out),gpu-check)

test: $(LOCKED)  ## the tests that are fast, in minutes, on all cores
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses=auto --dist=worksteal -m 'not slow'

test-slow: $(LOCKED)  ## the others: processes that are killed and resumed, sweeps, DDP, compilation, a browser
	@$(PYTHON) -m pytest -m slow

fuzz: $(LOCKED)  ## 2,000 damaged media files through the reader; 500 random overrides and edits of small files through the commands
	@$(PYTHON) -m tests.fuzz.media $(or $(files),2000) $(or $(seed),0)
	@$(PYTHON) -m tests.fuzz.configs $(or $(configs),500) $(or $(seed),0)

check: $(LOCKED)  ## lint, format and types
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

lock:  ## renew requirements.lock from pyproject.toml
	@uv pip compile --quiet --universal --python-version 3.11 --all-extras --custom-compile-command 'make lock' \
		pyproject.toml --output-file requirements.lock

clean:  ## remove runs, caches and the environment; data stay
	rm -rf runs .venv .pytest_cache .mypy_cache .ruff_cache
