"""HTTP/2 frames over a TLS socket (RFC 9113): requests that no library would send, and their responses."""

from __future__ import annotations

import ssl
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from machine import Machine
from raw_http import Reply, connect

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
REFUSED_STREAM, CANCEL = 7, 8
# The first byte of a field `:status` in HPACK: with a value of the static table, and with a literal value.
STATUSES = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
STATUS_LITERAL = 0x48

Fields = Sequence[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(number: int, bits: int, first: int = 0) -> bytes:
    """Encode an integer for HPACK with a prefix of `bits` bits (RFC 7541, 5.1). first: other bits of the first byte."""
    most = 2**bits - 1
    if number < most:
        return bytes([first | number])
    found, number = [first | most], number - most
    while number >= 128:
        found.append(number % 128 + 128)
        number //= 128
    return bytes([*found, number])


def block(fields: Fields) -> bytes:
    """Return an HPACK header block of literals, without indexing and without Huffman coding."""
    return b"".join(
        b"\0" + b"".join(integer(len(part), 7) + part for part in (name.encode("latin-1"), value.encode("latin-1")))
        for name, value in fields
    )


def fields(machine: Machine, method: str, path: str, *others: tuple[str, str]) -> list[tuple[str, str]]:
    """Return the header fields of an ordinary request, with `others` at the end."""
    return [(":method", method), (":scheme", "https"), (":authority", machine.address), (":path", path), *others]


@dataclass
class Answers:
    """Data that the server sent: responses and error codes of resets by stream, GOAWAY, and the connection's end."""

    replies: dict[int, Reply] = field(default_factory=dict)
    resets: dict[int, int] = field(default_factory=dict)
    complete: set[int] = field(default_factory=set)
    gone: bool = False
    ended: bool = False


class Connection:
    """An HTTP/2 client connection. It acknowledges no SETTINGS, and reads only when `read` is called."""

    def __init__(self, machine: Machine, window: int = 2**30) -> None:
        """window: the bytes that the server may send on each stream before the client allows more."""
        self.line = connect(machine, protocols=["h2"])
        assert self.line.selected_alpn_protocol() == "h2"
        self.answers, self.stream, self.rest = Answers(), 1, b""
        settings = struct.pack(">HI", 4, window)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)))

    def send(self, data: bytes) -> bool:
        """Send bytes; return whether the connection is still open."""
        self.line.settimeout(10)
        try:
            self.line.sendall(data)
        except (OSError, ssl.SSLError):
            self.answers.ended = True
        return not self.answers.ended

    def request(self, asked: Fields, body: bytes | None = None) -> int:
        """Send a request; return the id of its stream."""
        stream, self.stream = self.stream, self.stream + 2
        end = END_STREAM if body is None else 0
        sent = frame(HEADERS, END_HEADERS | end, stream, block(asked))
        if body is not None:
            parts = [body[start : start + 16384] for start in range(0, len(body), 16384)] or [b""]
            sent += b"".join(frame(DATA, 0, stream, part) for part in parts[:-1])
            sent += frame(DATA, END_STREAM, stream, parts[-1])
        self.send(sent)
        return stream

    def read(self, streams: Iterable[int] = (), seconds: float = 10) -> Answers:
        """Read until each of the streams has ended, the server has closed the connection, or the time is over."""
        wanted, until = set(streams), time.monotonic() + seconds
        ended = self.answers.complete
        while not (wanted and wanted <= ended | set(self.answers.resets)) and not self.answers.ended:
            self.line.settimeout(max(until - time.monotonic(), 0.001))
            try:
                part = self.line.recv(65536)
            except TimeoutError:
                break
            except (OSError, ssl.SSLError):
                part = b""
            self.answers.ended = not part
            self.rest += part
            self.parse()
        return self.answers

    def parse(self) -> None:
        """Parse the complete frames that have arrived."""
        while len(self.rest) >= 9 and len(self.rest) >= (whole := 9 + int.from_bytes(self.rest[:3])):
            kind, flags, stream = self.rest[3], self.rest[4], int.from_bytes(self.rest[5:9])
            payload, self.rest = self.rest[9:whole], self.rest[whole:]
            if kind == HEADERS and stream not in self.answers.replies:
                self.answers.replies[stream] = Reply(status(payload), payload, b"")
            elif kind == DATA:
                reply = self.answers.replies[stream]
                self.answers.replies[stream] = Reply(reply.status, reply.head, reply.body + payload)
            elif kind == RST_STREAM:
                self.answers.resets[stream] = int.from_bytes(payload)
            elif kind == GOAWAY:
                self.answers.gone = True
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                self.answers.complete.add(stream)

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self.line.close()


def status(payload: bytes) -> int:
    """Return the status at the beginning of NGINX's header block."""
    payload = payload.lstrip(b"\x20")
    return int(payload[2:5]) if payload[0] == STATUS_LITERAL else STATUSES[payload[0]]
