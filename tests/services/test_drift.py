"""With a real scoring server, drift is reported with the feature's name, and noise is not reported.

The rows are the first day of the real sample that FRAUD_DATA names. Without FRAUD_DATA they are synthetic.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from drift_rows import later_hours, make_model
from prometheus_client.parser import text_string_to_metric_families
from scoring import VERSION, Server, serving, wait_until
from trackbox_serving.drift import stability
from trackbox_serving.drift.profile import Profile, read
from trackbox_serving.drift.stability import LIMIT
from trackbox_serving.follower import drift as following
from trackbox_serving.follower.drift import Drift, Model, Watch, drift_metrics, parse
from trackbox_serving.names import FOLLOWER
from trackbox_serving.settings import Settings
from trackbox_serving.version import Version

ROWS = 10_000
RULES = Path(__file__).parents[2] / "roles/monitoring/files/rules.yml"
[RULE] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"] if rule["alert"] == "Drift"
]
ACTION = RULE["annotations"]["action"]


@dataclass
class Rows:
    """The state folder with a model that was trained on the reference rows, and the rows of later hours."""

    state: Path
    profile: Profile
    deviations: pd.Series
    later: pd.DataFrame

    def draw(self, seed: int) -> pd.DataFrame:
        """Return ROWS random rows of later hours."""
        return self.later.sample(ROWS, replace=True, random_state=seed, ignore_index=True)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    state = tmp_path_factory.mktemp("state")
    reference, later = later_hours(os.environ.get("FRAUD_DATA"))
    make_model(state / "models/fraud" / VERSION, "fraud", reference)
    profile = read(state / "models/fraud" / VERSION / "model")
    assert profile
    return Rows(state, profile, reference.std(), later)


@pytest.fixture(scope="module")
def server(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two processes that keeps no log."""
    with serving(rows.state, "fraud", tmp_path_factory.mktemp("run"), processes=2, max_rows=ROWS) as running:
        yield running


def send(server: Server, frame: pd.DataFrame, **headers: str) -> None:
    """Let the server score rows, as Parquet."""
    body = io.BytesIO()
    frame.to_parquet(body)
    reply = server.ask("/invocations", body.getvalue(), "application/vnd.apache.parquet", **headers)
    assert reply.status == 200, reply.body


def counted(server: Server) -> int:
    """Return the number of rows that were counted."""
    return int(server.ask("/drift").json["rows"])


def windows(server: Server, rows: Rows, frames: list[pd.DataFrame]) -> Drift:
    """Let the server score the rows of each frame; return the follower's drift with a window for each frame."""
    drift = Drift(rows.profile, seconds=0)
    for frame in [None, *frames]:
        if frame is not None:
            before = counted(server)
            send(server, frame)
            # A batch ends after ROWS rows, so these rows are counted without a delay.
            wait_until(lambda: counted(server) == before + ROWS)  # noqa: B023
        found = parse(server.ask("/drift").body, rows.profile)
        assert found
        drift.add(found, 0.0)
    return drift


def values(text: str, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric by the values of some labels."""
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"trackbox_serving_drift_{name}"
    }


def named(drift: Drift) -> set[str]:
    """Return the features that the alert names: their index exceeds the limit and the noise in both windows."""
    text = drift_metrics([Model("fraud", VERSION, drift)])
    psi, noise = (values(text, name, "feature", "window") for name in ("psi", "noise"))
    high = {key for key, value in psi.items() if value > LIMIT and value > noise[key]}
    return {feature for feature, _ in high if {(feature, "last"), (feature, "before")} <= high}


def test_the_alert_has_the_limit_of_the_program() -> None:
    assert f"trackbox_serving_drift_psi > {LIMIT} and" in RULE["expr"]


def test_later_hours_of_the_same_day_raise_nothing_in_20_draws(server: Server, rows: Rows) -> None:
    highest = []
    for seed in range(0, 20, 2):
        drift = windows(server, rows, [rows.draw(seed), rows.draw(seed + 1)])
        assert len(drift.windows) == 2
        psi = values(drift_metrics([Model("fraud", VERSION, drift)]), "psi", "feature", "window")
        assert len(psi) == 2 * 30
        highest.append(max(psi.items(), key=lambda item: item[1]))
    print(sorted(highest, key=lambda item: -item[1]))
    # No index is above the limit in any window.
    assert max(value for _, value in highest) < LIMIT, highest


def shifted(column: str, deviations: float) -> Callable[[pd.DataFrame, Rows], pd.Series]:
    return lambda frame, rows: frame[column] + deviations * rows.deviations[column]


def missing(column: str, share: float) -> Callable[[pd.DataFrame, Rows], pd.Series]:
    return lambda frame, _: frame[column].where(np.random.default_rng(0).random(len(frame)) >= share)


@pytest.mark.parametrize(
    ("column", "change", "says"),
    [
        ("V14", shifted("V14", 0.5), "are above"),
        ("V7", shifted("V7", -0.5), "are above"),
        ("V2", shifted("V2", 0.5), "are above"),
        ("Amount", lambda frame, _: frame["Amount"] * 100, "are above"),
        ("Amount", lambda frame, _: frame["Amount"] / 100, "are above"),
        ("V19", lambda frame, _: frame["V19"] * 10, ""),
        ("V4", missing("V4", 0.05), "are missing"),
        ("V26", missing("V26", 1.0), "are missing"),
        ("V10", lambda frame, _: frame["V10"] * 0 + 1e6, "(the largest in training)"),
        ("V11", lambda frame, _: frame["V11"] * 0 - 1e6, "(the smallest in training)"),
        ("V28", lambda frame, _: frame["V28"] * 0, ""),
    ],
)
def test_a_change_is_named_within_two_windows(
    server: Server, rows: Rows, column: str, change: Callable[[pd.DataFrame, Rows], pd.Series], says: str
) -> None:
    frames = [frame.assign(**{column: change(frame, rows)}) for frame in (rows.draw(100), rows.draw(101))]
    # One window with the change raises no alert, because a column must drift in two windows.
    assert named(windows(server, rows, frames[:1])) == set()
    drift = windows(server, rows, frames)
    # Only this column drifts. The scores may drift, too, because the model uses the column.
    assert named(drift) - {"score"} == {column}
    parts = values(drift_metrics([Model("fraud", VERSION, drift)]), "share", "feature", "part", "reference")
    [(part, reference, share)] = [(key[1], key[2], value) for key, value in parts.items() if key[0] == column]
    assert says in part
    assert abs(share - float(reference.rstrip("%")) / 100) > 0.04


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed: make tools")
def test_prometheus_raises_the_alert_with_a_sentence(server: Server, rows: Rows, tmp_path: Path) -> None:
    frames = [frame.assign(Amount=frame["Amount"] * 100) for frame in (rows.draw(100), rows.draw(101))]
    drift = windows(server, rows, frames)
    text = drift_metrics([Model("fraud", VERSION, drift)])
    series = [line.rpartition(" ")[::2] for line in text.splitlines() if not line.startswith("#")]
    shares = values(text, "share", "feature", "part", "reference")
    raised = [
        {
            "exp_labels": {"model": "fraud", "version": VERSION, "feature": feature, "severity": "warning"},
            "exp_annotations": {
                "summary": f"Version {VERSION} of fraud scores rows whose {feature} differs from its training: "
                f"{share * 100:.4g}% {part} now, {reference} were in training.",
                "action": ACTION,
            },
        }
        for (feature, part, reference), share in shares.items()
        if feature in named(drift)
    ]
    assert "Amount" in str(raised)
    tests = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{value}x3"} for name, value in series],
        "alert_rule_test": [{"eval_time": "1m", "alertname": "Drift", "exp_alerts": raised}],
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [tests]}))
    command = ["promtool", "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_half_a_standard_deviation_is_high_in_most_features(rows: Rows) -> None:
    found = {}
    for reference in rows.profile.columns:
        for deviations in (-0.5, 0.5):
            moved = rows.later[reference.name] + deviations * rows.deviations[reference.name]
            places = np.searchsorted(reference.edges, moved)
            counts = np.bincount(places, minlength=len(reference.shares)).tolist()
            found[reference.name, deviations] = stability.index(reference, counts)
    low = {key: round(value, 2) for key, value in found.items() if value <= LIMIT}
    # The index of a normal distribution is 0.24, and most features have longer tails. Some indices are low, because the
    # later time of day already moves a feature in one direction, and a shift in the other direction cancels a part.
    assert len(low) <= 6, low
    print(low)


def test_the_follower_asks_the_live_version_and_writes_metrics(
    server: Server, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "ASKED", 0.0)
    version = Version(Settings(state=rows.state, run=tmp_path), "fraud", VERSION)
    version.socket.parent.mkdir()
    version.socket.symlink_to(server.path)
    watch = Watch()
    watch.look(version, "1")
    drift = watch.models["fraud"][1]
    assert drift

    def looked(condition: Callable[[], object]) -> bool:
        watch.look(version, "1")
        return bool(condition())

    # A busy server may respond after the timeout. Then the follower asks again.
    wait_until(lambda: looked(lambda: drift.last))
    assert watch.metrics({"fraud": VERSION}) == ""
    drift.seconds = 0.0
    before = counted(server)
    send(server, rows.draw(7))
    wait_until(lambda: counted(server) == before + ROWS)
    wait_until(lambda: looked(lambda: drift.windows))
    text = watch.metrics({"fraud": VERSION})
    assert values(text, "rows", "window") == {("last",): ROWS}
    flagged = values(text, "flagged_share", "window")
    assert flagged[("reference",)] == rows.profile.flagged
    assert 0 < flagged[("last",)] < 0.5
    assert f'feature="V1",model="fraud",version="{VERSION}",window="last"' in text
    # There are no metrics if another version is live, or if the number now belongs to a new version.
    assert watch.metrics({"fraud": "8"}) == ""
    watch.look(version, "2")
    assert watch.metrics({"fraud": VERSION}) == ""


def test_rows_of_each_process_and_form_count_once_and_those_of_the_follower_do_not(rows: Rows, tmp_path: Path) -> None:
    with serving(rows.state, "fraud", tmp_path, processes=2, max_rows=3 * ROWS, log="scores") as server:
        began = server.ask("/drift").json["began"]
        send(server, rows.draw(1), X_Forwarded_User=FOLLOWER)
        send(server, rows.draw(2), X_Forwarded_User="ann")
        wait_until(lambda: counted(server) == ROWS)
        [victim, _] = server.workers()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(server.workers()) == 2 and victim not in server.workers())
        # MLflow's functions read this body, because it contains numbers as text.
        part = rows.draw(3).astype({"V1": str})
        document = {"dataframe_split": {"columns": list(part.columns), "data": part.to_numpy().tolist()}}
        assert server.score(document).status == 200
        wait_until(lambda: counted(server) == 2 * ROWS)
        # Send more rows than one block of the counting contains.
        send(server, pd.concat([rows.draw(4)] * 2 + [rows.draw(5)[:5000]]))
        wait_until(lambda: counted(server) == 4 * ROWS + 5000)
        found: dict[str, Any] = server.ask("/drift").json
        assert {sum(counts) for counts in found["counts"]} == {4 * ROWS + 5000}
        # The counts of the killed process are kept.
        assert found["began"] == began
        assert server.stop() == 0
        assert "not counted" not in server.log.read_text()
