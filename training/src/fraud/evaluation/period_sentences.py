"""The sentences at the top of a period's report: drift, flagged rows, precision and recall."""

from __future__ import annotations

from fraud.evaluation import stability
from fraud.types import Monitored


def percent(share: float) -> str:
    """A share as a percentage: `95%`, `0.17%`, `0%`."""
    return f"{share * 100:.2g}%" if 0 < share < 0.0995 else f"{share * 100:.0f}%"


def sentences(its: Monitored) -> tuple[str, ...]:
    """The sentences about a version: drift, flagged rows, precision and recall."""
    return (
        *drift_sentences(its),
        *flagged_sentences(its),
        *estimate_sentences(its),
        *label_sentences(its),
    )


def drift_sentences(its: Monitored) -> list[str]:
    """Whether something drifted, what, and by how much."""
    if not its.changes:
        return []
    limit = f"an index above {stability.LIMIT} counts as drift"
    drifted = [one for one in its.changes if one.drifted]
    if drifted:
        features = sum(one.name != "score" for one in drifted)
        names = [f"{features} of {len(its.changes) - 1} features"] if features else []
        names += ["the scores"] if features < len(drifted) else []
        found = [f"Drift of {' and of '.join(names)}: {limit}."]
        found += [f"{one.title}: {one.text}" for one in drifted]
    else:
        first = its.changes[0]
        largest = f"the largest index is {first.index:.2g} ({first.name})"
        found = [f"Nothing drifted: {largest}; {limit}."]
    if not its.featured:
        found.append("Only scores were logged (serving_log), so features were not compared.")
    blind = max(one.noise for one in its.changes)
    if blind > stability.LIMIT:
        found.append(
            f"{its.rows:,} rows are few: by chance alone an index may be {blind:.2g}, so a smaller "
            "drift is not seen."
        )
    return found


def flagged_sentences(its: Monitored) -> list[str]:
    """The share of flagged rows."""
    if its.flagged is None:
        return ["The version has no threshold, so no row was flagged."]
    before = its.flagged_before
    rest = "" if before is None else f", {percent(before)} when the model was made"
    return [f"{percent(its.flagged)} of the rows were flagged{rest}."]


def estimate_sentences(its: Monitored) -> list[str]:
    """Precision and recall, estimated without labels."""
    known = []
    for name, now, before in (
        ("precision", its.precision, its.precision_before),
        ("recall", its.recall, its.recall_before),
    ):
        if now:
            rest = "" if before is None else f" ({before:.3f} when the model was made)"
            known.append(f"{name} {now}{rest}")
    if not known:
        return []
    found = [f"Estimated without labels: {', '.join(known)}."]
    if any(one.drifted for one in its.changes):
        found.append("Drift makes this estimate less certain than its interval says.")
    return found


def label_sentences(its: Monitored) -> list[str]:
    """Precision and recall of the rows whose labels came back."""
    real = [f"{name} {share}" for name, share in its.real.shares.items()]
    if real:
        return [f"By the {its.real.labelled:,} rows with a label: {', '.join(real)}."]
    if its.real.labelled:
        return [f"The {its.real.labelled:,} rows with a label have no fraud and no flagged row."]
    return ["No row has a label yet."]
