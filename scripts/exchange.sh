#!/usr/bin/env bash
# Real Keras loads what `sentiment export` writes and answers as the bundles' golden rows say: the models that come with it,
# and one imported model for each kind of layer. KERAS_PYTHON takes the place of the interpreter in
# .keras/, and SENTIMENT_PROGRAM that of a program to be built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! python=${KERAS_PYTHON:-$(scripts/keras-env.sh)}; then
    [[ ${CI:-} == true ]] && exit 1
    echo "SKIPPED: models that real Keras loads, for the reason above"
    exit 0
fi
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=
sentiment=${SENTIMENT_PROGRAM:-}
if [[ -z $sentiment ]]; then
    "${CARGO:-cargo}" build --locked --quiet
    sentiment=${CARGO_TARGET_DIR:-target}/debug/sentiment
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# A bundle and the model's name.
compare() {
    "$sentiment" export --format keras "$1" "$folder/$2.keras" >"$folder/said"
    "$sentiment" export --format keras "$1" "$folder/$2.h5" >"$folder/said"
    "$python" -W ignore tests/reference/keras_loads.py "$1" "$folder/$2.keras" "$folder/$2.h5" 2>"$folder/log" || {
        tail -n 5 "$folder/log" >&2
        exit 1
    }
}

for model in imdb naver; do
    compare "models/$model/1" "$model"
done
ranks=$folder/ranks.json
printf '{"a": 1, "b": 2, "c": 3, "d": 9, "e": 20, "f": 24}\n' >"$ranks"
for model in functional_pools_both merge_sum merge_ave without_biases time_distributed masked_lstm flatten go_backwards masked_backwards; do
    name=${model//_/-}
    "$sentiment" import --name "$name" --model "tests/fixtures/keras_small/${model}_keras2/model.keras" \
        --tokenizer "$ranks" --index-from 3 --out "$folder/models" >"$folder/said"
    compare "$folder/models/$name/1" "$name"
done
