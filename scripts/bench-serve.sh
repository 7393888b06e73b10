#!/usr/bin/env bash
# Times the server beside what bounds it and beside Python servers with the same network, in one run on the machine at
# hand. Needs wrk; oha (for the open loop) and the Python servers are installed into .bench/ where they can be. PEERS= leaves
# the Python servers out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "$1" >&2
    exit 1
}

if ! command -v wrk >/dev/null; then
    echo "SKIPPED: the serving benchmark, for wrk is missing: install Debian's package of that name"
    [[ ${CI:-} != true ]]
    exit
fi
mkdir -p .bench
oha=$(command -v oha || true)
if [[ -z $oha ]]; then
    oha=.bench/tools/bin/oha
    [[ -x $oha ]] || echo "building oha into .bench/tools/" >&2
    [[ -x $oha ]] || "${CARGO:-cargo}" install --quiet --locked --root .bench/tools --version 1.16.0 oha \
        || fail "oha cannot be installed"
fi
peers=.bench/peers
wanted=benches/peers/requirements.txt
if [[ -n ${PEERS-all} ]] && ! cmp -s "$wanted" "$peers/requirements.txt"; then
    echo "installing the Python servers into $peers/" >&2
    rm -rf "$peers"
    python3 -m venv "$peers"
    "$peers/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$peers/requirements.txt"
fi
# Built first, so that no compiler runs beside the clock.
"${CARGO:-cargo}" build --release --locked --quiet
"${CARGO:-cargo}" bench --locked --quiet --no-run --bench serve
OHA=$oha PEERS_ENV=$peers PEERS=${PEERS-fastapi litserve bentoml ray} python3 benches/serve.py .bench
