# Everything a person or a machine does with this repository. `make serve` and `make test` need nothing set up but cargo,
# a C compiler, and Python 3 with pip, which fetches ONNX Runtime.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: build serve test lint bench bench-serve bench-swap bench-vectors course golden exchange test-all browser slow-clients under-load soak fuzz image onnxruntime clean

CARGO ?= cargo
LISTEN ?= 127.0.0.1:8080
MODELS ?= models
DEVICE ?= auto
DATABASE ?= sqlite://data/sentiment.db
IMAGE ?= sentiment

build: onnxruntime
	$(CARGO) build --release --locked

# Serves models/ until Ctrl-C, jobs and feedback in data/; DEVICE=cuda on a GPU, which needs CUDA 13 and cuDNN 9.
serve:
	@DEVICE=$(DEVICE) scripts/fetch-onnxruntime.sh
	$(if $(filter cuda,$(DEVICE)),ORT_DYLIB_PATH=$${ORT_DYLIB_PATH:-$(CURDIR)/.ort-cuda/libonnxruntime.so} )$(CARGO) run --release --locked -- serve --listen $(LISTEN) --models $(MODELS) --device $(DEVICE) --database $(DATABASE)

# All that a change can break. What needs PostgreSQL is skipped where that is not installed.
test: onnxruntime
	$(CARGO) test --locked

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@# Nothing is linked, so the fuzzer itself, in C++, need not be built.
	CUSTOM_LIBFUZZER_PATH=./none $(CARGO) clippy --locked --manifest-path tests/fuzz/Cargo.toml --target-dir $${CARGO_TARGET_DIR:-target} -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet

# Quiet when the library is there; ORT_DYLIB_PATH takes its place.
onnxruntime:
	@scripts/fetch-onnxruntime.sh

# Texts, training steps and requests a second, beside Keras and Python servers where they can be installed; REVIEWS=FILE
# times a file of yours as well, REVIEWS_IMDB=FILE and REVIEWS_NAVER=FILE are trained on in the place of made-up reviews.
bench: onnxruntime
	@CARGO="$(CARGO)" REVIEWS="$(REVIEWS)" REVIEWS_IMDB="$(REVIEWS_IMDB)" REVIEWS_NAVER="$(REVIEWS_NAVER)" scripts/bench.sh
	@CARGO="$(CARGO)" scripts/bench-serve.sh

# Requests a second, bulk and idle, beside what bounds them and beside Python servers. Needs wrk.
bench-serve: onnxruntime
	@CARGO="$(CARGO)" scripts/bench-serve.sh

# Word vectors beside gensim: 400,000 words of 300 numbers, read and asked.
bench-vectors:
	@CARGO="$(CARGO)" scripts/bench-vectors.sh

# The course's four networks here and in Keras, in one run: IMDB=aclImdb/train NAVER=naver_shopping.tsv. Takes an hour on two cores.
course: onnxruntime
	@CARGO="$(CARGO)" scripts/course.sh "$(IMDB)" "$(NAVER)"

# p99, errors and memory while versions change under full load, and beside a training at half load. Needs wrk.
bench-swap: build
	@CARGO="$(CARGO)" scripts/bench-swap.sh

# And what needs Keras, a browser, Docker, HAProxy, wrk or time.
test-all: test lint golden exchange browser slow-clients under-load bench-swap soak fuzz image

# The pages as a person uses them, in chromium; pictures of them in .browser/shots/.
browser: build
	@scripts/browser.sh

# Ten thousand clients that send their heads byte by byte.
slow-clients: onnxruntime
	ulimit -n 11000 && SLOW_CLIENTS=10000 $(CARGO) test --locked --test http thousands_of_clients

# Ten times more requests than a server can do, and servers stopped behind a balancer.
under-load: build
	@scripts/under-load.sh

# What a server holds after MINUTES at full load with texts of every length: 60 is an hour.
MINUTES ?= 5
soak: build
	@MINUTES=$(MINUTES) scripts/soak.sh

# Inputs that nobody thought of, for FUZZ seconds a target.
fuzz:
	@CARGO="$(CARGO)" scripts/fuzz.sh $(FUZZ)

# Models that real Keras loads and answers as we do.
exchange: onnxruntime
	@CARGO="$(CARGO)" scripts/exchange.sh

# Thousands of random texts that Keras answers beside us.
golden:
	@CARGO="$(CARGO)" scripts/golden.sh

# Built, started and asked whether it is ready.
image:
	@scripts/image.sh $(IMAGE)

clean:
	rm -rf .ort
	$(CARGO) clean
