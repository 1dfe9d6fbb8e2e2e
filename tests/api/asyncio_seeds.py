#!/usr/bin/env python3
"""Each program of examples/asyncio prints what its Python twin prints.

    asyncio_seeds.py BUILD_EXAMPLES_DIR

BUILD_EXAMPLES_DIR holds the built programs, in itself or in asyncio/.  The twins
are run by the Python that runs this script.  With one worker the lines must be
the same and in the same order; with more, the same in any order, and sleeps
that overlap must not add up.  COIR_DRIVER and its like are passed on.
"""
import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import time
import tty

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "asyncio"
HANG = 20  # seconds after which a program has hung
ATTEMPTS = 20

# Seconds: the longest chain of sleeps that the program waits for, and the sum
# of all its sleeps.  Only where the sum is far from the longest.
OVERLAPPING = {
    "hello_concurrently": (0.2, 0.3),
    "task_while_main_sleeps": (0.2, 0.3),
    "task_outlives_main": (0.05, 1.05),
    "two_tasks_not_awaited": (0, 0.2 + 0.625),
    "value_of_a_task": (0.2, 0.2 + 0.625),
    "task_group": (0.2, 0.3),
    "gather": (0.2, 0.3),
}

# Runs a twin and adds a line: how long it took, Python's own start left out.
RUN_TWIN = """
import asyncio, runpy, sys, time
start = time.monotonic()
runpy.run_path(sys.argv[1], run_name="__main__")
print(time.monotonic() - start)
"""


class Run:
    """One run of a program: status, lines and seconds; hung if it did not end."""

    def __init__(self, command, env=None):
        # A terminal, so that the lines of a program that hangs are not kept in
        # its stdio buffer.  stderr goes there too: the programs are silent.
        screen, terminal = pty.openpty()
        tty.setraw(terminal)
        start = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal,
            env={**os.environ, **(env or {})})
        os.close(terminal)
        output, self.hung = read_until(screen, start + HANG)
        os.close(screen)
        if self.hung:
            process.kill()
        self.status = process.wait()
        self.seconds = time.monotonic() - start
        self.lines = [mask(line) for line in output.decode(errors="replace").splitlines()]


def read_until(screen, deadline):
    """What is written to the terminal until its last writer ends."""
    output = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([screen], [], [], left)[0]:
            break
        try:
            output += os.read(screen, 65536)
        except OSError:  # EIO: nobody is left to write
            return output, False
    return output, True


def mask(line):
    return re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", line)


def run_twin(name):
    twin = Run([sys.executable, "-c", RUN_TWIN, str(SOURCES / f"{name}.py")])
    if twin.status == 0:
        twin.seconds = float(twin.lines.pop())
    return twin


class Report:
    passed = failed = 0

    def check(self, claim, problem):
        if problem:
            self.failed += 1
            print(f"FAIL {claim}: {problem}", flush=True)
        else:
            self.passed += 1
            print(f"ok {claim}", flush=True)


def difference(ran, twin, ordered):
    """What is wrong with a run, or None."""
    if ran.hung:
        return f"did not end in {HANG} s, after printing {ran.lines}"
    if ran.status != twin.status:
        return f"exit status {ran.status}, of the twin {twin.status}; printed {ran.lines}"
    same = ran.lines == twin.lines if ordered else sorted(ran.lines) == sorted(twin.lines)
    return None if same else f"printed {ran.lines}, the twin {twin.lines}"


def check_overlaps(report, name, program, hello):
    """The longest sleep counts, not the sum.

    A program whose sleeps add up can never end before their sum, so one run that
    does is proof.  One that ends later may have overlapped on a slow machine: that
    fails only if a program that does not sleep was fast, before and after it.
    """
    longest, total = OVERLAPPING[name]
    late_on_a_fast_machine = None

    for attempt in range(ATTEMPTS):
        workers = (1, 2, 8)[attempt % 3]
        env = {"COIR_WORKERS": str(workers)}
        before = Run([hello], env).seconds
        ran = Run([program], env)
        after = Run([hello], env).seconds
        if ran.seconds < total:
            report.check(f"{name} overlaps", None)
            return
        if max(before, after) < (total - longest) / 4:
            late_on_a_fast_machine = f"{ran.seconds:.3f} s with {workers} workers"
    if late_on_a_fast_machine:
        report.check(f"{name} overlaps", f"the sleeps add up: {late_on_a_fast_machine}")
    else:
        print(f"not judged: {name} overlaps: the machine is too slow", flush=True)


def check_program(report, name, program):
    twin = run_twin(name)
    report.check(f"{name} twin", None if twin.status == 0 else f"printed {twin.lines}")
    for workers, debug in ((1, None), (1, "noinline"), (2, None), (8, None)):
        env = {"COIR_WORKERS": str(workers)}
        if debug:
            env["COIR_DEBUG"] = debug
        claim = f"{name} workers={workers}" + (f" {debug}" if debug else "")
        ran = Run([program], env)
        report.check(claim, difference(ran, twin, ordered=workers == 1))


def needs_newer_python(name):
    text = (SOURCES / f"{name}.py").read_text()
    return re.search(r"asyncio\.(Runner|TaskGroup)", text) and sys.version_info < (3, 11)


def find_program(directory, name):
    for program in (directory / name, directory / "asyncio" / name):
        if program.is_file():
            return program
    return None


def check_list(report, names):
    """programs.txt names every pair, once."""
    for suffix in (".c", ".py"):
        found = sorted(path.stem for path in SOURCES.glob(f"*{suffix}"))
        odd = set(found) ^ set(names)
        report.check(f"programs.txt names every *{suffix}", f"not in both: {odd}" if odd else None)
    twice = {name for name in names if names.count(name) > 1}
    report.check("programs.txt names nothing twice", str(twice) if twice else None)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[1])
    names = (SOURCES / "programs.txt").read_text().split()
    report = Report()

    check_list(report, names)
    for name in names:
        program = find_program(directory, name)
        if not program:
            report.check(name, f"not built in {directory}")
            continue
        if needs_newer_python(name):
            print(f"skip {name}: its twin needs Python 3.11")
            continue
        check_program(report, name, program)
        hello = find_program(directory, "hello_world")
        if hello and name in OVERLAPPING:
            check_overlaps(report, name, program, hello)

    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
