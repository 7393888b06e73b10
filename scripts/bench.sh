#!/usr/bin/env bash
# Times what this repository does beside what Keras does, on the machine at hand. REVIEWS=FILE, one text a line, is timed
# as well. Everything it makes lies in .bench/ and .keras/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Built first, so that no compiler runs beside the clock.
"${CARGO:-cargo}" bench --locked --quiet --no-run
if ! python=$(scripts/keras-env.sh); then
    echo "SKIPPED: Keras's figures, for the reason above; ours follow"
    python=python3
fi
"$python" benches/compare.py .bench ${REVIEWS:+"$REVIEWS"}
