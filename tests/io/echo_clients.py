#!/usr/bin/env python3
"""Hostile clients against examples/echo_server, with 1, 2 and 8 workers.

    echo_clients.py DIRECTORY_OF_THE_EXAMPLES [seed]
"""

import os
import select
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import (  # noqa: E402
    Exchange, Server, Suite, connect, converse, dribble, expect, expect_bytes, expect_gone, fill,
    receive_exactly, receive_to_end, reset)


def echo(server, rng, count, length, most):
    """So many clients at once; each gets back what it sends."""
    exchanges = [Exchange(connect(server.port), rng.randbytes(rng.randint(1, length)))
                 for _ in range(count)]
    converse(exchanges, rng, most, lambda e: len(e.got) >= len(e.data))
    for exchange in exchanges:
        expect_bytes(exchange.got, exchange.data, "echo")
        exchange.client.shutdown(socket.SHUT_WR)
        expect_bytes(receive_to_end(exchange.client), b"", "after the echo")
        exchange.client.close()


def every_byte_comes_back(server, rng):
    echo(server, rng, count=4, length=300_000, most=20_000)


def single_bytes_come_back(server, rng):
    echo(server, rng, count=8, length=500, most=2)


def many_clients_at_once(server, rng):
    echo(server, rng, count=250, length=5_000, most=1_000)


def nul_bytes_are_bytes(server, rng):
    client = connect(server.port)
    for data in (b"\0", b"\0" * 4096, b"a\0b\0\0c", bytes(range(256)) * 33):
        client.sendall(data)
        expect_bytes(receive_exactly(client, len(data)), data, "echo")
    client.close()


def half_closed_client_gets_the_rest(server, rng):
    for length in (0, 1, 4095, 4096, 4097, rng.randint(1, 60_000)):
        data = rng.randbytes(length)
        client = connect(server.port)
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        expect_bytes(receive_to_end(client), data, "after the half-close")
        client.close()


def byte_per_millisecond(server, rng):
    data = rng.randbytes(200)
    client = connect(server.port)
    sender = threading.Thread(target=dribble, args=(client, data))
    sender.start()
    expect_bytes(receive_exactly(client, len(data)), data, "echo")
    sender.join()
    client.close()


def slow_reader_of_megabytes(server, rng):
    data = rng.randbytes(6 << 20)
    client = connect(server.port, receive_buffer=16_384)
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    got = bytearray()
    while len(got) < len(data):
        if rng.random() < 0.02:
            time.sleep(0.002)
        piece = client.recv(rng.randint(1, 65_536))
        expect(piece, f"the stream ended after {len(got)} bytes")
        got += piece
    sender.join()
    expect_bytes(got, data, "echo")
    client.close()


def client_that_never_reads_is_held_back_alone(server, rng):
    stuck = [connect(server.port, receive_buffer=4_096) for _ in range(2)]
    taken = [fill(client) for client in stuck]
    expect(max(taken) < 64 << 20, f"the server took {max(taken)} bytes for a client")
    echo(server, rng, count=4, length=20_000, most=4_000)
    stuck[0].close()
    reset(stuck[1])
    echo(server, rng, count=4, length=20_000, most=4_000)


def connections_without_a_word(server, rng):
    for _ in range(100):
        client = connect(server.port)
        if rng.random() < 0.5:
            reset(client)
        else:
            client.close()


def resets_at_any_moment(server, rng):
    for _ in range(60):
        client = connect(server.port)
        data = rng.randbytes(rng.choice((1, 1_000, 100_000)))
        client.settimeout(0.01)
        try:
            client.sendall(data)
            client.recv(rng.randint(1, len(data)))
        except TimeoutError:
            pass
        reset(client)
    echo(server, rng, count=2, length=10_000, most=3_000)


def nothing_stays_open(server, rng):
    server.wait_until_idle()


def out_of_descriptors_is_survived(server, rng):
    server.limit_descriptors(spare=6)
    waiting = [Exchange(connect(server.port), rng.randbytes(100)) for _ in range(18)]
    for exchange in waiting:
        exchange.client.sendall(exchange.data)
    while waiting:
        served = [e for e in waiting if e.client in readable(waiting)]
        for exchange in served:
            expect_bytes(receive_exactly(exchange.client, 100), exchange.data, "echo")
            exchange.client.close()
            waiting.remove(exchange)
    server.wait_until_idle()


def readable(exchanges):
    ready = select.select([e.client for e in exchanges], [], [], 20)[0]
    expect(ready, f"{len(exchanges)} clients were never served")
    return ready


def ctrl_c_ends_it(server, rng):
    server.stop()


def ctrl_c_ends_it_with_clients_connected(suite, workers, rng):
    server = start(suite, workers, rng)
    idle = [connect(server.port) for _ in range(20)]
    for client in idle:
        client.sendall(b"x")
        receive_exactly(client, 1)
    stuck = [connect(server.port, receive_buffer=4_096) for _ in range(3)]
    for client in stuck:
        fill(client)
    gone = connect(server.port)
    gone.sendall(b"x" * 1_000)
    reset(gone)
    server.stop()
    for client in idle + stuck:
        expect_gone(client)


def port_can_be_taken_again_at_once(suite, rng):
    first = start(suite, 2, rng)
    client = connect(first.port)
    client.sendall(b"x")
    receive_exactly(client, 1)
    first.stop()
    second = start(suite, 2, rng, port=first.port)
    expect(second.port == first.port, f"listens on {second.port}")
    echo(second, rng, count=1, length=1_000, most=100)
    second.stop()
    client.close()


def port_in_use_is_reported(suite, rng):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Server([suite.program("echo_server"), "127.0.0.1", str(taken.getsockname()[1])], 2)
        server.expect_exit(1, err="echo_server: ")
        expect("in use" in server.text(server.err), f"says {server.text(server.err)!r}")


def unknown_port_is_reported(suite, rng):
    server = Server([suite.program("echo_server"), "127.0.0.1", "no-such-service"], 1)
    server.expect_exit(1, err="echo_server: ")


def ignored_sigint_stays_ignored(suite, rng):
    server = Server([suite.program("echo_server"), "127.0.0.1", "0"], 2, sigint=signal.SIG_IGN)
    server.wait_until_listening()
    server.send_signal(signal.SIGINT)
    echo(server, rng, count=2, length=1_000, most=100)
    server.send_signal(signal.SIGTERM)
    server.expect_exit(-signal.SIGTERM)


def start(suite, workers, rng, port=0):
    argv = [suite.program("echo_server"), "127.0.0.1", str(port)]
    return Server(argv, workers).wait_until_listening()


def main():
    suite = Suite()
    for workers in 1, 2, 8:
        server = suite.check(f"{workers} workers: it listens", start, suite, workers)
        if not server:
            continue
        for check in (every_byte_comes_back, single_bytes_come_back, many_clients_at_once,
                      nul_bytes_are_bytes, half_closed_client_gets_the_rest, byte_per_millisecond,
                      slow_reader_of_megabytes, client_that_never_reads_is_held_back_alone,
                      connections_without_a_word, resets_at_any_moment, nothing_stays_open,
                      out_of_descriptors_is_survived, ctrl_c_ends_it):
            suite.check(f"{workers} workers: {check.__name__}", check, server)
        check = ctrl_c_ends_it_with_clients_connected
        suite.check(f"{workers} workers: {check.__name__}", check, suite, workers)
    for check in (port_can_be_taken_again_at_once, port_in_use_is_reported,
                  unknown_port_is_reported, ignored_sigint_stays_ignored):
        suite.check(check.__name__, check, suite)
    suite.finish()


if __name__ == "__main__":
    main()
