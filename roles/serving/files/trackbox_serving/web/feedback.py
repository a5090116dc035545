"""`/feedback`: clients send labels for scored rows, possibly weeks later, with the identifier of the scored request.

A label is written to the disk before the response is sent, and is uploaded like the log. If there are several labels
for a row the last one counts, so a client may send labels again. This process cannot check whether the log contains the
request, because the log may be in the object store already.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from typing import Any

import orjson

from trackbox_serving.log.labels import Labels, LabelWriter
from trackbox_serving.web.answers import Answer, RefusedError, json_answer
from trackbox_serving.web.envelope import Call
from trackbox_serving.web.invocations import JSON
from trackbox_serving.web.service import Service

# The form of NGINX's $request_id, and of our own identifiers.
IDENTIFIER = re.compile(r"[0-9a-f]{32}")
FIELDS = {"request_id", "row", "label", "labels"}
# The maximum number of label requests that wait for the disk. It leaves room for scoring requests.
AT_ONCE = 8


class Feedback:
    """The handler of `/feedback`."""

    def __init__(self, service: Service) -> None:
        self.service, self.waiting = service, 0

    async def __call__(self, call: Call) -> Answer:
        """Accept labels. Raise RefusedError if they are malformed, over a limit, or cannot be written to the disk."""
        writer = self.service.labels
        if writer is None:
            raise RefusedError(409, "serving_log is off: requests are not logged, so no label can be joined with one.")
        if call.kind not in JSON:
            raise RefusedError(415, "Labels must be sent as application/json.")
        if self.waiting >= AT_ONCE:
            raise RefusedError(503, "Too many requests with labels are waiting: send this one again in a second.")
        self.waiting += 1
        try:
            most = self.service.settings.max_rows
            found = await self.service.run(lambda: read_labels(call.body, most), len(call.body))
            count = len(found[2])
            if count:
                await keep(writer, found, call.user)
            return json_answer({"labels": count}, 202)
        finally:
            self.waiting -= 1


async def keep(writer: LabelWriter, found: tuple[list[str], list[int], list[float]], user: str) -> None:
    """Wait until labels are on the disk. Raise RefusedError if the queue is full or the disk does not accept them."""
    loop = asyncio.get_running_loop()
    written: asyncio.Future[bool] = loop.create_future()

    def resolve(on_disk: bool) -> None:
        if not written.done():
            written.set_result(on_disk)

    def done(on_disk: bool) -> None:
        # Ignore that the event loop has ended during a stop, because then no request waits for the result.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(resolve, on_disk)

    if not writer.offer(Labels(*found, time.time_ns(), user, done)):
        raise RefusedError(503, "Too many labels are waiting (log_queue): send these again in a second.")
    if not await written:
        raise RefusedError(503, "The disk does not take the labels: send them again later.")


def read_labels(body: bytes, most: int) -> tuple[list[str], list[int], list[float]]:
    """Return the identifiers, rows and labels in a body. Raise RefusedError if it is malformed or over `most` labels.

    The error message gives the number of the first malformed item, and nothing that the caller sent.
    """
    try:
        items = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, "The body is no valid JSON.") from error
    if not isinstance(items, list):
        raise RefusedError(400, "The body must be a JSON list of objects with request_id, row and label.")
    identifiers: list[str] = []
    rows: list[int] = []
    labels: list[float] = []
    for number, item in enumerate(items, 1):
        identifier, first, values = read_item(item, f"Item {number}", most)
        identifiers += [identifier] * len(values)
        rows += range(first, first + len(values))
        labels += values
        if len(labels) > most:
            raise RefusedError(413, f"The body has more than {most} labels (max_rows), the limit of a request.")
    return identifiers, rows, labels


def read_item(item: Any, name: str, most: int) -> tuple[str, int, list[float]]:
    """Return an item's identifier, its first row and its labels. Raise RefusedError if the item is malformed."""
    if not isinstance(item, dict) or not set(item) <= FIELDS:
        raise RefusedError(400, f"{name} must be an object with request_id, row and label, or request_id and labels.")
    identifier, row = item.get("request_id"), item.get("row", 0)
    if not isinstance(identifier, str) or not IDENTIFIER.fullmatch(identifier):
        raise RefusedError(400, f"{name}: request_id must be the X-Request-Id of an answer: 32 digits, 0 to f.")
    if ("label" in item) == ("labels" in item) or ("labels" in item and "row" in item):
        raise RefusedError(400, f"{name} must have a label, for one row, or labels, for all rows of the request.")
    if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < most:
        raise RefusedError(400, f"{name}: row must be a number from 0 to {most - 1}: the row of the request.")
    values = item["labels"] if "labels" in item else [item["label"]]
    if not isinstance(values, list):
        raise RefusedError(400, f"{name}: labels must be a list, with a label for each row of the request.")
    for value in values:
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise RefusedError(400, f"{name}: a label must be a number, like 1 for fraud and 0 for none.")
    return identifier, row, [float(value) for value in values]
