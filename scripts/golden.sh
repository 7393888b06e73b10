#!/usr/bin/env bash
# Runs the text tests on random cases that real Keras answers now: golden.sh [SEED [COUNT]], so many cases for each file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! python=$(scripts/keras-env.sh); then
    [[ ${CI:-} == true ]] && exit 1
    echo "SKIPPED: random cases from Keras, for the reason above"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" tests/reference/text_golden.py "$folder" "${1:-1}" "${2:-500}"
SENTIMENT_GOLDEN=$folder "${CARGO:-cargo}" test --locked --test golden_text -- --nocapture
