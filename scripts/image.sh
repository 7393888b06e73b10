#!/usr/bin/env bash
# Builds the container image, starts it, and waits until it is ready: image.sh [TAG]. Needs Docker or Podman.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tag=${1:-sentiment}
engine=${DOCKER:-}
if [[ -z $engine ]]; then
    engine=$(command -v docker || command -v podman || true)
fi
if [[ -z $engine ]] || ! "$engine" info >/dev/null 2>&1; then
    echo "SKIPPED: the image, for neither Docker nor Podman runs here"
    [[ ${CI:-} != true ]]
    exit
fi
"$engine" build -f docker/Dockerfile -t "$tag" .
container=$("$engine" run --detach --publish 127.0.0.1::8080 "$tag")
trap '"$engine" rm --force "$container" >/dev/null' EXIT
address=$("$engine" port "$container" 8080 | head -n 1)
for _ in {1..100}; do
    if curl --silent --fail --max-time 2 "http://$address/readyz"; then
        echo
        echo "$tag is ready"
        exit 0
    fi
    sleep 0.2
done
"$engine" logs "$container" >&2
echo "image: the container was not ready in 20 s" >&2
exit 1
