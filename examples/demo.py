"""What coir does, in a minute: demo.py BUILD/examples

hello; a web server under load; a batch job on one worker and on all of them.
Everything stays on the loopback interface, and ends with this script.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

PROGRAMS = pathlib.Path(sys.argv[1]).resolve()
SECONDS = 5
CONNECTIONS = (64, 512)
DIRECTORY = "/usr/include"


def run(*command, **options):
    """A program's output; its failure ends the demo."""
    return subprocess.run([str(word) for word in command], check=True, text=True, timeout=60,
                          stdout=subprocess.PIPE, **options).stdout


def show_hello():
    for program in ("hello", "asyncio/hello_concurrently"):
        print(f"$ {program}")
        print(run(PROGRAMS / program))


def default_sigint():
    """Shells let background jobs ignore Ctrl-C; the server is stopped by it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Server:
    """httpd on a port that the kernel chooses."""

    def __enter__(self):
        self.process = subprocess.Popen([PROGRAMS / "httpd", "-p", "0", "-q"], text=True,
                                        stdout=subprocess.PIPE, preexec_fn=default_sigint)
        self.url = self.process.stdout.readline().rpartition(" ")[2].strip()
        if not self.url.startswith("http://127.0.0.1:"):
            self.__exit__()
            sys.exit("demo: httpd does not listen")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_ns(self):
        """What all its threads have run so far."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())


def drive(server, connections):
    """A row of the table: what wrk measured, and what it cost the server."""
    before = server.cpu_ns()
    said = run("wrk", "-t2", f"-c{connections}", f"-d{SECONDS}s", "--latency",
               server.url + "/plaintext")
    cpu = server.cpu_ns() - before
    requests = int(re.search(r"(\d+) requests in", said).group(1))
    per_second = float(re.search(r"Requests/sec:\s+(\S+)", said).group(1))
    latency = dict(re.findall(r"^\s+(\d+)%\s+(\S+)$", said, re.M))
    errors = re.findall(r"^\s*(?:Socket errors|Non-2xx).*$", said, re.M)
    print(f"{connections:11} {per_second:12,.0f} {latency['50']:>9} {latency['99']:>9} "
          f"{cpu / max(requests, 1) / 1000:19.2f} us", *errors, flush=True)
    return requests > 0 and not errors


def show_httpd():
    if not shutil.which("wrk") or not (PROGRAMS / "httpd").exists():
        print("httpd: skipped, wrk or http_parser is not there\n")
        return True
    print(f"$ httpd -p 0 -q    driven by wrk for {SECONDS} s, on the same CPUs")
    print("connections   requests/s       50%       99%  server CPU per request")
    with Server() as server:
        good = [drive(server, connections) for connections in CONNECTIONS]
    print()
    return all(good) and server.process.returncode == 0


def hash_files(workers):
    """Files per second, and the digest."""
    said = run(PROGRAMS / "hash_files", "-w", workers, DIRECTORY)
    return (float(re.search(r"([\d.]+) files/s", said).group(1)),
            re.search(r"digest (\w+)", said).group(1))


def show_hash_files():
    if not (PROGRAMS / "hash_files").exists():
        print("hash_files: skipped, xxhash is not there\n")
        return True
    workers = len(os.sched_getaffinity(0))
    print(f"$ hash_files {DIRECTORY}    with one worker and with {workers}")
    hash_files(workers)  # reads the files into the page cache
    one, digest_of_one = hash_files(1)
    all_of_them, digest_of_all = hash_files(workers)
    print(f"workers      files/s   speed-up\n{1:7} {one:12,.0f}")
    print(f"{workers:7} {all_of_them:12,.0f} {all_of_them / one:10.2f}")
    if digest_of_one != digest_of_all:
        print("demo: the digests differ")
    return digest_of_one == digest_of_all


def main():
    start = time.monotonic()
    show_hello()
    good = show_httpd()
    good = show_hash_files() and good
    print(f"\n{time.monotonic() - start:.0f} seconds")
    sys.exit(not good)


main()
