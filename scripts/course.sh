#!/usr/bin/env bash
# Trains the course's four networks here and in Keras, on the same rows in one run, and prints a table of what came of it:
#   scripts/course.sh IMDB NAVER
# IMDB is aclImdb's train folder, NAVER the shopping reviews (.tsv, also as .gz or .xz); "-" leaves one out. EPOCHS=1 and ROWS=500
# make a short one. KERAS_PYTHON takes the place of the interpreter in .keras/, and SENTIMENT_PROGRAM that of a program to be
# built. Everything it makes lies in .bench/course/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ $# == 2 && -n $1 && -n $2 ]] || {
    echo "usage: scripts/course.sh IMDB NAVER (make course IMDB=aclImdb/train NAVER=naver_shopping.tsv)" >&2
    exit 2
}
if ! python=${KERAS_PYTHON:-$(scripts/keras-env.sh)}; then
    echo "SKIPPED: the course's networks in Keras, for the reason above"
    exit 0
fi
scripts/fetch-onnxruntime.sh
# Built first, so that no compiler runs beside the clock.
sentiment=${SENTIMENT_PROGRAM:-}
if [[ -z $sentiment ]]; then
    "${CARGO:-cargo}" build --locked --quiet --release
    sentiment=${CARGO_TARGET_DIR:-target}/release/sentiment
fi
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=
"$python" -W ignore benches/course.py "$sentiment" "$1" "$2" .bench/course
