#!/usr/bin/env bash
# Real Keras, 2.15 and 3, loads what `sentiment export` writes and answers as the bundles' golden rows say: the models that come
# with it, and every small model of tests/fixtures/keras_small, imported. KERAS_PYTHON and KERAS3_PYTHON take the place of the
# interpreters in .keras/ and .keras3/, and SENTIMENT_PROGRAM that of a program to be built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pythons=()
for major in 2 3; do
    given=KERAS_PYTHON
    [[ $major == 3 ]] && given=KERAS3_PYTHON
    if python=${!given:-$(scripts/keras-env.sh $major)}; then
        pythons+=("$python")
    else
        [[ ${CI:-} == true ]] && exit 1
        echo "SKIPPED: models that Keras $major loads, for the reason above"
    fi
done
[[ ${#pythons[@]} -gt 0 ]] || exit 0
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=
sentiment=${SENTIMENT_PROGRAM:-}
if [[ -z $sentiment ]]; then
    "${CARGO:-cargo}" build --locked --quiet
    sentiment=${CARGO_TARGET_DIR:-target}/debug/sentiment
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# What Keras is to load: a bundle and two files, three arguments each.
asked=()
# A bundle and the model's name; says when the model cannot be written.
write() {
    local file
    for file in "$folder/$2.keras" "$folder/$2.h5"; do
        "$sentiment" export --format keras "$1" "$file" >"$folder/said" 2>"$folder/log" || return 1
    done
    asked+=("$1" "$folder/$2.keras" "$folder/$2.h5")
}

for model in imdb naver; do
    write "models/$model/$(<"models/$model/ACTIVE")" "$model" || {
        cat "$folder/log" >&2
        exit 1
    }
done
ranks=$folder/ranks.json
printf '{"a": 1, "b": 2, "c": 3, "d": 9, "e": 20, "f": 24}\n' >"$ranks"
refused=0
for file in tests/fixtures/keras_small/*_keras2/model.keras; do
    model=$(basename "$(dirname "$file")" _keras2)
    name=${model//_/-}
    "$sentiment" import --name "$name" --model "$file" --tokenizer "$ranks" --index-from 3 --maxlen 9 \
        --out "$folder/models" >"$folder/said"
    if ! write "$folder/models/$name/1" "$name"; then
        # The one thing that no file can say to both versions.
        grep -q 'Keras 2 and 3 mean different functions by hard_sigmoid' "$folder/log" || {
            cat "$folder/log" >&2
            exit 1
        }
        echo "$model is not written: $(cat "$folder/log")"
        refused=$((refused + 1))
    fi
done
[[ $refused == 2 ]] || {
    echo "exchange: $refused models were refused, where two have a hard_sigmoid" >&2
    exit 1
}
for python in "${pythons[@]}"; do
    "$python" -W ignore tests/reference/keras_loads.py "${asked[@]}" 2>"$folder/log" || {
        tail -n 5 "$folder/log" >&2
        exit 1
    }
done
