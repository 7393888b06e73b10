#!/usr/bin/env bash
# What a swap and a training cost those who ask meanwhile: p99, errors and memory before, during and after ten swaps under full
# load, and p99 at half load, idle and beside a training in the same process. Needs wrk, curl and oha, and a built server:
# bench-swap.sh [BINARY]. SECONDS_EACH=10 is the length of each measurement. Prints figures; fails where a promise is broken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binary=$(realpath "${1:-target/release/sentiment}")
each=${SECONDS_EACH:-10}
fail() {
    echo "bench-swap: $1" >&2
    exit 1
}
for tool in wrk curl python3; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIPPED: swaps under load, for $tool is missing: install Debian's package of that name"
        [[ ${CI:-} != true ]]
        exit
    fi
done
oha=$(command -v oha || true)
[[ -n $oha ]] || oha=$PWD/.bench/tools/bin/oha
if [[ ! -x $oha ]]; then
    mkdir -p .bench
    echo "building oha into .bench/tools/" >&2
    "${CARGO:-cargo}" install --quiet --locked --root .bench/tools --version 1.16.0 oha || fail "oha cannot be installed"
fi

room=$(mktemp -d)
server=
finish() {
    if [[ -n $server ]]; then kill -KILL "$server" 2>/dev/null || true; fi
    rm -rf "$room"
}
trap finish EXIT
mkdir "$room/models" "$room/data"
cp -r models/naver models/recipes "$room/models/"
head -c 24 /dev/urandom | base64 >"$room/token"
body='{"text": "배송이 빨라요 그런데 포장이 조금 아쉬워요 그래도 또 살 것 같아요"}'
cat >"$room/ask.lua" <<LUA
wrk.method = "POST"
wrk.path = "/v1/sentiment"
wrk.headers["content-type"] = "application/json"
wrk.body = '$body'
function done(summary, latency)
   local e = summary.errors
   io.write(string.format("%d %.2f %d\n", summary.requests * 1e6 / summary.duration, latency:percentile(99) / 1000,
      e.status + e.connect + e.read + e.write + e.timeout))
end
LUA

# start FLAGS...: a server on a free port, with its address in $url.
start() {
    (cd "$room" && exec "$binary" serve --listen 127.0.0.1:0 --device cpu --admin-token-file token --no-access-log \
        --database sqlite://data/sentiment.db "$@" 2>log) &
    server=$!
    for _ in {1..200}; do
        url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$room/log" 2>/dev/null | tail -n 1)
        [[ -n $url ]] && curl --silent --fail --output /dev/null "$url/readyz" && return
        sleep 0.05
    done
    fail "the server is not ready: $(tail -n 3 "$room/log")"
}
stop() {
    kill -TERM "$server"
    wait "$server" || fail "the server did not end well"
    server=
}
# full SECONDS: requests/s, p99 in ms and errors of 32 connections that ask all the time.
full() {
    nice -n 10 wrk -t1 -c32 -d"$1s" --timeout 20s -s "$room/ask.lua" "$url" | tail -n 1
}
# paced RATE: p99 in ms and the requests that got no 200, of an open loop.
paced() {
    nice -n 10 "$oha" --no-tui --output-format json -z "${each}s" -q "$1" -c 32 --latency-correction -m POST \
        -H 'content-type: application/json' -d "$body" "$url/v1/sentiment" | python3 -c '
import json, sys
found = json.load(sys.stdin)
good = found["statusCodeDistribution"].get("200", 0)
# What the end of the time cut off is no error.
bad = sum(found["statusCodeDistribution"].values()) - good
bad += sum(n for why, n in found["errorDistribution"].items() if "deadline" not in why)
print("%.2f %d" % (1e3 * found["latencyPercentiles"]["p99"], bad))'
}
# admin METHOD PATH [BODY]
admin() {
    curl --silent --show-error --fail --max-time 60 -X "$1" "$url$2" -H "authorization: Bearer $(cat "$room/token")" \
        ${3:+-H 'content-type: application/json' -d "$3"}
}
memory_mib() {
    awk '/^VmRSS/ { printf "%d", $2 / 1024 }' "/proc/$server/status"
}
# The same network under other numbers: sealed anew, since a version says its own number.
copy_version() {
    python3 - "$room/models/naver" "$1" <<'PY'
import hashlib, pathlib, re, shutil, sys
models, number = pathlib.Path(sys.argv[1]), sys.argv[2]
active = (models / "ACTIVE").read_text().strip()
shutil.copytree(models / active, models / number)
path = models / number / "manifest.json"
text = path.read_text()
digest = re.search(r'"digest": "([0-9a-f]+)"', text).group(1)
text = text.replace(digest, "", 1)
text, changed = re.subn(r'^  "version": .*,$', lambda m: m.group(0).replace(active, number, 1), text, count=1, flags=re.M)
assert changed == 1, "no version in the manifest"
sealed = hashlib.sha256(text.encode()).hexdigest()
path.write_text(text.replace('"digest": ""', '"digest": "%s"' % sealed, 1))
PY
}
less_than() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'; }

active=$(cat "$room/models/naver/ACTIVE")
copy_version 900
start
full 3 >/dev/null
before_mib=$(memory_mib)
read -r rate before errors_before <<<"$(full "$each")"
full "$each" >"$room/during" &
load=$!
pause=$(awk -v s="$each" 'BEGIN { print s / 12 }')
for swap in {1..10}; do
    sleep "$pause"
    version=900
    if ((swap % 2 == 0)); then version=$active; fi
    admin POST /v1/models/naver/activate "{\"version\": \"$version\"}" >/dev/null || fail "swap $swap failed"
done
wait "$load"
read -r _ during errors_during <"$room/during"
read -r _ after errors_after <<<"$(full "$each")"
after_mib=$(memory_mib)
echo "ten swaps under full load, $rate requests/s"
printf '%-8s %10s %8s %8s\n' "" "p99 ms" errors "RSS MiB"
printf '%-8s %10s %8s %8s\n' before "$before" "$errors_before" "$before_mib" during "$during" "$errors_during" "" \
    after "$after" "$errors_after" "$after_mib"
stop

# On reviews that are made up: what they say makes no difference to the clock.
python3 - "$room/data/reviews.tsv" <<'PY'
import random, sys
random.seed(1)
good, bad, rest = "좋아요 최고 빨라요".split(), "별로 최악 느려요".split(), "배송 포장 그냥 상품 색상 사이즈".split()
with open(sys.argv[1], "w") as out:
    for at in range(20000):
        words = [random.choice(good if at % 2 else bad)] + random.choices(rest, k=8)
        random.shuffle(words)
        out.write("%d\t%s %d\n" % (5 if at % 2 else 1, " ".join(words), at))
PY
start --with-worker
half=$((rate / 2))
paced "$half" >/dev/null
read -r idle errors_idle <<<"$(paced "$half")"
recipe='{"name": "bench", "languages": ["ko"], "data": {"source": [{"name": "made-up", "label_above": 3}]}, "tokenizer": {"level": "char"},
    "padding": {"maxlen": 100}, "layers": [{"kind": "embedding", "units": 16}, {"kind": "lstm", "units": 64, "return_sequences": true},
    {"kind": "lstm", "units": 32}, {"kind": "dense", "units": 1, "activation": "sigmoid"}], "fit": {"epochs": 1000, "batch_size": 32}}'
job=$(admin POST /v1/training/jobs "{\"recipe\": $recipe, \"data\": [\"reviews.tsv\"]}" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])') || fail "the job was refused"
for _ in {1..120}; do
    admin GET "/v1/training/jobs/$job" | grep -q '"phase":"training"' && training=yes && break
    sleep 0.5
done
[[ ${training:-} == yes ]] || fail "the training did not start: $(admin GET "/v1/training/jobs/$job")"
read -r beside errors_beside <<<"$(paced "$half")"
admin GET "/v1/training/jobs/$job" | grep -q '"state":"running"' || fail "the training did not last"
admin DELETE "/v1/training/jobs/$job" >/dev/null
echo "half load, $half requests/s"
printf '%-8s %10s %8s\n' "" "p99 ms" errors idle "$idle" "$errors_idle" training "$beside" "$errors_beside"
stop

((errors_before + errors_during + errors_after + errors_idle + errors_beside == 0)) || fail "requests failed"
less_than "$during" "$(awk -v p="$before" 'BEGIN { print 2 * p }')" || fail "p99 doubled while versions changed"
less_than "$after_mib" "$((before_mib * 5 / 4 + 16))" || fail "memory did not come back"
less_than "$beside" "$(awk -v p="$idle" 'BEGIN { print 2 * p }')" || fail "p99 doubled beside a training"
