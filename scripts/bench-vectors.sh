#!/usr/bin/env bash
# Times reading and asking word vectors beside gensim, turn by turn in one run, and compares all answers: a made-up set of WORDS
# words (400,000) and DIMENSIONS numbers each (300), as text and in word2vec's binary form. Everything it makes lies in .bench/.
# GENSIM_PYTHON takes the place of the interpreter in .bench/gensim/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted="gensim==4.4.0 numpy==2.4.6"
python=${GENSIM_PYTHON:-}
if [[ -z $python ]]; then
    target=.bench/gensim
    python=$target/bin/python
    if [[ $(cat "$target/installed" 2>/dev/null) != "$wanted" ]]; then
        echo "installing gensim into $target/" >&2
        rm -rf "$target"
        mkdir -p .bench
        log=$(mktemp)
        trap 'rm -f "$log"' EXIT
        # shellcheck disable=SC2086 # Two words are meant.
        if ! python3 -m venv "$target" >"$log" 2>&1 ||
            ! "$python" -m pip install --quiet --disable-pip-version-check $wanted >"$log" 2>&1; then
            echo "SKIPPED: gensim's figures, for pip could not install it: $(tail -n 1 "$log")"
            exit 0
        fi
        # Written last, so that an environment that has it is whole.
        echo "$wanted" >"$target/installed"
    fi
fi
# Built first, so that no compiler runs beside the clock.
"${CARGO:-cargo}" bench --locked --quiet --no-run --bench vectors
"$python" benches/vectors.py .bench "${WORDS:-400000}" "${DIMENSIONS:-300}"
