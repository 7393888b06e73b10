"""Times the server beside its two parts and beside Python servers, in one run: make bench-serve.

    python3 benches/serve.py OUT

OUT gets made-up reviews, bundles with random weights, results/serve.json and results/serve.svg. Parts, ours and the
parts again are taken in turn, and medians are quoted. OHA names oha, PEERS_ENV the Python servers' environment, PEERS those
to start; SECONDS is how long each measurement takes.
"""

import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = ROOT / "target" / "release" / "sentiment"
NETWORKS = {"naver": "course-naver", "imdb": "course-imdb-lstm"}
SECONDS = float(os.environ.get("SECONDS", "4"))
ROUNDS, CONNECTIONS = 3, 64
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def part(*arguments):
    return [os.environ.get("CARGO", "cargo"), "bench", "--quiet", "--locked", "--bench", "serve", "--", *map(str, arguments)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(url, body=None, timeout=5):
    headers = {"content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=timeout) as response:
        return response.read()


@contextlib.contextmanager
def running(command, url, body=None, limit_s=120, env=None):
    """A server that answers at url, ended with all its children afterwards; yields the process and the seconds it took."""
    log = tempfile.TemporaryFile()
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=log, stderr=log, start_new_session=True)
    try:
        while True:
            try:
                ask(url, body)
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.perf_counter() - started > limit_s:
                    log.seek(0)
                    raise RuntimeError(f"{command[0]} did not come up: {log.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.002)
        yield process, time.perf_counter() - started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ours(models, *flags):
    port = free_port()
    command = [str(BINARY), "serve", "--listen", f"127.0.0.1:{port}", "--models", str(models), *flags]
    return running(command, f"http://127.0.0.1:{port}/readyz"), f"http://127.0.0.1:{port}"


def wrk(url, bodies, connections=CONNECTIONS, seconds=SECONDS):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s", "-s",
               str(ROOT / "benches" / "serve.lua"), url + "/v1/sentiment", "--", str(bodies)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    found["per_s"] = (found["requests"] - found["refused"]) / found["seconds"]
    if found["refused"] or found["broken"]:
        print(f"    {found['refused']} refused, {found['broken']} broken off of {found['requests']}")
    return found


def awake(url, bodies, seconds=2):
    """Median microseconds of one review after another for a client that asks its socket over and over: one that sleeps until its answer
    comes is woken late where its core has gone to sleep meanwhile, which on a virtual machine takes longer than the server does."""
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /v1/sentiment HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: "
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies.read_bytes().splitlines()]
    times, end = [], time.perf_counter() + seconds
    with socket.create_connection((host, int(port))) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.setblocking(False)
        while (start := time.perf_counter()) < end:
            s.sendall(requests[len(times) % len(requests)])
            answer = b""
            while not answer:
                if time.perf_counter() > start + 5:
                    sys.exit("no answer within 5 s")
                with contextlib.suppress(BlockingIOError):
                    answer = s.recv(1 << 16)
                    if not answer:
                        sys.exit("the server closed the connection")
            times.append(time.perf_counter() - start)
            if not answer.startswith(b"HTTP/1.1 200 "):
                sys.exit(f"refused: {answer[:100]}")
    return 1e6 * statistics.median(times)


def oha(url, bodies, rate, seconds=SECONDS):
    command = [os.environ["OHA"], "-q", str(max(1, round(rate))), "-z", f"{round(seconds)}s", "-c", str(CONNECTIONS), "--no-tui",
               "--output-format", "json", "--latency-correction", "-m", "POST", "-T", "application/json", "-Z", str(bodies),
               url + "/v1/sentiment"]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    percentiles = found["latencyPercentiles"]
    return {"asked_per_s": rate, "per_s": found["summary"]["requestsPerSec"], "p50_us": percentiles["p50"] * 1e6,
            "p99_us": percentiles["p99"] * 1e6, "success": found["summary"]["successRate"]}


def write_bodies(out, name, model):
    texts = (out / f"{model}.txt").read_text(encoding="utf-8").splitlines()
    single, bulk, lines = (out / f"{name}-{kind}.jsonl" for kind in ("single", "bulk", "lines"))
    dump = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    single.write_text("".join(dump({"text": t, "model": model}) for t in texts[:4000]), encoding="utf-8")
    chunks = [texts[at:at + 1000] for at in range(0, len(texts), 1000)]
    bulk.write_text("".join(dump({"texts": c, "model": model}) for c in chunks), encoding="utf-8")
    lines.write_text("".join(dump({"text": t}) for t in texts), encoding="utf-8")
    return single, bulk, lines, len(texts)


def stream(url, model, lines, count):
    """Texts a second through one NDJSON request: sent by one thread, read by this one."""
    host, port = url.removeprefix("http://").split(":")
    data = lines.read_bytes()
    repeats = max(1, round(60_000 / count)) if count > 10_000 else 1
    with socket.create_connection((host, int(port))) as s:
        s.settimeout(60)
        head = (f"POST /v1/sentiment?model={model} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-ndjson\r\n"
                f"content-length: {len(data) * repeats}\r\nconnection: close\r\n\r\n")
        start = time.perf_counter()
        sender = threading.Thread(target=lambda: s.sendall(head.encode() + data * repeats))
        sender.start()
        # What is counted may lie in two of the pieces that arrive.
        answers, wanted, end = 0, b'"raw_score"', b""
        while chunk := s.recv(1 << 20):
            answers += (end + chunk).count(wanted)
            end = (end + chunk)[1 - len(wanted):]
        seconds = time.perf_counter() - start
        sender.join()
    if answers != count * repeats:
        sys.exit(f"{answers} answers to {count * repeats} lines")
    return answers / seconds


def predict(out, models, model, texts):
    """Texts a second of the command line on a file, from its start to its end."""
    many = out / "many.txt"
    many.write_text((out / f"{model}.txt").read_text(encoding="utf-8") * 5, encoding="utf-8")
    command = [str(BINARY), "predict", "--model", str(models / model / "1"), "--input", str(many), "--output", str(out / "many.jsonl")]
    start = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    rate = 5 * texts / (time.perf_counter() - start)
    many.unlink()
    (out / "many.jsonl").unlink()
    return rate


def start_up():
    """Seconds from exec to ready and MiB then, with the models that come with the server."""
    times, resident = [], []
    for _ in range(5):
        server, _ = ours(ROOT / "models")
        with server as (process, seconds):
            times.append(seconds)
            resident.append(memory(process.pid))
    return {"ready_s": statistics.median(times), "resident_mib": statistics.median(resident)}


def memory(pid):
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmRSS"))


def median_of(rounds):
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


def measure_network(out, models, name):
    model = NETWORKS[name]
    single, bulk, lines, count = write_bodies(out, name, model)
    handlers, runtimes, singles, idles, bulks, streams, predicts = [], [], [], [], [], [], []
    server, url = ours(models, "--queue", "65536", "--deadline", "30s")
    port = free_port()
    handler = running(part("handler", f"127.0.0.1:{port}"), f"http://127.0.0.1:{port}/v1/sentiment", {"text": "x"})
    with handler, server as (process, _):
        wrk(url, single, seconds=1)
        for _ in range(ROUNDS):
            handlers.append(wrk(f"http://127.0.0.1:{port}", single))
            found = json.loads(subprocess.run(part("runtime", models / model / "1", out / f"{model}.txt", CPUS), cwd=ROOT, check=True,
                                              stdout=subprocess.PIPE, text=True).stdout)
            runtimes.append({"best": max(found["texts_per_s"].values()), "ours_best": max(found["ours_per_s"].values()),
                             "alone_us": found["alone_us"], **found["texts_per_s"]})
            singles.append(wrk(url, single))
            idles.append({"ours_us": wrk(url, single, 1, 2)["p50_us"], "handler_us": wrk(f"http://127.0.0.1:{port}", single, 1, 2)["p50_us"],
                          "awake_us": awake(url, single)})
            bulks.append(1000 * wrk(url, bulk, 4)["per_s"])
            streams.append(stream(url, model, lines, count))
            predicts.append(predict(out, models, model, count))
        resident = memory(process.pid)
        rate = statistics.median(s["per_s"] for s in singles)
        open_loop = oha(url, single, rate / 2, 2 * SECONDS) if os.environ.get("OHA") else None
    wire, runtime = statistics.median(h["per_s"] for h in handlers), median_of(runtimes)
    bound = 1 / (1 / wire + 1 / runtime["best"])
    result = {"model": model, "handler_per_s": wire, "runtime": runtime, "bound_per_s": bound, "single": median_of(singles),
              "single_of_bound": rate / bound, "idle": median_of(idles), "bulk_per_s": statistics.median(bulks),
              "stream_per_s": statistics.median(streams), "predict_per_s": statistics.median(predicts), "open_loop": open_loop,
              "resident_mib": resident, "cpus": CPUS}
    for key in ("bulk", "stream", "predict"):
        result[f"{key}_of_runtime"] = result[f"{key}_per_s"] / runtime["best"]
    return result


def peer_command(peer, port, workers, python):
    peers = ROOT / "benches" / "peers"
    if peer == "bentoml":
        return [str(python.with_name("bentoml")), "serve", "bentoml_server:Server", "--working-dir", str(peers), "--port", str(port)]
    return [str(python), str(peers / f"{peer}_server.py"), str(port), str(workers)]


def measure_peers(out, models):
    python = ROOT / os.environ.get("PEERS_ENV", "") / "bin" / "python"
    bodies, results = out / "naver-peers.jsonl", {}
    texts = (out / f"{NETWORKS['naver']}.txt").read_text(encoding="utf-8").splitlines()[:4000]
    bodies.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts), encoding="utf-8")
    for peer in os.environ.get("PEERS", "").split():
        for workers in sorted({1, CPUS}):
            port = free_port()
            url, env = f"http://127.0.0.1:{port}", {
                "PEER_BUNDLE": str(models / NETWORKS["naver"] / "1"), "PEER_WORKERS": str(workers), "PYTHONPATH": str(ROOT / "benches" / "peers"),
                "OMP_NUM_THREADS": "1", "BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0"}
            try:
                with running(peer_command(peer, port, workers, python), url + "/v1/sentiment", {"text": texts[0]}, env=env):
                    wrk(url, bodies, seconds=1)
                    results[f"{peer}, {workers} worker{'s' * (workers > 1)}"] = wrk(url, bodies)
            except (RuntimeError, subprocess.CalledProcessError) as error:
                print(f"{peer}: left out: {error}")
    return results


def show(results, peers, start):
    print(f"\n{'one review a request':34}{'per second':>12}{'p50':>10}{'p99':>10}")
    for name, r in results.items():
        s = r["single"]
        print(f"{name + ': ' + str(CONNECTIONS) + ' connections':34}{s['per_s']:12.0f}{s['p50_us'] / 1e3:8.2f}ms{s['p99_us'] / 1e3:8.2f}ms")
        print(f"{name + ': handler that computes nothing':34}{r['handler_per_s']:12.0f}")
        print(f"{name + ': runtime in process':34}{r['runtime']['best']:12.0f}   {r['runtime']['ours_best']:.0f} with our LSTM in it")
        print(f"{name + ': bound by the two':34}{r['bound_per_s']:12.0f}   ours is {r['single_of_bound']:.0%} of it")
        if r["open_loop"]:
            o = r["open_loop"]
            print(f"{name + ': open loop at half of that':34}{o['per_s']:12.0f}{o['p50_us'] / 1e3:8.2f}ms{o['p99_us'] / 1e3:8.2f}ms")
        over, awake_over = (r["idle"][key] - r["runtime"]["alone_us"] for key in ("ours_us", "awake_us"))
        print(f"{name + ': idle, one at a time':34}{'':12}{r['idle']['ours_us'] / 1e3:8.2f}ms   {over:.0f} us above encoding and the run, "
              f"{awake_over:.0f} for a client that stays awake")
        for key, words in (("bulk", "1,000 texts a request"), ("stream", "NDJSON, one request"), ("predict", "predict on a file")):
            print(f"{name + ': ' + words:34}{r[key + '_per_s']:12.0f}   {r[key + '_of_runtime']:.0%} of the runtime in process")
        print(f"{name + ': resident afterwards':34}{r['resident_mib']:9.0f} MiB")
    ours_per_s = results["naver"]["single"]["per_s"]
    for name, found in peers.items():
        print(f"{name:34}{found['per_s']:12.0f}{found['p50_us'] / 1e3:8.2f}ms{found['p99_us'] / 1e3:8.2f}ms   ours is {ours_per_s / found['per_s']:.1f} times it")
    print(f"{'both shipped models: ready after':34}{start['ready_s'] * 1e3:9.0f} ms   {start['resident_mib']:.0f} MiB resident")


def draw(results, peers):
    """Requests a second on the Naver network as bars."""
    bars = [("sentiment", results["naver"]["single"]["per_s"])] + [(name, p["per_s"]) for name, p in peers.items()]
    most, height = max(value for _, value in bars), 26
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{40 + height * len(bars)}" font-family="sans-serif" font-size="13">',
             '<text x="8" y="20">reviews a second, one a request, 64 connections, Naver network</text>']
    for at, (name, value) in enumerate(bars):
        y, width = 32 + at * height, max(1, 460 * value / most)
        lines.append(f'<text x="8" y="{y + 15}">{name}</text><rect x="180" y="{y}" width="{width:.1f}" height="18" '
                     f'fill="{"#2a6f97" if at == 0 else "#a9b4c2"}"/><text x="{186 + width:.1f}" y="{y + 15}">{value:,.0f}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main(out):
    out = Path(out).resolve()
    (out / "results").mkdir(parents=True, exist_ok=True)
    subprocess.run(part("prepare", out), cwd=ROOT, check=True)
    about = {"machine": platform.processor() or platform.machine(), "cpus": CPUS, "load_before": os.getloadavg()[0]}
    print(f"{CPUS} CPUs, load {about['load_before']:.2f} before")
    models = out / "models"
    results = {name: measure_network(out, models, name) for name in NETWORKS}
    start, peers = start_up(), measure_peers(out, models)
    show(results, peers, start)
    (out / "results" / "serve.json").write_text(json.dumps({**about, "networks": results, "peers": peers, "start": start}, indent=1) + "\n")
    (out / "results" / "serve.svg").write_text(draw(results, peers))


main(sys.argv[1])
