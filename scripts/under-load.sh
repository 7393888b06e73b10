#!/usr/bin/env bash
# What becomes of requests when there are ten times too many, and when servers behind a balancer are stopped and started
# under full load. Needs wrk and haproxy (Debian's packages) and a built server: under-load.sh [BINARY]. Prints figures and
# fails where a promise is broken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binary=${1:-target/release/sentiment}
for tool in wrk haproxy curl; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIPPED: servers under load, for $tool is missing: install Debian's package of that name"
        [[ ${CI:-} != true ]]
        exit
    fi
done
room=$(mktemp -d)
started=()
finish() {
    kill -KILL "${started[@]}" 2>/dev/null || true
    rm -rf "$room"
}
trap finish EXIT
fail() {
    echo "under load: $1" >&2
    exit 1
}

cat >"$room/ask.lua" <<'LUA'
wrk.method = "POST"
wrk.path = "/v1/sentiment"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"text": "배송이 빨라요 그런데 포장이 조금 아쉬워요 그래도 또 살 것 같아요"}'
local wait = 0
function init(args) wait = tonumber(args[1] or "0") end
-- Spread, so that they do not all come at once.
function delay() return math.random(0, 2 * wait) end
function done(summary)
   local e = summary.errors
   io.write(string.format("%d %d %d\n", summary.requests * 1e6 / summary.duration,
      e.status * 1e6 / summary.duration, e.connect + e.read + e.write + e.timeout))
end
LUA

# serve PORT FLAGS...: starts a server, leaves its process in $server.
serve() {
    local port=$1
    shift
    "$binary" serve --listen "127.0.0.1:$port" --device cpu --log-level warn "$@" &
    server=$!
    started+=("$server")
    for _ in {1..200}; do
        curl --silent --fail --output /dev/null "http://127.0.0.1:$port/readyz" && return
        sleep 0.05
    done
    fail "the server on port $port is not ready"
}
# ask PORT CONNECTIONS SECONDS MILLISECONDS: requests/s, refusals/s and broken requests.
ask() {
    # Behind the server: on one machine the two have the same cores.
    nice -n 10 wrk -t1 -c"$2" -d"$3s" --timeout 20s -s "$room/ask.lua" "http://127.0.0.1:$1" -- "$4" | tail -n 1
}
resident() {
    awk '/VmRSS/ { print int($2 / 1024) }' "/proc/$1/status"
}

echo "ten times more than it can do"
serve 18700 --queue 256
ask 18700 64 2 0 >/dev/null
read -r capacity _ _ < <(ask 18700 64 5 0)
# So many connections that each waits a fifth of a second between two requests.
connections=$((capacity * 10 / 5))
((connections <= 8000)) || connections=8000
wait=$((connections * 1000 / (capacity * 10)))
ulimit -n $((connections + 200)) 2>/dev/null || fail "no $connections files can be open: ulimit -n"
# What so many connections need is there after a few rounds, in which they come and go; from then on nothing may be added.
for _ in {1..4}; do ask 18700 "$connections" 5 "$wait" >/dev/null; done
before=$(resident "$server")
read -r all refused broken < <(ask 18700 "$connections" 10 "$wait")
goodput=$((all - refused))
after=$(resident "$server")
within=$(curl --silent http://127.0.0.1:18700/metrics | awk '
    /^http_server_request_duration_seconds_bucket.*status="200".*le="2.5"/ && /sentiment/ { within = $2 }
    /^http_server_request_duration_seconds_count.*status="200"/ && /sentiment/ { all = $2 }
    END { print (within >= 0.99 * all) ? "yes" : "no" }')
kill -TERM "$server"
wait "$server" || fail "the server that was asked too much did not end well"
echo "  capacity $capacity/s; offered $all/s: answered $goodput/s, refused $refused/s, broken $broken"
echo "  99 % of the answered within 2.5 s: $within; resident $before MB before and $after MB after"
[[ $within == yes ]] || fail "the answered had to wait too long"
((broken == 0)) || fail "$broken requests were broken"
((after * 10 <= before * 11)) || fail "memory grew from $before to $after MB"
((goodput * 10 >= capacity * 8)) || fail "less than 80 % of the capacity was answered"

echo "stopped and started behind HAProxy, one of two at a time"
cat >"$room/haproxy.cfg" <<'CFG'
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    option redispatch
frontend all
    bind 127.0.0.1:18710
    default_backend both
backend both
    balance leastconn
    option httpchk GET /readyz
    default-server check inter 100ms fall 1 rise 1
    server a 127.0.0.1:18711
    server b 127.0.0.1:18712
CFG
serve 18711 --lame-duck 1s
first=$server
serve 18712 --lame-duck 1s
second=$server
haproxy -f "$room/haproxy.cfg" -db 2>"$room/haproxy.log" &
started+=($!)
sleep 1
ask 18710 64 14 0 >"$room/asked" &
asking=$!
for turn in 1 2; do
    sleep 1
    kill -TERM "$first"
    wait "$first" || fail "a server ended with $?"
    serve 18711 --lame-duck 1s
    first=$server
    sleep 1
    kill -TERM "$second"
    wait "$second" || fail "a server ended with $?"
    serve 18712 --lame-duck 1s
    second=$server
done
wait "$asking"
read -r all refused broken <"$room/asked"
echo "  $all requests/s over four stops and starts: refused $refused/s, broken $broken"
((refused == 0 && broken == 0)) || fail "requests were lost"
kill -TERM "$first" "$second"
wait "$first" "$second" || fail "a server did not end well"
