#!/usr/bin/env python3
"""Run coir's benchmarks beside their floors and peers, and compare them.

    bench/run.py BUILD_DIR [--quick] [--json FILE] [BENCH ...]

Everything that answers the same question is run in turn, again and again, so
that a slow minute of the machine falls on all alike.  Every answer is checked;
a wrong one fails the run.  No time ever does.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT_S = 300
NOISY = 0.12  # CPUs taken by other programs, from which on a run is suspect

# The first of these that was measured in the same run is what the rest of a
# cell is compared with.
BASELINES = {
    "fib": ["serial"],
    "spawn": ["openmp", "tbb", "go"],
    "group": ["go"],
    "timeout": ["clock"],
    "timeout_call": ["clock"],
    "timeout_wait": ["no_scope"],
    "timers": ["no_timers"],
    **{f"wake_{what}": ["futex"]
       for what in ("asleep", "awake", "pinned_asleep", "pinned_awake")},
    "skynet": ["serial"],
    "skynet_group": ["serial"],
    "yield2": ["switch", "boost_fiber"],
    "yield1000": ["switch", "boost_fiber"],
    **{what: ["go"]
       for what in ("ping_pong", "mpmc1", "mpmc2", "mpmc8", "pipeline",
                    "mutex", "mutex_held", "mutex_victim", "mutex_victim_due")},
    "sleepers": ["go"],
    **{f"{what}_{hog}": [] for what in ("timer", "message", "task")
       for hog in ("alone", "computing", "blocked")},
    "echo": ["uring", "epoll"],
}


# Building

PEER_PROGRAMS = {  # name: (what it needs, how to build it)
    "openmp": (
        "omp.h",
        "{cc} -std=gnu17 -O3 -fopenmp {here}/peers/openmp.c {here}/harness.c -o {out}",
    ),
    "tbb": (
        "tbb/task_group.h",
        "{cxx} -std=c++20 -O3 {here}/peers/tbb.cpp {harness} -ltbb -o {out}",
    ),
    "boost_fiber": (
        "boost/fiber/fiber.hpp",
        "{cxx} -std=c++20 -O3 {here}/peers/boost_fiber.cpp {harness}"
        " -lboost_fiber -lboost_context -o {out}",
    ),
    "switch": (
        "",
        "{cc} -std=gnu17 -O3 {here}/peers/yield_ring.c {here}/harness.c -o {out}",
    ),
    "futex": (
        "",
        "{cc} -std=gnu17 -O3 {here}/peers/futex.c {here}/harness.c -pthread -o {out}",
    ),
    "go": ("go", "go build -o {out} {here}/peers/go/main.go"),
    "tokio": (
        "",
        "cargo build --quiet --offline --release --manifest-path {crate}/Cargo.toml"
        " --config source.crates-io.replace-with=\"debian\""
        " --config source.debian.directory=\"{crates}\"",
    ),
}

CRATES = pathlib.Path("/usr/share/cargo/registry")  # where Debian's packages put them


def copy_crate(name, out_dir):
    """cargo writes beside what it builds: give it a copy.  It keeps what has not changed."""
    crate = out_dir / f"{name}_crate"
    shutil.copytree(HERE / "peers" / name, crate, dirs_exist_ok=True)
    (crate / "Cargo.lock").unlink(missing_ok=True)
    return crate


def find_missing(name, need):
    """Why a peer cannot be built here, or None."""
    if name == "switch" and platform.machine() != "x86_64":
        return "is written in x86-64 assembly"
    if name == "go":
        return None if shutil.which("go") else "needs go"
    if name == "tokio":
        if not shutil.which("cargo"):
            return "needs cargo"
        return None if any(CRATES.glob("tokio-[0-9]*")) else f"needs tokio in {CRATES}"
    compiler = "c++" if name in ("tbb", "boost_fiber") else "gcc"
    if not shutil.which(compiler):
        return f"needs {compiler}"
    if not need:
        return None
    probe = [compiler, "-E", "-x", "c++" if compiler == "c++" else "c", "-"]
    if name == "openmp":
        probe.append("-fopenmp")
    found = subprocess.run(probe, input=f"#include <{need}>\n", text=True, capture_output=True)
    return None if found.returncode == 0 else f"needs {need}"


def build_peers(build_dir, names):
    """Build the peers into build_dir/bench/peers; return {name: path}."""
    out_dir = build_dir / "bench" / "peers"
    out_dir.mkdir(parents=True, exist_ok=True)
    harness = out_dir / "harness.o"
    subprocess.run(
        ["gcc", "-std=gnu17", "-O3", "-c", HERE / "harness.c", "-o", harness], check=True
    )
    programs = {}
    for name in names:
        need, recipe = PEER_PROGRAMS[name]
        missing = find_missing(name, need)
        if missing:
            print(f"peer {name} is skipped: it {missing}")
            continue
        out, crate = out_dir / name, None
        if "{crate}" in recipe:
            crate = copy_crate(name, out_dir)
            out = crate / "target" / "release" / f"{name}_peer"
        words = recipe.format(
            cc="gcc", cxx="c++", here=HERE, harness=harness, out=out, crate=crate, crates=CRATES
        )
        subprocess.run(words.split(), check=True)
        programs[name] = out
    return programs


# What to run


class Program:
    """Prints its own lines: one command for each number of workers."""

    def __init__(self, peer, program, arguments, size, workers):
        self.peer = peer
        self.program = program
        self.arguments = arguments
        self.size = size
        self.workers = workers

    def run(self, workers):
        command = [self.program, *self.arguments, "-w", workers, "-n", self.size]
        return run_and_parse(command)


class EchoServer:
    """A server, measured from outside by echo_load.

    One worker has CPU 0 to itself and the client CPU 1; with more workers
    nothing is pinned.
    """

    workers = (1, 2)

    def __init__(self, peer, program, arguments, client, connections, seconds):
        self.peer = peer
        self.program = program
        self.arguments = arguments  # a function of workers and port
        self.client = client
        self.connections = connections
        self.seconds = seconds

    def run(self, workers):
        port = free_port()
        pin = (lambda cpu: ["taskset", "-c", str(cpu)]) if workers == 1 else (lambda cpu: [])
        environment = dict(os.environ, COIR_WORKERS=str(workers))
        command = pin(0) + [self.program, *self.arguments(workers, port)]
        server = subprocess.Popen(strings(command), env=environment)
        try:
            client = [
                self.client, "-p", port, "-s", server.pid, "-l", self.peer, "-w", workers,
                "-c", self.connections, "-t", self.seconds,
            ]  # fmt: skip
            return run_and_parse(pin(1) + client)
        finally:
            stop(server)


def stop(server):
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def strings(words):
    return [str(word) for word in words]


class Failure(Exception):
    """A program that crashed, hung, or gave a wrong answer."""


def run_and_parse(command):
    """The results a program prints, one JSON object per line."""
    command = strings(command)
    try:
        done = subprocess.run(command, text=True, capture_output=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(command)}: no end after {TIMEOUT_S} s") from None
    results = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [result for result in results if not result["ok"]]
    if done.returncode != 0 or wrong or not results:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise Failure(f"{' '.join(command)}: exit {done.returncode}: {said}")
    return results


def make_benchmarks(build_dir, peers, quick):
    """{name of a benchmark: its contenders}, coir's first."""

    def coir(name, size, workers=(1, 2)):
        return Program("coir", build_dir / "bench" / name, [], size, workers)

    def peer(name, bench, size, workers=(1, 2)):
        if name not in peers:
            return []
        return [Program(name, peers[name], [bench], size, workers)]

    million = 100_000 if quick else 1_000_000
    return {
        "fib": [coir("fib", 32 if quick else 35)]
        + peer("openmp", "fib", 27 if quick else 30)
        + peer("tbb", "fib", 29 if quick else 32)
        + peer("go", "fib", 25 if quick else 28),
        "spawn": [coir("spawn", 1_000_000)]
        + peer("openmp", "spawn", 1_000_000)
        + peer("tbb", "spawn", 1_000_000)
        + peer("go", "spawn", million),
        "skynet": [coir("skynet", 1_000_000)]
        + peer("openmp", "skynet", million)
        + peer("tbb", "skynet", 1_000_000)
        + peer("go", "skynet", million),
        "yield": [coir("yield", 4_000_000, workers=(1,))]
        + peer("switch", "yield", 4_000_000, workers=(1,))
        + peer("boost_fiber", "yield", 2_000_000, workers=(1,))
        + peer("go", "yield", 2_000_000, workers=(1,)),
        "group": [coir("group", 1_000_000)] + peer("go", "group", million),
        "timeout": [coir("timeout", 2_000_000, workers=(1,))]
        + peer("go", "timeout", 500_000, workers=(1,)),
        "timers": [coir("timers", 100_000)] + peer("go", "timers", 100_000),
        "wake": [coir("wake", 300 if quick else 1000, workers=(2,))]
        + peer("futex", "wake", 300 if quick else 1000, workers=(2,))
        + peer("go", "wake", 300 if quick else 1000, workers=(2,)),
        "queue": [coir("queue", million)]
        + peer("boost_fiber", "queue", million)
        + peer("tokio", "queue", million)
        + peer("go", "queue", million),
        "mutex": [coir("mutex", 4 * million)]
        + peer("boost_fiber", "mutex", million)
        + peer("tokio", "mutex", million)
        + peer("go", "mutex", 4 * million),
        "sleepers": [coir("sleepers", million)] + peer("go", "sleepers", million),
        "hog": [coir("hog", 1000, workers=(2,))],
        "echo": make_echo(build_dir, peers, quick),
    }


def make_echo(build_dir, peers, quick):
    bench = build_dir / "bench"
    servers = {
        "coir": (build_dir / "examples" / "echo_server", lambda _, port: ["127.0.0.1", port]),
        "uring": (bench / "peer_echo_uring", lambda workers, port: ["-w", workers, "-n", port]),
        "epoll": (bench / "peer_echo_epoll", lambda workers, port: ["-w", workers, "-n", port]),
    }
    if "go" in peers:
        servers["go"] = peers["go"], lambda workers, port: ["echo", "-w", workers, "-n", port]
    return [
        EchoServer(peer, *command, bench / "echo_load", connections, 1 if quick else 2)
        for connections in (50, 500)
        for peer, command in servers.items()
    ]


# Measuring


def busy_seconds():
    """Time that all CPUs have spent on anything, also on other guests."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def own_seconds():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


CELL_FIELDS = ("bench", "peer", "workers", "unit", "connections", "ok")


class Cell:
    """All values of one contender at one question."""

    def __init__(self, first):
        self.bench = first["bench"]
        self.peer = first["peer"]
        self.workers = first["workers"]
        self.unit = first["unit"]
        self.connections = first.get("connections")
        self.runs = []

    def values(self):
        return [run["value"] for run in self.runs]

    def median(self):
        return statistics.median(self.values())

    def noisy(self):
        return sum(run["other_cpus"] > NOISY for run in self.runs)


def cell_key(result):
    names = ("bench", "connections", "workers", "peer")
    return tuple(result.get(name) for name in names)


def measure(contender, workers, cells):
    """Run a contender once and file what it printed."""
    start, busy, own = time.monotonic(), busy_seconds(), own_seconds()
    results = contender.run(workers)
    elapsed = time.monotonic() - start
    others = (busy_seconds() - busy - (own_seconds() - own)) / elapsed
    for result in results:
        result["other_cpus"] = round(max(others, 0), 3)
        cell = cells.setdefault(cell_key(result), Cell(result))
        cell.runs.append({k: v for k, v in result.items() if k not in CELL_FIELDS})


def measure_all(benchmarks, names, rounds, workers_wanted, failures):
    cells = {}
    for name in names:
        for number in range(rounds):
            show_progress(f"{name}: round {number + 1} of {rounds}")
            for workers in workers_wanted:
                for contender in benchmarks[name]:
                    if workers not in contender.workers:
                        continue
                    try:
                        measure(contender, workers, cells)
                    except Failure as failure:
                        failures.append(str(failure))
                        show_progress("")
                        print(f"FAILED: {failure}", file=sys.stderr)
    show_progress("")
    return cells


def show_progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# Reporting


def find_baseline(cell, cells):
    """What the cell is to be compared with.  Serial code has one worker only."""
    for peer in BASELINES[cell.bench]:
        for workers in (cell.workers, 1):
            key = (cell.bench, cell.connections, workers, peer)
            if key in cells:
                return cells[key]
    return None


def ratio_to(cell, baseline):
    return cell.median() / baseline.median() if baseline else None


EXTRAS_SHOWN = {
    "requests_per_s": "req/s",
    "p99_us": "p99 us",
    "worst_us": "worst us",
    "held": "held",
    "bytes_per_task": "B/task",
    "first_pass": "first pass",
    "after_func": "AfterFunc",
    "call_us": "call us",
}


def describe_extras(cell):
    parts = []
    for name, label in EXTRAS_SHOWN.items():
        values = [run[name] for run in cell.runs if name in run]
        if values:
            parts.append(f"{label} {statistics.median(values):.4g}")
    if cell.noisy():
        parts.append(f"{cell.noisy()} of {len(cell.runs)} runs disturbed")
    return ", ".join(parts)


def sort_key(cell):
    return (
        list(BASELINES).index(cell.bench), cell.connections or 0, cell.workers, cell.peer != "coir",
    )  # fmt: skip


def print_table(cells):
    heading = ("bench", "W", "peer", "median", "min", "max", "unit", "ratio", "")
    rows = [heading]
    for cell in sorted(cells.values(), key=sort_key):
        baseline = find_baseline(cell, cells)
        ratio = ratio_to(cell, baseline)
        name = cell.bench + (f" c{cell.connections:.0f}" if cell.connections else "")
        rows.append((
            name, str(cell.workers), cell.peer, f"{cell.median():.4g}",
            f"{min(cell.values()):.4g}", f"{max(cell.values()):.4g}", cell.unit,
            f"{ratio:.2f} x {baseline.peer}" if ratio else "-", describe_extras(cell),
        ))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(heading))]
    for row in rows:
        line = "  ".join(
            text.rjust(width) if 3 <= i <= 5 else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths))
        )
        print(line.rstrip())


def first_line(*command):
    """The first line a program prints, or None where it is not installed."""
    try:
        done = subprocess.run(command, text=True, capture_output=True, cwd=HERE)
    except FileNotFoundError:
        return None
    return done.stdout.split("\n", 1)[0] if done.returncode == 0 else None


def cpu_model():
    match = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return match.group(1) if match else platform.machine()


def build_options(build_dir):
    """How meson was told to build coir."""
    path = build_dir / "meson-info" / "intro-buildoptions.json"
    if not path.exists():
        return None
    wanted = ("buildtype", "optimization", "debug", "b_ndebug", "b_lto", "c_args", "b_sanitize")
    return {o["name"]: o["value"] for o in json.loads(path.read_text()) if o["name"] in wanted}


def priority():
    """What the kernel was told of who goes first, where others use the same CPUs."""
    autogroup = pathlib.Path("/proc/self/autogroup")
    return {
        "policy": os.sched_getscheduler(0),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "autogroup": autogroup.read_text().split()[-1] if autogroup.exists() else None,
    }


def provenance(build_dir):
    return {
        "commit": first_line("git", "rev-parse", "HEAD"),
        "changed_since": bool(first_line("git", "status", "--porcelain")),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpu": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "priority": priority(),
        "build": build_options(build_dir),
        "compilers": {
            name: first_line(*command)
            for name, command in {
                "gcc": ("gcc", "--version"),
                "clang": ("clang", "--version"),
                "go": ("go", "version"),
                "rustc": ("rustc", "--version"),
            }.items()
        },
    }


def as_json(cells, rounds, build_dir):
    results = []
    for cell in sorted(cells.values(), key=sort_key):
        baseline = find_baseline(cell, cells)
        results.append({
            "bench": cell.bench,
            "connections": cell.connections,
            "workers": cell.workers,
            "peer": cell.peer,
            "unit": cell.unit,
            "median": cell.median(),
            "min": min(cell.values()),
            "max": max(cell.values()),
            "baseline": baseline.peer if baseline else None,
            "ratio": ratio_to(cell, baseline),
            "runs": cell.runs,
        })  # fmt: skip
    return {"provenance": provenance(build_dir), "rounds": rounds, "results": results}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("build_dir", type=pathlib.Path, help="where meson has built coir")
    parser.add_argument("benches", nargs="*", metavar="BENCH", help="default: all")
    parser.add_argument("--quick", action="store_true", help="smaller, three rounds")
    parser.add_argument("--rounds", type=int, help="default: 5, or 3 if quick")
    parser.add_argument("--workers", default="1,2", help="numbers of workers (1,2)")
    parser.add_argument("--no-peers", action="store_true", help="coir and its floors only")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all runs")
    return parser.parse_intermixed_args()


def usable_workers(text):
    cpus = len(os.sched_getaffinity(0))
    wanted = [int(word) for word in text.split(",")]
    for workers in wanted:
        if workers > cpus:
            print(f"{workers} workers are skipped: there are {cpus} CPUs")
    return [workers for workers in wanted if workers <= cpus]


def main():
    arguments = parse_arguments()
    build_dir = arguments.build_dir.resolve()
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    wanted_peers = ["switch", "futex"] if arguments.no_peers else list(PEER_PROGRAMS)
    peers = build_peers(build_dir, wanted_peers)
    benchmarks = make_benchmarks(build_dir, peers, arguments.quick)

    unknown = set(arguments.benches) - set(benchmarks)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(benchmarks)}")
    names = arguments.benches or list(benchmarks)
    unbuilt = {c.program for name in names for c in benchmarks[name] if not c.program.exists()}
    if unbuilt:
        sys.exit(f"not built: {', '.join(strings(sorted(unbuilt)))}")
    for variable in [name for name in os.environ if name.startswith("COIR_")]:
        del os.environ[variable]

    failures = []
    workers = usable_workers(arguments.workers)
    cells = measure_all(benchmarks, names, rounds, workers, failures)
    print_table(cells)
    if arguments.json:
        report = as_json(cells, rounds, build_dir)
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    if failures:
        sys.exit(f"{len(failures)} runs failed")


if __name__ == "__main__":
    main()
