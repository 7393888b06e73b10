#!/usr/bin/env bash
# What a person does with the pages, in a real browser: chromium (Debian's package, installed where this may) driven by
# playwright-core (from npm, into .browser/). Screenshots lie in .browser/shots/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

skip() {
    echo "SKIPPED: the pages in a browser, for $1"
    [[ ${CI:-} != true ]]
    exit
}
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
packages=()
[[ -n $chromium ]] || packages+=(chromium fonts-nanum)
command -v npm >/dev/null || packages+=(nodejs npm)
if ((${#packages[@]})); then
    command -v apt-get >/dev/null && ((EUID == 0)) || skip "${packages[*]} are missing: install Debian's packages of these names"
    { apt-get update -q && apt-get install -yq --no-install-recommends "${packages[@]}"; } >&2 ||
        skip "apt-get could not install ${packages[*]}"
    chromium=${chromium:-$(command -v chromium)}
fi
mkdir -p .browser/shots
if ! [[ -d .browser/node_modules/playwright-core ]]; then
    npm install --silent --no-audit --no-fund --prefix .browser playwright-core@1.65.1 >&2 || skip "npm could not install playwright-core"
fi
binary=${SENTIMENT:-target/release/sentiment}
NODE_PATH=$PWD/.browser/node_modules exec node tests/browser/pages.cjs "$binary" "$chromium" .browser/shots
