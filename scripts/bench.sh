#!/usr/bin/env bash
# Times what this repository does beside what Keras does, on the machine at hand. REVIEWS=FILE, one text a line, is timed
# as well; REVIEWS_IMDB=FILE and REVIEWS_NAVER=FILE, one review a line, are trained on instead of made-up ones, and STEPS=25 times fewer
# steps of the others. Everything it makes lies in .bench/ and .keras/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Built first, so that no compiler runs beside the clock.
"${CARGO:-cargo}" bench --locked --quiet --no-run
if ! python=$(scripts/keras-env.sh); then
    echo "SKIPPED: Keras's figures, for the reason above; ours follow"
    python=python3
fi
"$python" benches/compare.py .bench ${REVIEWS:+"$REVIEWS"}
keras=
[[ $python == python3 ]] || keras=$python
torch=$(scripts/torch-env.sh) || echo "SKIPPED: PyTorch's figures, for the reason above"
REVIEWS_IMDB=${REVIEWS_IMDB:-} REVIEWS_NAVER=${REVIEWS_NAVER:-} KERAS=$keras TORCH=$torch python3 benches/train.py .bench "${REVIEWS_IMDB:-.bench/english.txt}" "${REVIEWS_NAVER:-.bench/korean.txt}"
