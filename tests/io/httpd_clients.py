#!/usr/bin/env python3
"""Hostile and ordinary clients against examples/httpd, with 1, 2 and 8 workers.

    httpd_clients.py DIRECTORY_OF_THE_EXAMPLES [seed]

Every answer is taken apart by the strict reader below: its status line, the
exact set of its headers, and every byte of its body.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from email.utils import parsedate_to_datetime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import (  # noqa: E402
    Exchange, Server, Suite, connect, converse, dribble, expect, expect_bytes, expect_gone,
    receive_exactly, receive_to_end, reset)

HELLO = b"Hello, World!"
SECRET = b"nobody may read this"
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
           408: "Request Timeout", 413: "Payload Too Large", 414: "URI Too Long",
           431: "Request Header Fields Too Large", 505: "HTTP Version Not Supported"}


class Answer:
    """What an answer has to be."""

    def __init__(self, status, body=None, content_type="text/plain", connection=None,
                 head_only=False):
        self.status = status
        self.body = REASONS[status].encode() if body is None else body
        self.content_type = content_type
        self.connection = connection
        self.head_only = head_only

    def headers(self):
        headers = {"Server": "coir", "Content-Type": self.content_type,
                   "Content-Length": str(len(self.body))}
        if self.status == 405:
            headers["Allow"] = "GET, HEAD"
        if self.connection:
            headers["Connection"] = self.connection
        return headers

    def take_from(self, data):
        """Check that data begins with this answer.  Returns what follows it."""
        head, end, rest = bytes(data).partition(b"\r\n\r\n")
        expect(end, f"no complete head in {bytes(data[:200])!r}")
        first, *lines = head.decode("latin-1").split("\r\n")
        wanted = f"HTTP/1.1 {self.status} {REASONS[self.status]}"
        expect(first == wanted, f"{first!r}, not {wanted!r}")
        headers = dict(line.split(": ", 1) for line in lines)
        expect(len(headers) == len(lines), f"a header twice: {lines}")
        when = parsedate_to_datetime(headers.pop("Date", "")).timestamp()
        expect(abs(when - time.time()) < 60, f"the date is {when - time.time():.0f} s off")
        expect(headers == self.headers(), f"{headers}, not {self.headers()}")
        if self.head_only:
            return rest
        expect_bytes(rest[:len(self.body)], self.body, "body")
        return rest[len(self.body):]


def expect_answers(data, answers):
    for answer in answers:
        data = answer.take_from(data)
    expect_bytes(data, b"", "after the last answer")


def request(target, method="GET", version="1.1", headers=(), body=b""):
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def ask(server, data, *answers):
    """Send data on a connection of its own, end it, and compare all that comes back."""
    with connect(server.port) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        expect_answers(receive_to_end(client), answers)


def ask_and_see_it_close(server, data, *answers):
    """The same, but the server has to end the connection, and without a reset."""
    with connect(server.port) as client:
        client.sendall(data)
        expect_answers(receive_to_end(client), answers)


def still_serves(server):
    ask(server, request("/plaintext"), Answer(200, HELLO))


class Site:
    """A directory to serve, and beside it a file that must not be served."""

    def __init__(self, rng):
        self.parent = tempfile.mkdtemp(prefix="httpd-clients-")
        self.root = os.path.join(self.parent, "root")
        self.files = {}
        os.makedirs(os.path.join(self.root, "directory"))
        with open(os.path.join(self.parent, "secret.txt"), "wb") as file:
            file.write(SECRET)
        lengths = [0, 1, 2, 8191, 16_200, 16_383, 16_384, 16_385, 32_768, rng.randrange(200_000)]
        for length in lengths:
            self.add(f"{length}.bin", rng.randbytes(length), "application/octet-stream")
        self.add("index.html", b"<p>root</p>", "text/html")
        self.add("directory/index.html", b"<p>directory</p>", "text/html")
        self.add("style.css", b"p { color: red }\n", "text/css")
        self.add("data.json", b"{}\n", "application/json")
        self.add("without-extension", b"\0\n", "application/octet-stream")
        self.add("..two-dots...txt", b"not a way up\n", "text/plain")
        self.add("a b%c?d#é.txt", b"escaped\n", "text/plain")
        self.big = self.add("big.bin", rng.randbytes(5_000_000), "application/octet-stream")
        os.mkfifo(os.path.join(self.root, "fifo"))
        os.symlink("style.css", os.path.join(self.root, "link.css"))
        self.files["/link.css"] = self.files["/style.css"]

    def add(self, name, data, content_type):
        with open(os.path.join(self.root, name), "wb") as file:
            file.write(data)
        self.files["/" + name] = Answer(200, data, content_type)
        return self.files["/" + name]

    def remove(self):
        shutil.rmtree(self.parent)


def escape(path):
    return "".join(chr(b) if chr(b).isalnum() or b in b"/.-_" else f"%{b:02x}"
                   for b in path.encode())


def random_request(site, rng):
    """A request that keeps the connection, and its answer."""
    kind = rng.randrange(6)
    if kind == 0:
        return request("/plaintext"), Answer(200, HELLO)
    if kind == 1:
        return request("/missing"), Answer(404)
    if kind == 2:
        body = rng.randbytes(rng.randrange(2_000))
        return (request("/plaintext", "POST", headers=[f"Content-Length: {len(body)}"], body=body),
                Answer(405))
    if kind == 3:
        return (request("/plaintext", headers=["Transfer-Encoding: chunked"],
                        body=chunked(rng.randbytes(rng.randrange(2_000)), rng)),
                Answer(200, HELLO))
    path = rng.choice([p for p in site.files if p != "/big.bin"])
    answer = site.files[path]
    if kind == 4:
        return request(escape(path), "HEAD"), Answer(answer.status, answer.body,
                                                     answer.content_type, head_only=True)
    return request(escape(path)), answer


def chunked(data, rng):
    out = b""
    while data:
        length = rng.randint(1, len(data))
        out += b"%x\r\n" % length + data[:length] + b"\r\n"
        data = data[length:]
    return out + b"0\r\n\r\n"


def every_file_arrives_whole(server, site, rng):
    for path, answer in site.files.items():
        ask(server, request(escape(path)), answer)
        ask(server, request(escape(path), "HEAD"),
            Answer(200, answer.body, answer.content_type, head_only=True))


def directory_is_its_index(server, site, rng):
    ask(server, request("/"), site.files["/index.html"])
    ask(server, request("/directory/"), site.files["/directory/index.html"])
    ask(server, request("/directory"), Answer(404))


def only_regular_files_are_served(server, site, rng):
    ask(server, request("/fifo"), Answer(404))
    ask(server, request("/missing"), Answer(404))
    ask(server, request("/style.css/x"), Answer(404))
    ask(server, request("/" + "x" * 300), Answer(404))


def nothing_outside_the_root_is_served(server, site, rng):
    up = ["..", "%2e%2e", ".%2E", "%2e.", "directory/../..", "directory%2f..%2f..", "./.."]
    for way in up:
        for slash in "/", "%2f", "//":
            with connect(server.port) as client:
                client.sendall(request(f"/{way}{slash}secret.txt", headers=["Connection: close"]))
                got = bytes(receive_to_end(client))
            expect(SECRET not in got, f"{way}{slash} leads out of the root")
            expect(got.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), f"{way}: {got[:40]!r}")
    ask(server, request("/.."), Answer(404))
    ask(server, request("//etc/passwd"), Answer(404))
    for path in os.path.join(site.parent, "secret.txt"), "/etc/passwd":
        ask(server, request(path), Answer(404))


def malformed_escapes_are_refused(server, site, rng):
    for path in "/%", "/%4", "/%zz", "/a%00b", "/%0x41", "/%+1":
        ask(server, request(path), Answer(400))
    ask(server, request("/%73tyle%2Ecss"), site.files["/style.css"])


def absolute_urls_and_queries_are_understood(server, site, rng):
    ask(server, request("http://localhost:80/style.css?query#fragment"), site.files["/style.css"])
    ask(server, request("/style.css?a=%"), site.files["/style.css"])


def many_requests_in_one_segment(server, site, rng):
    pairs = [random_request(site, rng) for _ in range(300)]
    exchange = Exchange(connect(server.port), b"".join(data for data, _ in pairs))
    converse_to_end([exchange], rng, 1 << 20)
    expect_answers(exchange.got, [answer for _, answer in pairs])


def many_requests_in_random_pieces(server, site, rng):
    for most in 3, 50, 3_000:
        pairs = [random_request(site, rng) for _ in range(40)]
        exchange = Exchange(connect(server.port), b"".join(data for data, _ in pairs))
        converse_to_end([exchange], rng, most)
        expect_answers(exchange.got, [answer for _, answer in pairs])


def many_connections_at_once(server, site, rng):
    answers, exchanges = [], []
    for _ in range(150):
        pairs = [random_request(site, rng) for _ in range(5)]
        exchanges.append(Exchange(connect(server.port), b"".join(data for data, _ in pairs)))
        answers.append([answer for _, answer in pairs])
    converse_to_end(exchanges, rng, 10_000)
    for exchange, wanted in zip(exchanges, answers):
        expect_answers(exchange.got, wanted)


def converse_to_end(exchanges, rng, most):
    """Each sends what it has, says that this is all, and reads to the end."""
    shut = set()

    def finished(exchange):
        if exchange.sent == len(exchange.data) and not exchange.ended and exchange not in shut:
            shut.add(exchange)
            exchange.client.shutdown(socket.SHUT_WR)
        return exchange.ended
    converse(exchanges, rng, most, finished)
    for exchange in exchanges:
        exchange.client.close()


def answers_come_before_the_next_request(server, site, rng):
    with connect(server.port) as client:
        for _ in range(20):
            data, answer = random_request(site, rng)
            client.sendall(data)
            head = bytearray()
            while not head.endswith(b"\r\n\r\n"):
                head += receive_exactly(client, 1)
            body = receive_exactly(client, 0 if answer.head_only else len(answer.body))
            expect_answers(head + body, [answer])


def byte_per_millisecond(server, site, rng):
    data, wanted = b"", []
    while len(data) < 400:
        more, answer = random_request(site, rng)
        if len(more) < 200:
            data, wanted = data + more, wanted + [answer]
    with connect(server.port) as client:
        sender = threading.Thread(target=dribble, args=(client, data))
        sender.start()
        sender.join()
        client.shutdown(socket.SHUT_WR)
        got = receive_to_end(client)
    expect_answers(got, wanted)


def slow_reader_of_megabytes(server, site, rng):
    with connect(server.port, receive_buffer=16_384) as client:
        client.sendall(request("/big.bin", headers=["Connection: close"]))
        got = bytearray()
        while piece := client.recv(rng.randint(1, 65_536)):
            got += piece
            if rng.random() < 0.02:
                time.sleep(0.002)
    expect_answers(got, [Answer(200, site.big.body, site.big.content_type, "close")])


def connections_end_when_they_should(server, site, rng):
    ok = Answer(200, HELLO)
    closing = Answer(200, HELLO, connection="close")
    keeping = Answer(200, HELLO, connection="keep-alive")
    keep = ["Connection: keep-alive"]
    ask_and_see_it_close(server, request("/plaintext", version="1.0"), closing)
    ask_and_see_it_close(server, request("/plaintext", version="1.0") * 3, closing)
    ask(server, request("/plaintext", version="1.0", headers=keep) * 2, keeping, keeping)
    ask(server, request("/plaintext") * 2, ok, ok)
    ask_and_see_it_close(server, request("/plaintext") + request(
        "/plaintext", headers=["Connection: close"]) + request("/plaintext"), ok, closing)
    ask_and_see_it_close(server, request("/missing", version="1.0"),
                         Answer(404, connection="close"))


def requests_without_host_or_headers_are_served(server, site, rng):
    ask(server, b"GET /plaintext HTTP/1.1\r\n\r\n", Answer(200, HELLO))
    ask(server, b"\r\n\r\nGET /plaintext HTTP/1.1\r\n\r\n", Answer(200, HELLO))


def bodies_are_thrown_away(server, site, rng):
    body = rng.randbytes(1 << 20)
    length = [f"Content-Length: {len(body)}"]
    ask(server, request("/plaintext", headers=length, body=body) + request("/missing"),
        Answer(200, HELLO), Answer(404))
    body = chunked(rng.randbytes(100_000), rng)
    ask(server, request("/plaintext", headers=["Transfer-Encoding: chunked"], body=body)
        + request("/missing"), Answer(200, HELLO), Answer(404))
    ask(server, request("/x", "DELETE") + request("/x", "OPTIONS") + request("/plaintext"),
        Answer(405), Answer(405), Answer(200, HELLO))


def upgrades_are_ignored(server, site, rng):
    upgrade = ["Connection: Upgrade", "Upgrade: h2c"]
    ask(server, request("/plaintext", headers=upgrade) * 2 + request("/missing"),
        Answer(200, HELLO), Answer(200, HELLO), Answer(404))
    ask_and_see_it_close(server, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n\0\1\2",
                         Answer(405, connection="close"))


def refused(status):
    return Answer(status, connection="close")


def too_much_is_refused(server, site, rng):
    long_url = request("/" + "x" * 2_047)
    ask(server, long_url, Answer(404))
    ask_and_see_it_close(server, request("/" + "x" * 2_048), refused(414))
    ask_and_see_it_close(server, request("/" + "x" * 300_000), refused(414))
    ask(server, request("/plaintext", headers=["A: " + "x" * 7_000]), Answer(200, HELLO))
    ask_and_see_it_close(server, request("/plaintext", headers=["A: " + "x" * 9_000]), refused(431))
    ask_and_see_it_close(server, request("/plaintext", headers=["A: x"] * 50_000), refused(431))
    too_long = (1 << 20) + 1
    ask_and_see_it_close(server, request("/plaintext", headers=[f"Content-Length: {too_long}"]),
                         refused(413))
    ask_and_see_it_close(server, request("/plaintext", headers=["Transfer-Encoding: chunked"],
                                         body=chunked(bytes(too_long), rng)), refused(413))


def limits_are_per_request(server, site, rng):
    fat = request("/plaintext", headers=["A: " + "x" * 5_000])
    ask(server, fat * 10, *[Answer(200, HELLO)] * 10)
    length = 700_000
    large = request("/plaintext", headers=[f"Content-Length: {length}"], body=bytes(length))
    ask(server, large * 2, Answer(200, HELLO), Answer(200, HELLO))
    pieces = request("/plaintext", headers=["Transfer-Encoding: chunked"],
                     body=chunked(bytes(length), rng))
    ask(server, pieces * 2, Answer(200, HELLO), Answer(200, HELLO))


def malformed_requests_are_refused(server, site, rng):
    for data in (b"\0", b"\0" * 10_000, b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n",
                 b" GET / HTTP/1.1", b"get / HTTP/1.1\r\n\r\n", b"GET /\0 HTTP/1.1\r\n\r\n",
                 b"GET / FTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                 b"GET / HTTP/1.1\r\nA\0: b\r\n\r\n", b"GET / HTTP/1.1\r\n: b\r\n\r\n",
                 request("/", headers=["Content-Length: -1"]),
                 request("/", headers=["Content-Length: 1x"]),
                 request("/", headers=["Content-Length: 99999999999999999999"]),
                 request("/", headers=["Content-Length: 1", "Content-Length: 2"], body=b"xx"),
                 request("/", headers=["Content-Length: 1", "Transfer-Encoding: chunked"]),
                 request("/", headers=["Transfer-Encoding: gzip"]),
                 request("/", headers=["Transfer-Encoding: chunked"], body=b"g\r\n")):
        ask_and_see_it_close(server, request("/plaintext") + data,
                             Answer(200, HELLO), refused(400))
    for data in b"GET / HTTP/2.0\r\n\r\n", b"GET /\r\n\r\n":
        ask_and_see_it_close(server, data, refused(505))


def half_a_request_is_refused(server, site, rng):
    whole = request("/plaintext", headers=["Content-Length: 9"], body=b"123456789")
    for cut in range(1, len(whole), 7):
        ask(server, whole[:cut], refused(400))


def garbage_gets_an_end(server, site, rng):
    """Random bytes, and requests with a few bytes changed: any well-formed answers, then the
    end of the connection."""
    exchanges = []
    for _ in range(150):
        data = bytearray(b"".join(random_request(site, rng)[0] for _ in range(4)))
        if rng.random() < 0.3:
            data = bytearray(rng.randbytes(len(data)))
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        exchanges.append(Exchange(connect(server.port), bytes(data)))
    for exchange in exchanges:
        try:
            converse_to_end([exchange], rng, 4_000)
        except OSError:
            pass  # garbage may be cut off before its end
        expect(not exchange.got or re.match(rb"HTTP/1\.1 [245]\d\d ", exchange.got),
               f"answer {bytes(exchange.got[:40])!r}")
    still_serves(server)


def resets_at_any_moment(server, site, rng):
    for _ in range(60):
        data = b"".join(random_request(site, rng)[0] for _ in range(20))
        if rng.random() < 0.3:
            data = request("/big.bin") * 3
        client = connect(server.port)
        client.settimeout(0.01)
        try:
            client.sendall(data[:rng.randint(1, len(data))])
            client.recv(rng.randint(1, 100_000))
        except TimeoutError:
            pass
        reset(client)
    still_serves(server)


def client_that_never_reads_is_held_back_alone(server, site, rng):
    stuck = connect(server.port, receive_buffer=4_096)
    stuck.sendall(request("/big.bin") * 40)
    still_serves(server)
    every_file_arrives_whole(server, site, rng)
    reset(stuck)


def file_that_shrinks_ends_the_connection(server, site, rng):
    path, length = os.path.join(site.root, "shrinking"), 64 << 20
    with open(path, "wb") as file:
        file.truncate(length)
    with connect(server.port, receive_buffer=16_384) as client:
        client.sendall(request("/shrinking"))
        got = receive_exactly(client, 50_000)
        os.truncate(path, 50_000)
        got += receive_to_end(client)
    head, _, body = bytes(got).partition(b"\r\n\r\n")
    expect(f"Content-Length: {length}".encode() in head, f"head {head!r}")
    expect(len(body) < length and not any(body), f"{len(body)} bytes came")
    os.unlink(path)


def curl_gets_the_same_bytes(server, site, rng):
    base = f"http://127.0.0.1:{server.port}"
    got, other = (os.path.join(site.parent, name) for name in ("got", "other"))

    def curl(*arguments):
        return subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], check=True,
                              capture_output=True, text=True).stdout

    def compare(path, with_file=got):
        subprocess.run(["cmp", with_file, os.path.join(site.root, path)], check=True)

    for path in "0.bin", "1.bin", "16384.bin", "big.bin", "style.css":
        for version in "--http1.1", "--http1.0":
            curl(version, "-o", got, f"{base}/{path}")
            compare(path)
    connects = curl("-o", got, "-o", other, "-w", "%{num_connects} ",
                    f"{base}/8191.bin", f"{base}/16385.bin")
    expect(connects == "1 0 ", f"connections made: {connects}")
    compare("8191.bin")
    compare("16385.bin", other)
    head = curl("-I", f"{base}/style.css")
    expect(head.startswith("HTTP/1.1 200 OK") and "Content-Length: 17\n" in head, head)
    expect(curl("-o", got, "-w", "%{http_code}", f"{base}/missing") == "404", "not 404")
    code = curl("-o", got, "-w", "%{http_code}", "--path-as-is", f"{base}/../secret.txt")
    expect(code == "404", f"traversal: {code}")
    code = curl("-o", got, "-w", "%{http_code}", "--http2", f"{base}/plaintext")
    expect(code == "200", f"upgrade to HTTP/2: {code}")
    posted = curl("-w", " %{http_code}", "--data-binary", "@" + os.path.join(site.root, "big.bin"),
                  "-H", "Expect:", f"{base}/plaintext")
    expect(posted == "Payload Too Large 413", f"post: {posted}")
    posted = curl("-w", " %{http_code}", "-H", "Transfer-Encoding: chunked", "--data-binary",
                  "@" + os.path.join(site.root, "16385.bin"), f"{base}/plaintext")
    expect(posted == "Method Not Allowed 405", f"chunked post: {posted}")


def wrk_sees_no_error(server, site, rng):
    report = subprocess.run(["wrk", "-t1", "-c64", "-d1s",
                             f"http://127.0.0.1:{server.port}/plaintext"],
                            check=True, capture_output=True, text=True).stdout
    requests = re.search(r"(\d+) requests in", report)
    expect(requests and int(requests.group(1)) > 0, report)
    expect("Non-2xx" not in report and "Socket errors" not in report, report)


def nothing_stays_open(server, site, rng):
    server.wait_until_idle()


def ctrl_c_ends_it(server, site, rng):
    server.stop()


def ctrl_c_ends_it_with_clients_connected(suite, site, workers, rng):
    server = start(suite, site, workers, rng)
    clients = []
    for data in (b"", request("/plaintext"), request("/plaintext")[:-3],
                 request("/plaintext", headers=["Content-Length: 5"], body=b"12"),
                 request("/big.bin") * 20, b"\0"):
        for _ in range(5):
            clients.append(connect(server.port, receive_buffer=4_096))
            clients[-1].sendall(data)
    still_serves(server)
    server.stop()
    for client in clients:
        expect_gone(client)


def slow_clients_are_timed_out(suite, site, workers, rng):
    """With limits of a second: a head that does not end is answered by 408, however much of
    it comes; a connection that says nothing, or nothing more, is closed without a word."""
    server = start(suite, site, workers, rng, ["-t", "1", "-k", "1"])
    silent, served, started, slow = (connect(server.port) for _ in range(4))
    served.sendall(request("/plaintext"))
    started.sendall(request("/plaintext")[:-1])
    slow.sendall(b"GET / HTTP/1.1\r\n")
    ended = threading.Event()

    def keep_it_going():
        try:
            while not ended.wait(0.05):
                slow.sendall(b"X-Slow: 1\r\n")
        except ConnectionError:
            pass
    sender = threading.Thread(target=keep_it_going)
    sender.start()
    expect_answers(receive_to_end(silent), [])
    expect_answers(receive_to_end(served), [Answer(200, HELLO)])
    expect_answers(receive_to_end(started), [refused(408)])
    got = receive_to_end(slow)
    ended.set()
    sender.join()
    expect_answers(got, [refused(408)])
    for client in silent, served, started, slow:
        client.close()
    server.wait_until_idle()
    server.stop()


def port_in_use_is_reported(suite, site, rng):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Server([suite.program("httpd"), "-p", str(taken.getsockname()[1])], 2)
        server.expect_exit(1, err="httpd: ")
        expect("in use" in server.text(server.err), f"says {server.text(server.err)!r}")


def ignored_sigint_stays_ignored(suite, site, rng):
    server = Server([suite.program("httpd"), "-q", "-p", "0"], 2, sigint=signal.SIG_IGN)
    server.wait_until_listening()
    server.send_signal(signal.SIGINT)
    still_serves(server)
    server.send_signal(signal.SIGTERM)
    server.expect_exit(-signal.SIGTERM)


def says_where_it_listens_and_what_it_answers(suite, site, rng):
    server = Server([suite.program("httpd"), "-p", "0"], 2).wait_until_listening()
    ask(server, request("/") + request("/plaintext") + request("/style.css"),
        Answer(200, HELLO), Answer(200, HELLO), Answer(404))
    server.stop()
    said = server.text(server.out)
    expect(said == f"listening on http://127.0.0.1:{server.port}\n"
                   "200 /\n200 /plaintext\n404 /style.css\n", f"says {said!r}")


def start(suite, site, workers, rng, options=()):
    return Server([suite.program("httpd"), "-q", "-p", "0", *options, site.root],
                  workers).wait_until_listening()


def check_with_workers(suite, site, workers):
    server = suite.check(f"{workers} workers: it listens", start, suite, site, workers)
    if not server:
        return
    for check in (every_file_arrives_whole, directory_is_its_index, only_regular_files_are_served,
                  nothing_outside_the_root_is_served, malformed_escapes_are_refused,
                  absolute_urls_and_queries_are_understood, many_requests_in_one_segment,
                  many_requests_in_random_pieces, many_connections_at_once,
                  answers_come_before_the_next_request, byte_per_millisecond,
                  slow_reader_of_megabytes, connections_end_when_they_should,
                  requests_without_host_or_headers_are_served, bodies_are_thrown_away,
                  upgrades_are_ignored, too_much_is_refused, limits_are_per_request,
                  malformed_requests_are_refused, half_a_request_is_refused, garbage_gets_an_end,
                  resets_at_any_moment, client_that_never_reads_is_held_back_alone,
                  file_that_shrinks_ends_the_connection, curl_gets_the_same_bytes,
                  wrk_sees_no_error, nothing_stays_open, ctrl_c_ends_it):
        name = f"{workers} workers: {check.__name__}"
        tool = check.__name__.split("_")[0]
        if tool in ("curl", "wrk") and not shutil.which(tool):
            suite.skip(name, f"{tool} is not installed")
        else:
            suite.check(name, check, server, site)
    for check in ctrl_c_ends_it_with_clients_connected, slow_clients_are_timed_out:
        suite.check(f"{workers} workers: {check.__name__}", check, suite, site, workers)


def main():
    suite = Suite()
    site = Site(suite.generator("site"))
    try:
        for workers in 1, 2, 8:
            check_with_workers(suite, site, workers)
        for check in (port_in_use_is_reported, ignored_sigint_stays_ignored,
                      says_where_it_listens_and_what_it_answers):
            suite.check(check.__name__, check, suite, site)
    finally:
        site.remove()
    suite.finish()


if __name__ == "__main__":
    main()
