#!/usr/bin/env bash
# Tries inputs that nobody thought of on everything that reads what comes from outside: fuzz.sh [SECONDS] for each target. Needs
# cargo-fuzz, which it installs into .fuzz/; what it finds lies in .fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-30}
cargo=${CARGO:-cargo}
root=$PWD/.fuzz
if ! [[ -x $root/tools/bin/cargo-fuzz ]] && ! "$cargo" install --quiet --locked --root "$root/tools" --version 0.13.2 cargo-fuzz; then
    echo "SKIPPED: fuzzing, for cargo-fuzz cannot be installed"
    [[ ${CI:-} != true ]]
    exit
fi
# The stable compiler counts branches too; only the address sanitizer needs another.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$root/target
fuzz() {
    "$root/tools/bin/cargo-fuzz" fuzz "$@"
}
fuzz build --fuzz-dir tests/fuzz --sanitizer none
for target in request lines tokenizer manifest recipe dataset import vectors; do
    corpus=$root/corpus/$target
    mkdir -p "$corpus" "$root/artifacts/$target"
    # Something to begin with.
    cp tests/fuzz/seeds/"$target"/* "$corpus/"
    case $target in
        tokenizer) cp models/naver/*/tokenizer.json "$corpus/naver" ;;
        manifest) cp models/naver/*/manifest.json "$corpus/naver" ;;
        recipe) cp models/recipes/*.toml "$corpus/" ;;
        import)
            # The first byte says what kind of file it is.
            for file in tests/fixtures/keras_small/*/model.{h5,keras,onnx}; do
                case $file in *.h5) kind=0 ;; *.keras) kind=1 ;; *) kind=2 ;; esac
                { printf "\\$kind" && cat "$file"; } >"$corpus/$(basename "$(dirname "$file")").${file##*.}"
            done
            ;;
    esac
    # Names that a reader asks for are not found by chance.
    find "$corpus" -type f -exec cat {} + | LC_ALL=C grep -aoE '[A-Za-z_][A-Za-z_0-9]{3,30}' | sort | uniq -c | sort -rn | awk 'NR <= 500 { print "\"" $2 "\"" }' \
        >"$root/$target.words"
    echo "fuzzing $target for $seconds s" >&2
    fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" "$corpus" -- \
        -artifact_prefix="$root/artifacts/$target/" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=4096 -timeout=20 \
        -report_slow_units=5 -dict="$root/$target.words" -print_final_stats=1 2>&1 |
        grep -aE '^(stat::(number_of_executed|slowest|peak_rss)|SUMMARY|==|Slowest|thread|.*panicked)' || {
        echo "fuzz: $target failed: see .fuzz/artifacts/$target" >&2
        exit 1
    }
done
