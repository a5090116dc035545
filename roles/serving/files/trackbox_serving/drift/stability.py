"""Compare counts with a reference: the population stability index, its noise, what changed most.

The index (PSI) of shares q against reference shares p is the sum of (q - p) * log(q / p) over the
bins. It measures how different the distributions are. A p-value does not measure this: with enough
rows, any difference is significant.

`fraud` has a symbolic link to this file, so that both programs measure drift alike. The file
imports only the standard library, and its lines have at most 100 characters, as those of `fraud`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

# The lowest index at which messages name what has changed, and the index above which a column has
# drifted.
SAID, LIMIT = 0.1, 0.25
# The number of rows that is added to each bin, because the logarithm in the index does not exist
# for an empty bin.
ADDED = 0.5
# The maximum probability that the index exceeds the noise if the rows have the same distribution as
# the reference.
CHANCE = 1e-4


@dataclass(frozen=True)
class Reference:
    """The distribution of a column, or of the scores, when the model was made.

    Attributes:
        name: name of the column.
        rows: number of rows that were counted.
        edges: the k edges of the bins, in ascending order. A bin contains its upper edge.
        shares: the k + 2 shares of all rows: below the first edge, between the edges, above the
            last edge, missing.

    """

    name: str
    rows: int
    edges: tuple[float, ...]
    shares: tuple[float, ...]


def index(reference: Reference, counts: Sequence[int]) -> float:
    """Return the PSI of counts against a reference with the same bins; 0 if there are no counts."""
    return math.fsum(parts(reference, counts)) if sum(counts) else 0.0


def parts(reference: Reference, counts: Sequence[int]) -> list[float]:
    """Return what each bin adds to the PSI."""
    added = ADDED * len(counts)
    rows = reference.rows
    now = [(count + ADDED) / (sum(counts) + added) for count in counts]
    then = [(share * rows + ADDED) / (rows + added) for share in reference.shares]
    return [(q - p) * math.log(q / p) for q, p in zip(now, then, strict=True)]


def noise(reference: Reference, rows: int) -> float:
    """Return the PSI that rows of the reference's distribution exceed with a probability of CHANCE.

    With b bins, n rows and m reference rows the PSI is about (1/n + 1/m) times a chi-squared
    variable with b - 1 degrees of freedom. The bound of such a variable is from Laurent and Massart
    (2000), lemma 1. The probability is CHANCE at most.
    """
    degrees = max(sum(share > 0 for share in reference.shares) - 1, 1)
    rare = -math.log(CHANCE)
    bound = degrees + 2 * math.sqrt(degrees * rare) + 2 * rare
    return (1 / max(rows, 1) + 1 / reference.rows) * bound


def change(reference: Reference, counts: Sequence[int]) -> tuple[str, float, float]:
    """Return what has changed most: a part of the rows as text, its share before, its share now.

    If all values of the reference are missing, the part is the values that are not missing. If the
    missing values add most to the PSI, it is the missing values. Otherwise it is the values above
    the edge at which the two distributions differ most, or the values below the reference's range.
    """
    now = [count / max(sum(counts), 1) for count in counts]
    if reference.shares[-1] == 1:
        return "are not missing", 0.0, 1 - now[-1]
    added = parts(reference, counts)
    if added[-1] == max(added):
        return "are missing", reference.shares[-1], now[-1]
    below, then = list(accumulate(now[:-2])), list(accumulate(reference.shares[:-2]))
    place = max(range(len(below)), key=lambda i: abs(below[i] - then[i]))
    found = reference.edges[place]
    edge = f"{found:.6g}" if abs(found) < 1e6 else f"{found:.0f}"
    if place == 0 and below[0] > then[0]:
        return f"are below {edge} (the smallest in training)", then[0], below[0]
    missing = reference.shares[-1], now[-1]
    words = f"are above {edge}"
    if place == len(below) - 1:
        words += " (the largest in training)"
    return words, max(1 - then[place] - missing[0], 0.0), max(1 - below[place] - missing[1], 0.0)
