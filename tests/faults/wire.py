"""What can be done on a connection in the place of an answer: the values of ``Fault.act``.

Each gets the connection, the request, and the true answer. The server closes the connection when it
returns. Nothing here lasts longer than `LONGEST`, whatever the client does.
"""

from __future__ import annotations

import gzip
import os
import socket
import struct
import time

from testbed._faults import phrase

LONGEST = 1.2
"""Seconds for which a script goes on at most."""


def head_of(reply, **fields):
    """Return the head of an answer as bytes; a field given as None is left out."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    known = {"Content-Length": str(reply.length), **reply.headers, **named}
    lines = "".join(f"{name}: {value}\r\n" for name, value in known.items() if value is not None)
    return f"HTTP/1.1 {reply.status} {phrase(reply.status)}\r\n{lines}\r\n".encode("latin-1")


def wait_for_the_client(connection):
    """Say nothing more until the client leaves."""
    connection.settimeout(LONGEST)
    try:
        while connection.recv(65536):
            continue
    except OSError:
        return


def _reset(connection):
    time.sleep(0.01)  # what was sent arrives before the reset wipes it out
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _drop(connection):
    """Leave it to the server to close the connection."""


def _slowly(connection, data, seconds):
    end = time.monotonic() + LONGEST
    for at in range(len(data)):
        if time.monotonic() > end:
            return
        connection.sendall(data[at : at + 1])
        time.sleep(seconds)


def broken(where, then):
    """Return a script that breaks an answer off: `where` is a place, `then` what happens there."""

    def act(connection, request, reply):
        head, body = head_of(reply), reply.body
        cuts = {
            "before": b"",
            "head": head[: len(head) // 2],
            "body": head + body[: len(body) // 2],
            "last": head + body[:-1],
        }
        connection.sendall(cuts[where])
        then(connection)

    return act


CUT, RESET, STALL = _drop, _reset, wait_for_the_client


def drip_head(connection, request, reply):
    _slowly(connection, head_of(reply), 0.02)


def drip_body(connection, request, reply):
    connection.sendall(head_of(reply))
    _slowly(connection, reply.body, 0.02)


def drip_chunk_line(connection, request, reply):
    connection.sendall(head_of(reply, Content_Length=None, Transfer_Encoding="chunked"))
    _slowly(connection, b"0" * 5000, 0.02)


def drip_trailer(connection, request, reply):
    connection.sendall(head_of(reply, Content_Length=None, Transfer_Encoding="chunked"))
    connection.sendall(f"{reply.length:x}\r\n".encode() + reply.body + b"\r\n0\r\nX-Trailer: ")
    _slowly(connection, b"x" * 5000, 0.02)


def shorter_than_it_is(connection, request, reply):
    """Announce less than comes: the rest lies on the connection as the answer to nothing."""
    connection.sendall(head_of(reply, Content_Length=str(max(0, reply.length - 7))) + reply.body)
    wait_for_the_client(connection)


def longer_than_it_is(connection, request, reply):
    connection.sendall(head_of(reply, Content_Length=str(reply.length + 7)) + reply.body)


def longer_and_silent(connection, request, reply):
    longer_than_it_is(connection, request, reply)
    wait_for_the_client(connection)


def beyond_reason(connection, request, reply):
    connection.sendall(head_of(reply, Content_Length="9" * 5000) + reply.body)


def two_lengths(connection, request, reply):
    head = head_of(reply, content_length=str(reply.length + 3))
    connection.sendall(head + reply.body)


def to_the_close(connection, request, reply):
    """Announce no length: the end of the connection is the end of the body. That is allowed."""
    connection.sendall(head_of(reply, Content_Length=None) + reply.body)


def to_the_close_cut(connection, request, reply):
    body = reply.body
    connection.sendall(head_of(reply, Content_Length=None) + body[: len(body) // 2])


def to_the_close_notified(connection, request, reply):
    """End the body with the closing message of TLS."""
    to_the_close(connection, request, reply)
    connection.settimeout(LONGEST)
    try:
        connection.unwrap()
    except OSError:
        return  # the client closed without its own


def plain_text(connection, request, reply):
    """Write the answer past the TLS layer, as a box in between may."""
    os.write(connection.fileno(), head_of(reply) + reply.body)


def _chunked(reply, last=b"0\r\n\r\n"):
    body, half = reply.body, reply.length // 2
    pieces = b"".join(
        f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        for piece in (body[:half], body[half:])
        if piece
    )
    return head_of(reply, Content_Length=None, Transfer_Encoding="chunked") + pieces + last


def chunked(connection, request, reply):
    connection.sendall(_chunked(reply))


def chunked_cut(connection, request, reply):
    data = _chunked(reply)
    connection.sendall(data[: -reply.length // 3])


def chunked_without_end(connection, request, reply):
    connection.sendall(_chunked(reply, b""))


def chunked_nonsense(connection, request, reply):
    connection.sendall(_chunked(reply, b"zz\r\n"))


def no_http(connection, request, reply):
    connection.sendall(b"\x16\x03\x01\x02\x00garbage\xff\xfe\r\n\r\n" + bytes(range(256)))


def odd_status(connection, request, reply):
    connection.sendall(b"HTTP/1.1 " + b"9" * 5000 + b" OK\r\nContent-Length: 0\r\n\r\n")


def drawing_status(connection, request, reply):
    connection.sendall(b"HTTP/1.1 501 \x1b[2JBad\x07\r\nContent-Length: 0\r\n\r\n")


def endless_head(connection, request, reply):
    end = time.monotonic() + LONGEST
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    try:
        while time.monotonic() < end:
            connection.sendall(b"X-Filler: " + b"x" * 60_000 + b"\r\n")
    except OSError:
        return


def informed_first(connection, request, reply):
    """Send an interim answer before the true one. That is allowed."""
    connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" + head_of(reply) + reply.body)


def encoded(connection, request, reply):
    """Encode the body, though nobody asked for it."""
    body = gzip.compress(reply.body)
    fields = {"Content_Encoding": "gzip", "Content_Length": str(len(body))}
    connection.sendall(head_of(reply, **fields) + body)


def answer_and_408(connection, request, reply):
    """Answer well, and say more when nothing more was asked: a time-out before closing."""
    connection.sendall(head_of(reply) + reply.body)
    time.sleep(0.02)
    connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    wait_for_the_client(connection)


def answer_and_another(connection, request, reply):
    """Answer well, and say more when nothing more was asked: a success with wrong bytes."""
    wrong = b"?" * reply.length
    connection.sendall(head_of(reply) + reply.body)
    time.sleep(0.02)
    connection.sendall(head_of(reply) + wrong)
    wait_for_the_client(connection)
