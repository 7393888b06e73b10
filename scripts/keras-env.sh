#!/usr/bin/env bash
# Makes .keras/ beside Cargo.toml, a Python environment with the Keras that benches and reference tests compare with, and
# prints its interpreter; `keras-env.sh 3` makes .keras3/ with Keras 3. Does nothing else when it is there; says in one line why
# there is none.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${1:-2} in
    2) wanted=$root/tests/reference/requirements.txt target=$root/.keras version=2.15 ;;
    3) wanted=$root/tests/reference/requirements3.txt target=$root/.keras3 version=3 ;;
    *) echo "usage: keras-env.sh [2|3]" >&2 && exit 2 ;;
esac

fail() {
    echo "$1" >&2
    exit 1
}

if [[ -f $target/requirements.txt ]] && cmp -s "$wanted" "$target/requirements.txt"; then
    echo "$target/bin/python"
    exit 0
fi

# str.lower must be that of Python 3.11, TensorFlow 2.15 has no wheels for later ones, and what is listed is listed for it.
python=
for candidate in python3.11 python3; do
    if [[ $("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) == 3.11 ]]; then
        python=$candidate
        break
    fi
done
[[ -n $python ]] || fail "Keras $version needs Python 3.11, which is not installed"

echo "installing Keras $version into ${target##*/}/" >&2
rm -rf "$target"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$python" -m venv "$target" >"$log" 2>&1 || fail "no virtual environment: $(tail -n 1 "$log")"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted" >"$log" 2>&1 ||
    fail "pip could not install Keras: $(tail -n 1 "$log")"
# Written last, so that an environment that has it is whole.
cp "$wanted" "$target/requirements.txt"
echo "$target/bin/python"
