"""`fraud monitor`: the log in a real MinIO, models and the run in a real MLflow."""

import io
import json
import re
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import boto3
import mlflow.artifacts
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow import MlflowClient

from fraud import monitor as monitoring
from fraud.cli.main import run
from fraud.data import traffic as reading
from fraud.data.schema import FEATURES, LABEL
from fraud.data.split import split
from fraud.data.traffic import PART, Repetitions, Traffic
from fraud.evaluation.metrics import wilson
from fraud.models.loading import LoadedModel, load_model
from fraud.settings import Settings

NOW = datetime.now(timezone.utc)
Write = Callable[..., None]


@dataclass(frozen=True)
class Served:
    """A registered version, with rows on which it was not trained."""

    model: str
    version: str
    loaded: LoadedModel
    rows: pd.DataFrame

    def logged(
        self, rows: pd.DataFrame, at: datetime | None = None, name: str = "r"
    ) -> pd.DataFrame:
        """A table of the log: the rows were sent in requests of two rows, by default now."""
        at = at or datetime.now(timezone.utc)
        scores = self.loaded.predict(rows)
        count = len(rows)
        table = pd.DataFrame({
            "request_id": [f"{name}-{number // 2}" for number in range(count)],
            "row": (np.arange(count) % 2).astype("int32"), "time": at, "user": "ann",
            "version": self.version, "latency_ms": 1.0,
        })  # fmt: skip
        features = rows[FEATURES].reset_index(drop=True)
        decided = {"score": scores, "decision": (scores >= self.loaded.threshold).astype("int8")}
        return pd.concat([table, features, pd.DataFrame(decided)], axis=1)


@pytest.fixture
def served(
    settings: Settings, client: MlflowClient, small: pd.DataFrame, small_csv: Path
) -> Served:
    """A version that `fraud train` trained on the synthetic rows, and its test rows."""
    assert (
        run(["train", "--data", str(small_csv), "--models", "logistic", "--quiet", "--json"]) == 0
    )
    [found] = client.search_runs(
        [client.get_experiment_by_name(settings.experiment).experiment_id],
        "tags.role = 'comparison'",
    )
    model = found.data.tags["best.model"]
    client.create_registered_model(settings.experiment)
    version = client.create_model_version(
        settings.experiment, f"models:/{model}", found.data.tags["best.run"], model_id=model
    ).version
    loaded = load_model(f"models:/{settings.experiment}/{version}", settings.tracking_uri)
    return Served(settings.experiment, str(version), loaded, split(small, "time", 0).test)


@pytest.fixture
def write(settings: Settings, bare: pytest.MonkeyPatch) -> Write:
    """A function that stores a table of the log in the test's bucket, as serving does."""
    bare.setenv("FRAUD_LOG_BUCKET", settings.bucket)
    client = boto3.session.Session().client("s3", endpoint_url=settings.s3_endpoint)

    def write(table: pd.DataFrame | bytes, below: str = "", day: datetime = NOW) -> None:
        buffer = io.BytesIO()
        if isinstance(table, bytes):
            buffer.write(table)
        else:
            table.to_parquet(buffer)
        key = f"{settings.bucket}/{below}date={day:%Y-%m-%d}/{time.monotonic_ns()}.parquet"
        client.put_object(Bucket=settings.bucket, Key=key, Body=buffer.getvalue())

    return write


def labels(table: pd.DataFrame, given: Any) -> pd.DataFrame:
    """Labels of rows of the log."""
    return table[["request_id", "row"]].assign(label=np.asarray(given, float), time=NOW, user="ann")


def monitor(
    capsys: pytest.CaptureFixture[str], settings: Settings, *arguments: str
) -> dict[str, Any]:
    """Run the command, and return its decoded JSON output."""
    capsys.readouterr()
    assert run(["monitor", "--model", settings.experiment, "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refusal(
    capsys: pytest.CaptureFixture[str], settings: Settings, code: int, *arguments: str
) -> str:
    """Run the command, which must fail with this exit code, and return its sentence."""
    capsys.readouterr()
    assert run(["monitor", "--model", settings.experiment, *arguments]) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


class Page(HTMLParser):
    """Collects what a page asks for from elsewhere, its headings, and pictures without a text."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[str] = []
        self.silent: list[str] = []
        self.tags: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        source = given.get("src") or ""
        if (source and not source.startswith("data:")) or tag in ("script", "link", "iframe"):
            self.requests.append(f"{tag} {source}")
        if tag == "img" and (given.get("alt") or ".png").endswith(".png"):
            self.silent.append(tag)
        if tag == "th" and given.get("scope") != "col":
            self.silent.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)


def page_of(settings: Settings, run_id: str) -> str:
    path = mlflow.artifacts.download_artifacts(
        artifact_uri=f"runs:/{run_id}/report.html", tracking_uri=settings.tracking_uri
    )
    return Path(path).read_text("utf-8")


def test_rows_like_those_of_the_training_have_no_drift_and_an_estimate_near_the_labels(
    served: Served, write: Write, settings: Settings, client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    logged = served.logged(served.rows)
    write(logged)
    own = served.logged(served.rows.head(10), name="own").assign(user="trackbox-follower")
    write(own)
    write(b"no Parquet")
    truth = served.rows[LABEL].to_numpy()
    write(labels(logged, truth), "labels/")
    found = monitor(capsys, settings)
    [one] = found["versions"]
    assert (one["version"], one["rows"], one["requests"]) == (served.version, 1000, 500)
    assert one["first"] == one["last"] == f"{NOW:%Y-%m-%d}"
    assert not any(change["drifted"] for change in one["changes"])
    assert {change["name"] for change in one["changes"]} == {*FEATURES, "score"}
    [said] = found["sentences"]
    assert said[0].startswith("Nothing drifted: the largest index is 0.")
    assert found["notes"] == ["1 objects of the log could not be read."]
    # All labels came back, so the real precision and recall are those of the rows.
    flagged = logged["decision"].to_numpy() == 1
    caught = int(truth[flagged].sum())
    for name, total in (("precision", int(flagged.sum())), ("recall", int(truth.sum()))):
        real = one["real"][name]
        assert [real[key] for key in ("value", "low", "high")] == pytest.approx(
            wilson(caught, total)
        )
        assert one[name]["low"] <= real["value"] <= one[name]["high"]
        assert abs(one[name]["value"] - real["value"]) < 0.1
        assert f"{name} {real['value']:.3f} [" in said[-1]
    tracked = client.get_run(found["run"])
    assert (tracked.data.tags["role"], tracked.info.status) == ("monitoring", "FINISHED")
    assert tracked.data.tags["drifted"] == "nothing"
    metrics, name = tracked.data.metrics, f"version_{served.version}"
    assert metrics[f"estimated_recall.{name}"] == pytest.approx(one["recall"]["value"])
    assert metrics[f"recall.{name}"] == pytest.approx(one["real"]["recall"]["value"])
    assert metrics[f"flagged_share.{name}"] == pytest.approx(flagged.mean())
    assert metrics[f"index.Amount.{name}"] < 0.25
    [daily] = client.get_metric_history(found["run"], f"daily_flagged_share.{name}")
    assert daily.step == (NOW.date() - date(1970, 1, 1)).days
    files = {item.path: item.file_size for item in client.list_artifacts(found["run"])}
    pictures = {f"index_{name}.png", f"scores_{name}.png", "precision_recall.png"}
    assert set(files) == pictures | {
        "flagged.png", "rows_by_day.png", "changes.csv", "report.html"
    }  # fmt: skip
    assert all(5_000 < files[name] < 100_000 for name in files if name.endswith(".png"))


def test_the_report_says_first_what_drifted_and_asks_for_nothing_from_elsewhere(
    served: Served, write: Write, settings: Settings, client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cents = served.rows.assign(Amount=served.rows["Amount"] * 100)
    logged = served.logged(cents)
    # The values of V4 are missing after the model scored the row.
    logged.loc[:99, "V4"] = np.nan
    write(logged)
    found = monitor(capsys, settings)
    [one] = found["versions"]
    changes = {change["name"]: change for change in one["changes"]}
    assert changes["V4"]["missing"] == pytest.approx(0.1)
    assert changes["Amount"]["outside"] > 0.02
    assert changes["Amount"]["drifted"]
    [said] = found["sentences"]
    assert re.match(
        r"Drift of \d of 29 features( and of the scores)?: an index above 0\.25", said[0]
    )
    assert any(re.match(r"Amount: \d\d\S*% are above \d", sentence) for sentence in said)
    assert any(re.match(r"V4: 10% are missing now, 0% were in", sentence) for sentence in said)
    assert "No row has a label yet." in said
    assert any("less certain" in sentence for sentence in said)
    assert "Amount (version 1)" in client.get_run(found["run"]).data.tags["drifted"]
    text = page_of(settings, found["run"])
    page = Page()
    page.feed(text)
    assert page.requests == page.silent == []
    assert '<html lang="en">' in text
    assert page.headings == ["h1", "h2", "h2", "h2"]
    assert text.index(said[0]) < text.index("<h2>")
    assert page.tags.count("img") == 5
    assert "url(" not in text
    assert len(text) < 500_000


def test_a_column_name_is_text_in_the_report_and_a_metric_in_mlflow(
    served: Served, write: Write, settings: Settings, client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Names of columns come from the model, and may have any character."""
    odd = "<script>alert(1)</script> $x_$ %/é"
    profile = profile_of(client, served)
    profile["columns"] = [{**profile["columns"][0], "name": odd}, profile["columns"][1]]
    replace_profile(client, served, json.dumps(profile))
    write(served.logged(served.rows).rename(columns={"V1": odd}))
    found = monitor(capsys, settings)
    assert {change["name"] for change in found["versions"][0]["changes"]} == {odd, "V2", "score"}
    assert "<script>" not in page_of(settings, found["run"])
    assert len(client.get_run(found["run"]).data.metrics) > 10


def profile_of(client: MlflowClient, served: Served) -> dict[str, Any]:
    """The reference profile of a version, decoded."""
    path = mlflow.artifacts.download_artifacts(
        artifact_uri=f"models:/{served.model}/{served.version}/reference_profile.json",
        tracking_uri=client.tracking_uri,
    )
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def replace_profile(client: MlflowClient, served: Served, text: str | None) -> None:
    """Overwrite the reference profile of a version, or register it anew without one."""
    uri = client.get_model_version_download_uri(served.model, served.version)
    if not uri.startswith("models:/m-"):
        uri = client.get_model_version(served.model, served.version).source
    model = client.get_logged_model(uri.removeprefix("models:/"))
    folder = Path(mlflow.artifacts.download_artifacts(
        artifact_uri=uri, tracking_uri=client.tracking_uri
    ))  # fmt: skip
    profile = folder / "reference_profile.json"
    if text is not None:
        profile.write_text(text)
        client.log_model_artifacts(model.model_id, str(folder))
        return
    profile.unlink()
    client.delete_model_version(served.model, served.version)
    new = client.create_logged_model(model.experiment_id, name="bare")
    client.log_model_artifacts(new.model_id, str(folder))
    client.finalize_logged_model(new.model_id, "READY")
    client.create_model_version(served.model, f"models:/{new.model_id}", model_id=new.model_id)


def test_versions_without_a_profile_are_counted_beside_those_with_one(
    served: Served, write: Write, settings: Settings, client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    logged = served.logged(served.rows)
    write(logged)
    write(served.logged(served.rows, name="s").assign(version="7"))
    found = monitor(capsys, settings)
    assert [one["version"] for one in found["versions"]] == ["1", "7"]
    assert found["versions"][1]["changes"] == []
    metrics = client.get_run(found["run"]).data.metrics
    assert metrics["drifted.version_1"] == 0
    assert "drifted.version_7" not in metrics
    assert "Version 7 of" in found["notes"][0]
    assert "was deleted from the registry" in found["notes"][0]
    assert [one["version"] for one in monitor(capsys, settings, "--version", "1")["versions"]] == [
        "1"
    ]
    # A profile that cannot be used, and one without a calibration.
    profile = profile_of(client, served)
    replace_profile(client, served, json.dumps(profile | {"schema": 9}))
    run_id = client.get_model_version(served.model, served.version).run_id
    assert (
        f"The reference profile of version 1, made by the run {run_id}, cannot be used, because "
        "it does not have the schema 1: train and promote a model anew."
    ) in refusal(capsys, settings, 5)
    del profile["calibration"]
    replace_profile(client, served, json.dumps(profile))
    found = monitor(capsys, settings, "--version", "1")
    assert (found["versions"][0]["precision"], found["versions"][0]["recall"]) == (None, None)
    assert "no calibration" in found["notes"][0]
    assert not any("Estimated" in sentence for sentence in found["sentences"][0])


def test_a_version_without_a_profile_is_refused_with_a_sentence(
    served: Served, write: Write, settings: Settings, client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    replace_profile(client, served, None)
    write(served.logged(served.rows.head(10)).assign(version="2"))
    said = refusal(capsys, settings, 5, "--version", "2")
    assert "Version 2 of" in said
    assert "has no reference profile, so its rows were not compared. `fraud train`" in said


def test_an_empty_period_and_an_unknown_version_are_refused_with_a_sentence(
    served: Served, write: Write, settings: Settings, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert "has no version 4" in refusal(capsys, settings, 5, "--version", "4")
    # With serving_log: off, the bucket has no object of the model.
    said = refusal(capsys, settings, 3)
    assert "has no logged rows of" in said
    assert "serving_log is not `off`" in said
    before = NOW - timedelta(days=40)
    write(served.logged(served.rows, before), day=before)
    assert "has no logged rows of" in refusal(capsys, settings, 3)
    said = refusal(capsys, settings, 3, "--days", "50")
    assert "only of a deleted model of that name" in said
    with monkeypatch.context() as patch:
        patch.setattr(monitoring, "creation", lambda *_: before)
        assert monitor(capsys, settings, "--days", "50")["versions"][0]["rows"] == 1000
    # A log that cannot be read at all is an error, and no quiet month.
    write(b"PAR1 cut off")
    said = refusal(capsys, settings, 4)
    assert f"1 objects of the log of {settings.experiment} cannot be read" in said
    write(served.logged(served.rows).assign(version="3"))
    said = refusal(capsys, settings, 3, "--version", served.version)
    assert f"Version {served.version} of" in said
    assert "scored no rows from" in said
    assert "These versions did: 3." in said
    assert run(["monitor", "--days", "0"]) == 2


def test_a_log_of_scores_alone_has_the_drift_of_the_scores_and_the_estimate(
    served: Served, write: Write, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    write(served.logged(served.rows.head(100)).drop(columns=FEATURES))
    found = monitor(capsys, settings)
    [one] = found["versions"]
    assert [change["name"] for change in one["changes"]] == ["score"]
    assert one["precision"]["value"] > 0.5
    [said] = found["sentences"]
    assert any("Only scores were logged" in sentence for sentence in said)
    assert any("100 rows are few" in sentence for sentence in said)
    assert run(["monitor", "--model", settings.experiment]) == 0
    printed = capsys.readouterr().out
    assert "Version 1, 100 rows in 50 requests" in printed
    assert "  Estimated without labels: precision " in printed


def test_a_row_that_was_logged_twice_counts_once(
    served: Served, write: Write, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A request whose process ends is sent again with its identifier."""
    logged = served.logged(served.rows)
    write(logged)
    write(logged.tail(300).assign(time=logged["time"] + timedelta(seconds=1)))
    write(pd.concat([served.logged(served.rows.head(4), name="new"), logged.head(2)]))
    [one] = monitor(capsys, settings)["versions"]
    assert (one["rows"], one["requests"]) == (1004, 502)
    assert one["featured"] == 1004


def test_rows_of_a_deleted_model_of_the_same_name_do_not_count(
    served: Served, write: Write, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    write(served.logged(served.rows))
    write(served.logged(served.rows.head(200), NOW - timedelta(minutes=1), name="old"))
    found = monitor(capsys, settings)
    assert [(one["version"], one["rows"]) for one in found["versions"]] == [("1", 1000)]
    [note] = found["notes"]
    assert note.startswith("200 rows are older than version 1 of ")


def test_repeated_rows_are_looked_for_among_those_of_two_days() -> None:
    def rows(*requests: str) -> pd.DataFrame:
        return pd.DataFrame({"request_id": requests, "row": 0, "version": "1"})

    repetitions = Repetitions()
    repetitions.begin("date=2026-11-01")
    assert len(repetitions.drop(rows("a", "b"))) == 2
    assert len(repetitions.drop(rows())) == 0
    assert list(repetitions.drop(rows("b", "c"))["request_id"]) == ["c"]
    # The same row of another version, and another row of the request.
    assert len(repetitions.drop(rows("a").assign(version="2"))) == 1
    assert len(repetitions.drop(rows("a").assign(row=1))) == 1
    repetitions.begin("date=2026-11-02")
    assert list(repetitions.drop(rows("c", "d"))["request_id"]) == ["d"]
    repetitions.begin("date=2026-11-04")
    assert list(repetitions.drop(rows("c", "d"))["request_id"]) == ["c"]
    assert len(repetitions.earlier) == 1


def test_memory_does_not_grow_with_the_rows(
    served: Served, write: Write, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WAITING", 2)
    table = served.logged(served.rows.sample(PART, replace=True, random_state=1))
    for number in range(12):
        write(table.assign(request_id=f"{number}-" + table["request_id"]))
    rows = replace(settings, log_bucket=settings.bucket)
    tracemalloc.start()
    peak = begin = pa.total_allocated_bytes()
    traffic = Traffic(rows, settings.experiment, NOW.date(), NOW.date())
    for _ in traffic:
        peak = max(peak, pa.total_allocated_bytes())
    # All rows take 40 MB and more.
    taken = tracemalloc.get_traced_memory()[1] + peak - begin
    tracemalloc.stop()
    assert traffic.rows == 120_000
    assert taken < 30e6
