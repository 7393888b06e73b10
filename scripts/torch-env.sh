#!/usr/bin/env bash
# Makes .bench/torch/ beside Cargo.toml, a Python environment with the PyTorch that benchmarks compare with (7 GB, for it comes
# with its GPU libraries), and prints its interpreter. Does nothing else when it is there; says in one line why there is none.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$root/.bench/torch
wanted="torch==2.9.0 numpy==2.4.6"

if [[ $(cat "$target/installed" 2>/dev/null) == "$wanted" ]]; then
    echo "$target/bin/python"
    exit 0
fi
echo "installing PyTorch into .bench/torch/" >&2
rm -rf "$target"
mkdir -p "$root/.bench"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # Two words are meant.
if ! python3 -m venv "$target" >"$log" 2>&1 ||
    ! "$target/bin/python" -m pip install --quiet --disable-pip-version-check $wanted >"$log" 2>&1; then
    echo "pip could not install PyTorch: $(tail -n 1 "$log")" >&2
    exit 1
fi
# Written last, so that an environment that has it is whole.
echo "$wanted" > "$target/installed"
echo "$target/bin/python"
