"""What the tests that put real clients against a real server have in common.

A test script makes a Suite, starts a Server for each of its rounds, and hands
functions to Suite.check().  Nothing here waits without a limit: every socket
has a timeout, and a watchdog ends the script after COIR_TEST_TIMEOUT seconds
(60 by default) with a description of what hangs.
"""

import ctypes
import errno
import faulthandler
import os
import random
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE = 60.0  # seconds without any progress before something counts as hanging


class Failure(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Failure(message)


def expect_bytes(got, wanted, what):
    if bytes(got) == bytes(wanted):
        return
    at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b),
              min(len(got), len(wanted)))
    raise Failure(f"{what}: {len(got)} bytes for {len(wanted)}, first difference at {at}: "
                  f"{bytes(got[at:at + 16])!r} for {bytes(wanted[at:at + 16])!r}")


SYS_IO_URING_SETUP = 425

CURES = {
    errno.EPERM: "a container's seccomp profile or the sysctl kernel.io_uring_disabled forbids it",
    errno.ENOSYS: "the kernel was built without it, or a seccomp profile hides it",
}


def refusal():
    """The one line that a server writes before all others where io_uring is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(ctypes.c_long(SYS_IO_URING_SETUP), ctypes.c_uint(1), None)
    error = ctypes.get_errno()
    if os.environ.get("COIR_DRIVER") or error not in CURES:
        return ""
    return (f"coir: the kernel refuses io_uring ({errno.errorcode[error]}): {CURES[error]}; "
            "going on with epoll\n")


class Suite:
    """Runs checks, one line each, and counts them."""

    def __init__(self):
        if len(sys.argv) < 2:
            sys.exit(f"usage: {sys.argv[0]} DIRECTORY_OF_THE_EXAMPLES [seed]")
        self.directory = sys.argv[1]
        self.seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
        self.passed = self.failed = self.skipped = 0
        self.current = "nothing"
        self.began = time.monotonic()
        print(f"seed {self.seed}", flush=True)
        limit = float(os.environ.get("COIR_TEST_TIMEOUT", "60"))
        self.watchdog = threading.Timer(limit, self.report_hang, [limit])
        self.watchdog.daemon = True
        self.watchdog.start()

    def program(self, name):
        return os.path.join(self.directory, name)

    def generator(self, name):
        return random.Random(f"{self.seed} {name}")

    def check(self, name, function, *arguments):
        """Call function(*arguments, random generator); the generator depends on the seed.
        Returns what the function returns, None if it failed."""
        self.current = name
        result = None
        try:
            result = function(*arguments, self.generator(name))
        except (Failure, OSError, subprocess.SubprocessError) as error:
            self.failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            if isinstance(error, TimeoutError):
                Server.describe_all()
        else:
            self.passed += 1
            print(f"ok   {name}", flush=True)
        return result

    def skip(self, name, reason):
        self.skipped += 1
        print(f"skip {name}: {reason}", flush=True)

    def finish(self):
        self.watchdog.cancel()
        Server.kill_all()
        print(f"{time.monotonic() - self.began:.1f} s")
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        print(f"{self.passed} passed, {self.failed} failed{skipped}", flush=True)
        sys.exit(1 if self.failed else 0)

    def report_hang(self, limit):
        print(f"FAIL {self.current}: still going on after {limit:.0f} s", flush=True)
        Server.describe_all()
        faulthandler.dump_traceback(all_threads=True, file=sys.stdout)
        print(f"{self.passed} passed, {self.failed + 1} failed", flush=True)
        for server in Server.alive:
            server.process.kill()
        os._exit(1)


class Server:
    """A program under test that listens on a port of its own choice."""

    alive = []

    def __init__(self, argv, workers, sigint=signal.SIG_DFL):
        debug = ",".join(filter(None, [os.environ.get("COIR_DEBUG"), "report"]))
        environment = dict(os.environ, COIR_WORKERS=str(workers), COIR_DEBUG=debug)
        self.argv = argv
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err,
            start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, sigint))
        self.pid = self.process.pid
        Server.alive.append(self)
        self.port = None
        self.baseline = None

    @staticmethod
    def kill_all():
        for server in list(Server.alive):
            server.kill()

    @staticmethod
    def describe_all():
        for server in Server.alive:
            print(server.describe(), flush=True)

    def kill(self):
        self.process.kill()
        self.process.wait()
        if self in Server.alive:
            Server.alive.remove(self)

    def text(self, file):
        return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait_until_listening(self):
        """Returns itself.  The descriptors open now are those it should have when idle."""
        def listens():
            expect(self.process.poll() is None,
                   f"ended with {self.process.returncode} instead of listening: "
                   f"{self.text(self.err)}")
            self.port = self.listening_port()
            return self.port is not None
        wait_for(listens, lambda: f"does not listen\n{self.describe()}")
        self.baseline = self.descriptors()
        return self

    def listening_port(self):
        inodes = {link[8:-1] for link in self.descriptors() if link.startswith("socket:[")}
        for table in "tcp", "tcp6":
            with open(f"/proc/{self.pid}/net/{table}") as lines:
                for line in list(lines)[1:]:
                    fields = line.split()
                    if fields[3] == "0A" and fields[9] in inodes:
                        return int(fields[1].rsplit(":", 1)[1], 16)
        return None

    def descriptors(self):
        links = []
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                links.append(os.readlink(f"/proc/{self.pid}/fd/{name}"))
            except FileNotFoundError:
                pass
        return sorted(links)

    def wait_until_idle(self):
        """Until no descriptor is open that was not when it began to listen."""
        wait_for(lambda: len(self.descriptors()) == len(self.baseline),
                 lambda: f"{len(self.descriptors())} descriptors open, {len(self.baseline)} "
                         f"when it began to listen: {self.descriptors()}")

    def limit_descriptors(self, spare):
        limit = len(self.descriptors()) + spare
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (limit, limit))

    def send_signal(self, number):
        self.process.send_signal(number)

    def expect_exit(self, status, err=""):
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            state = self.describe()
            self.kill()
            raise Failure(f"did not end\n{state}") from None
        Server.alive.remove(self)
        got = self.text(self.err)
        expect(self.process.returncode == status,
               f"exit status {self.process.returncode}, not {status}: {got}")
        expect(got.startswith(refusal()), f"stderr: {got!r}, and not first: {refusal()!r}")
        got = got.removeprefix(refusal())
        expect(err == "" and got == "" or err != "" and err in got, f"stderr: {got!r}")

    def stop(self):
        """Ctrl-C, which is the normal end of a server."""
        self.send_signal(signal.SIGINT)
        self.expect_exit(0)

    def describe(self):
        """Where each thread of the process is, for the report of a hang."""
        lines = [f"  {' '.join(self.argv)} (pid {self.pid})"]
        for thread in sorted(os.listdir(f"/proc/{self.pid}/task"), key=int):
            facts = []
            for name in "comm", "wchan", "syscall":
                try:
                    with open(f"/proc/{self.pid}/task/{thread}/{name}") as file:
                        facts.append(file.read().strip())
                except OSError:
                    facts.append("?")
            lines.append(f"    thread {thread}: {', '.join(facts)}")
        lines.append(f"    descriptors: {self.descriptors()}")
        lines.append(f"    stderr: {self.text(self.err)!r}")
        return "\n".join(lines)


def wait_for(condition, message):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        expect(time.monotonic() < deadline, message())
        time.sleep(0.005)


def connect(port, receive_buffer=None):
    client = socket.socket()
    client.settimeout(PATIENCE)
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.connect(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def reset(client):
    """Close it so that the server gets a reset instead of an end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def receive_exactly(client, length):
    data = bytearray()
    while len(data) < length:
        piece = client.recv(min(length - len(data), 1 << 16))
        expect(piece, f"the stream ended after {len(data)} of {length} bytes")
        data += piece
    return data


def receive_to_end(client):
    data = bytearray()
    while piece := client.recv(1 << 16):
        data += piece
    return data


def expect_gone(client):
    """The server has closed, or resets, this connection; what was on its way may come."""
    try:
        receive_to_end(client)
    except ConnectionError:
        pass
    client.close()


def dribble(client, data):
    """A byte in a millisecond."""
    for byte in data:
        client.sendall(bytes([byte]))
        time.sleep(0.001)


def fill(client):
    """Send until the connection takes nothing more.  Returns how much it took."""
    taken, piece = 0, bytes(1 << 16)
    client.setblocking(False)
    writable = select.poll()
    writable.register(client, select.POLLOUT)
    while writable.poll(200):
        try:
            taken += client.send(piece)
        except BlockingIOError:
            pass
    client.settimeout(PATIENCE)
    return taken


class Exchange:
    """One connection of converse(): what it sends, and what it has got."""

    def __init__(self, client, data):
        self.client = client
        self.data = memoryview(data)
        self.sent = 0
        self.got = bytearray()
        self.ended = False


def converse(exchanges, rng, most, finished):
    """Send and receive on many connections at once, in random pieces of up to `most`
    bytes, until finished(exchange) says of each that it has all it wants."""
    poll = select.poll()
    by_fd = {}
    for exchange in exchanges:
        exchange.client.setblocking(False)
        by_fd[exchange.client.fileno()] = exchange
        poll.register(exchange.client, select.POLLIN | select.POLLOUT)
    while by_fd:
        events = poll.poll(PATIENCE * 1000)
        expect(events, "no progress: " + ", ".join(
            f"{e.sent} of {len(e.data)} sent, {len(e.got)} got" for e in by_fd.values()))
        rng.shuffle(events)
        for fd, event in events:
            exchange = by_fd[fd]
            if event & select.POLLOUT and exchange.sent < len(exchange.data):
                end = exchange.sent + rng.randint(1, most)
                exchange.sent += exchange.client.send(exchange.data[exchange.sent:end])
            if event & (select.POLLIN | select.POLLHUP | select.POLLERR):
                piece = exchange.client.recv(rng.randint(1, most))
                exchange.got += piece
                exchange.ended = not piece
            if finished(exchange):
                poll.unregister(fd)
                del by_fd[fd]
            else:
                expect(not exchange.ended, f"the stream ended after {len(exchange.got)} bytes")
                if exchange.sent == len(exchange.data):
                    poll.modify(fd, select.POLLIN)
    for exchange in exchanges:
        exchange.client.settimeout(PATIENCE)
