"""A fake Prometheus, which responds to the queries of the charts in the format of Prometheus 2.53."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

# A function that returns the series of a query at the given times: labels, and values by time in seconds.
Answer = Callable[[str, list[float]], list[tuple[Mapping[str, str], Mapping[float, float]]]]


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run an HTTP server at a free port of 127.0.0.1; yield its address as HOST:PORT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def prometheus(answer: Answer, asked: list[dict[str, str]] | None = None) -> Iterator[str]:
    """Run a fake Prometheus; yield its address. It responds with 422 if `answer` raises a ValueError.

    asked: list to which the parameters of each query are appended.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            if asked is not None:
                asked.append(given)
            begin, end, step = (float(given[name]) for name in ("start", "end", "step"))
            times = [begin + i * step for i in range(int((end - begin) / step + 1e-6) + 1)]
            try:
                series = answer(given["query"], times)
            except ValueError:
                self.reply(422, {"status": "error"})
                return
            result = [
                {"metric": dict(labels), "values": [[moment, written(value)] for moment, value in values.items()]}
                for labels, values in series
            ]
            self.reply(200, {"status": "success", "data": {"resultType": "matrix", "result": result}})

        def reply(self, status: int, content: Any) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with listening(Handler) as address:
        yield address


def written(value: float) -> str:
    """Return a value as Prometheus writes it."""
    return "NaN" if math.isnan(value) else repr(value)
