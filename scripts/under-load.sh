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
wrk.body = os.getenv("BODY")
if os.getenv("CLOSE") then wrk.headers["connection"] = "close" end
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

# told PORT PATTERN: the sum of the series that match.
told() {
    curl --silent "http://127.0.0.1:$1/metrics" | awk -v pattern="$2" '$0 ~ pattern { all += $2 } END { print all + 0 }'
}
requests='^http_server_request_duration_seconds_count.*route="/v1/sentiment",status='

# The CPU time that the server has had, in hundredths of a second.
used() {
    awk '{ print $14 + $15 }' "/proc/$server/stat"
}

# overload HOW WHAT BODY QUEUE: a server that is asked for ten times what it can do, by clients that
# - come-and-go: as many as each wait a fifth of a second between two requests, half of them on a new connection for each;
# - hasty: ask again at once where they are refused, on a thousand connections.
# What asks has the same cores, and offers what it can. It takes more of them the more it asks, and the server is not to blame for
# that: what counts is what is answered in a second of the server's CPU time, and, of those who can be made to wait, also of the machine's.
overload() {
    local how=$1 what=$2 port=18700
    export BODY=$3
    echo "ten times more $what than it can do, $how"
    serve "$port" --queue "$4"
    ask "$port" 64 2 0 >/dev/null
    local before after capacity texts=0 cpu=0
    # Before and after, for what a machine with other guests can do changes within a minute.
    measure() {
        local before
        before=$(told "$port" '^sentiment_predictions_total')
        cpu=$((cpu - $(used)))
        read -r capacity _ _ < <(ask "$port" 64 10 0)
        cpu=$((cpu + $(used)))
        texts=$((texts + $(told "$port" '^sentiment_predictions_total') - before))
    }
    measure
    local connections=1000 wait=0
    if [[ $how == come-and-go ]]; then
        connections=$((capacity * 10 / 5))
        ((connections >= 64)) || connections=64
        ((connections <= 8000)) || connections=8000
        wait=$((connections * 1000 / (capacity * 10)))
    fi
    offer() {
        if [[ $how == hasty ]]; then
            read -r _ _ broken < <(ask "$port" "$connections" "$1" 0)
            return
        fi
        CLOSE=1 ask "$port" $((connections / 2)) "$1" "$wait" >"$room/closing" &
        local closing=$! others
        read -r _ _ broken < <(ask "$port" $((connections / 2)) "$1" "$wait")
        wait "$closing"
        read -r _ _ others <"$room/closing"
        broken=$((broken + others))
    }
    # What so many connections need is there after a few rounds, in which they come and go; from then on nothing may be added.
    for _ in {1..4}; do offer 5; done
    before=$(resident "$server")
    local answered=0 refused=0 late=0
    answered=-$(told "$port" "${requests}\"200\"")
    refused=-$(told "$port" "${requests}\"503\"")
    late=-$(told "$port" "${requests}\"504\"")
    local good=-$(told "$port" '^sentiment_predictions_total') busy=-$(used)
    offer 10
    busy=$((busy + $(used)))
    answered=$((answered + $(told "$port" "${requests}\"200\"")))
    refused=$((refused + $(told "$port" "${requests}\"503\"")))
    late=$((late + $(told "$port" "${requests}\"504\"")))
    good=$((good + $(told "$port" '^sentiment_predictions_total')))
    after=$(resident "$server")
    measure
    kill -TERM "$server"
    wait "$server" || fail "the server that was asked too much did not end well"
    echo "  capacity $((texts / 20)) texts/s; under ten times as much $((good / 10)) texts/s:" \
        "$answered requests answered, $refused refused, $late too late, $broken broken"
    local share=$((100 * good * cpu / (texts * busy))) of_machine=$((200 * good / texts))
    echo "  $of_machine % of the capacity; $share % in a second of the server's CPU time, of which it had $((busy * 200 / cpu)) % of what it has alone"
    echo "  resident $before MB before and $after MB after"
    # Of what is let in 99 % is answered before the deadline; what is not says so.
    ((late * 100 <= answered + late)) || fail "$late of $((answered + late)) that were let in were not answered in time"
    ((refused * 10 > answered)) || fail "it was not too much: $refused refused and $answered answered"
    ((broken == 0)) || fail "$broken requests were broken"
    ((after * 10 <= before * 11)) || fail "memory grew from $before to $after MB"
    ((share >= 80)) || fail "less than 80 % of the capacity was answered"
    [[ $how != hasty ]] || ((of_machine >= 80)) || fail "less than 80 % of the machine's capacity was answered"
}
# Connections of the round before may be there still, for as long as a refused client is kept waiting.
ulimit -n 12000 2>/dev/null || fail "no 12,000 files can be open: ulimit -n"
text='배송이 빨라요 그런데 포장이 조금 아쉬워요 그래도 또 살 것 같아요'
single="{\"text\": \"$text\"}"
list="{\"texts\": [$(printf "\"$text\",%.0s" {1..99})\"$text\"]}"
overload hasty "single texts" "$single" 256
overload come-and-go "single texts" "$single" 256
overload come-and-go "lists of 100 texts" "$list" 1024
export BODY=$single

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
