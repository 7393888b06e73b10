#!/usr/bin/env bash
# What a server holds after a long time at full load, texts and requests of every size mixed: resident memory, requests and
# errors, a line a minute. Needs wrk and curl, and a built server: MINUTES=60 soak.sh [BINARY]. Fails where a request fails, or where
# more than 200 MB are resident at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binary=${1:-target/release/sentiment}
minutes=${MINUTES:-60}
most_kib=195312
fail() {
    echo "soak: $1" >&2
    exit 1
}
for tool in wrk curl; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIPPED: a long time at full load, for $tool is missing: install Debian's package of that name"
        [[ ${CI:-} != true ]]
        exit
    fi
done
room=$(mktemp -d)
server=
finish() {
    if [[ -n $server ]]; then kill -KILL "$server" 2>/dev/null || true; fi
    rm -rf "$room"
}
trap finish EXIT
python3 - "$room/bodies.jsonl" <<'PY'
import json, random, sys
random.seed(1)
korean = [chr(random.randrange(0xAC00, 0xD7A4)) for _ in range(500)] + [" "] * 100
english = "a the of this film was not very good bad plot actor scene and I liked it never again".split()
def text():
    length = int(3 * 1.5 ** random.uniform(0, 15))
    if random.random() < 0.5:
        return "가" + "".join(random.choices(korean, k=length))
    return "film " + " ".join(random.choices(english, k=1 + length // 5))
with open(sys.argv[1], "w", encoding="utf-8") as out:
    for _ in range(3000):
        many = int(1.5 ** random.uniform(0, 11)) if random.random() < 0.1 else 0
        body = {"texts": [text() for _ in range(many)]} if many else {"text": text()}
        out.write(json.dumps(body, ensure_ascii=False) + "\n")
PY
"$binary" serve --listen 127.0.0.1:0 --device cpu --queue 65536 --deadline 30s --log-level warn,sentiment=info --no-access-log 2>"$room/log" &
server=$!
url=
for _ in {1..200}; do
    url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$room/log")
    [[ -n $url ]] && curl --silent --fail --output /dev/null "$url/readyz" && break
    sleep 0.05
done
[[ -n $url ]] || fail "the server is not ready: $(tail -n 3 "$room/log")"
resident_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$server/status"; }
printf '%6s %12s %10s %8s\n' minute "requests/s" "RSS MiB" errors
printf '%6d %12s %10.1f\n' 0 "" "$(awk -v k="$(resident_kib)" 'BEGIN { print k / 1024 }')"
errors=0
for ((minute = 1; minute <= minutes; minute++)); do
    found=$(wrk -t1 -c64 -d60s --timeout 30s -s benches/serve.lua "$url/v1/sentiment" -- "$room/bodies.jsonl" | grep '^{') || fail "wrk failed"
    kill -0 "$server" 2>/dev/null || fail "the server ended: $(tail -n 3 "$room/log")"
    python3 - "$found" "$minute" "$(resident_kib)" <<'PY'
import json, sys
found, minute, resident = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
print(f"{minute:6} {found['requests'] / found['seconds']:12.0f} {resident / 1024:10.1f} {found['refused'] + found['broken']:8}", flush=True)
PY
    errors=$((errors + $(python3 -c 'import json, sys; found = json.loads(sys.argv[1]); print(found["refused"] + found["broken"])' "$found")))
done
resident=$(resident_kib)
kill -TERM "$server"
wait "$server" || fail "the server did not end well"
server=
((errors == 0)) || fail "$errors requests failed"
((resident <= most_kib)) || fail "$resident KiB are resident, where $most_kib may be"
