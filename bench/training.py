"""How long training and prediction take, and how much memory, beside what they replace.

Usage, with training/.venv's Python from the repository's root, on a quiet machine:

    training/.venv/bin/python bench/training.py            servers of its own on the loopback
    eval "$(make -s env)"; … bench/training.py --here      the servers of the environment

Procedures are whole processes, from the start of Python to its end, and take turns. Writes
bench/results/training.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "training" / "tests"))

import servers  # noqa: E402
from fraud import synthetic  # noqa: E402
from fraud.schema import FEATURES  # noqa: E402

FRAUD = [sys.executable, "-m", "fraud"]
TIMED = Path(__file__).with_name("predict_rate.py")


@dataclass(frozen=True)
class Run:
    """One process: wall-clock seconds and peak memory in MB."""

    seconds: float
    memory: float


def timed(command: list[str]) -> Run:
    """Run a command to its end, quietly; raises if it fails."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            out.seek(0)
            raise RuntimeError(f"{command}: {out.read().decode()[-2000:]}")
    return Run(time.perf_counter() - began, usage.ru_maxrss / 1024)


def procedures(csv: Path) -> dict[str, list[str]]:
    """The three that are compared, by what they are called in the results."""
    train = [*FRAUD, "train", "--data", "synthetic", "--quiet"]
    return {
        "(a) the replaced procedure": [sys.executable, str(ROOT / "bench/replaced.py"), str(csv)],
        "(b) `fraud train --profile seed`": [*train, "--profile", "seed"],
        "(c) `fraud train`": [*train, "--profile", "default"],
    }


def compare(csv: Path, rounds: int) -> list[str]:
    """Lines of a table: medians of `rounds`, the procedures taking turns."""
    found: dict[str, list[Run]] = {}
    for number in range(rounds):
        for name, command in procedures(csv).items():
            run = timed(command)
            print(f"round {number + 1}: {name}: {run.seconds:.1f} s, {run.memory:.0f} MB")
            found.setdefault(name, []).append(run)
    first = statistics.median(run.seconds for run in next(iter(found.values())))
    lines = ["| procedure | median, s | each, s | share of (a) | peak memory, MB |"]
    lines += ["| --- | ---: | --- | ---: | ---: |"]
    for name, runs in found.items():
        seconds = [run.seconds for run in runs]
        median = statistics.median(seconds)
        each = ", ".join(f"{value:.1f}" for value in seconds)
        peak = max(run.memory for run in runs)
        lines.append(f"| {name} | {median:.1f} | {each} | {median / first:.2f} | {peak:.0f} |")
    return lines


def write_rows(path: Path, count: int) -> None:
    """A Parquet file of `count` rows of the synthetic set, no two alike."""
    frame = synthetic.generate()[FEATURES]
    rng = np.random.default_rng(0)
    schema = pa.schema([(name, pa.float64()) for name in FEATURES])
    with pq.ParquetWriter(path, schema) as file:
        for start in range(0, count, len(frame)):
            part = frame.head(count - start) * rng.uniform(0.99, 1.01, (1, len(FEATURES)))
            file.write_table(pa.Table.from_pandas(part, schema, preserve_index=False))


def predict(folder: Path, rows: int) -> list[str]:
    """Lines of a table: rows a second of `fraud predict` and of the bare model."""
    lines = ["| champion | rows | bare, rows/s | `fraud predict`, rows/s | ratio | peak, MB |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: |"]
    for count in (rows // 10, rows):
        write_rows(folder / f"{count}.parquet", count)
    for model in ("xgboost", "histogram-boosting"):
        train = [*FRAUD, "train", "--data", "synthetic", "--models", model, "--quiet"]
        timed(train)
        timed([*FRAUD, "promote", "--force"])
        for count in (rows // 10, rows):
            source = folder / f"{count}.parquet"
            command = [sys.executable, str(TIMED), str(source), str(folder / "scores.parquet")]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            r = json.loads(said)
            print(model, r)
            lines.append(
                f"| {model} | {count:,} | {r['bare']:,.0f} | {r['ours']:,.0f} "
                f"| {r['ours'] / r['bare']:.2f} | {r['memory']:.0f} |"
            )
    return lines


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--here", action="store_true", help="use the servers of the environment")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=10_000_000, help="to predict; 0: none")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        where = "the servers of the environment"
        if not options.here:
            where = "MLflow on SQLite and MinIO on the loopback"
            start_servers(stack, folder)
        csv = folder / "creditcard.csv"
        synthetic.generate().to_csv(csv, index=False)
        timed([*FRAUD, "train", "--data", "synthetic", "--models", "dummy", "--quiet"])  # stores it
        lines = compare(csv, options.rounds) if options.rounds else []
        if options.rows:
            lines += ["", *predict(folder, options.rows)]
    write_results(where, lines)


def start_servers(stack: ExitStack, folder: Path) -> None:
    """Start both servers and point the environment at them."""
    import boto3

    binary = servers.minio_binary()
    if binary is None:
        raise SystemExit("No MinIO binary: `make up` builds one, or let TRACKBOX_MINIO name it.")
    for name in ("mlflow", "minio"):
        (folder / name).mkdir()
    uri = stack.enter_context(servers.mlflow_server(folder / "mlflow"))
    endpoint = stack.enter_context(servers.minio_server(binary, folder / "minio"))
    os.environ.update(servers.s3_environment(endpoint) | {"MLFLOW_TRACKING_URI": uri})
    os.environ.pop("AWS_CA_BUNDLE", None)
    boto3.client("s3").create_bucket(Bucket="datasets")


def write_results(where: str, lines: list[str]) -> None:
    """Write bench/results/training.md."""
    results = ROOT / "bench" / "results" / "training.md"
    results.parent.mkdir(exist_ok=True)
    load = os.getloadavg()[2]
    results.write_text(
        "# Training and prediction\n\n"
        f"Measured {time.strftime('%Y-%m-%d')} by `bench/training.py` on {os.cpu_count()} cores "
        f"({platform.machine()}, Python {platform.python_version()}), {where}; load average over "
        f"the last 15 minutes {load:.1f}. Synthetic data of the full size: 284,807 rows, 492 "
        "frauds. Times are whole processes, from the start of Python to its end.\n\n" + "\n".join(lines) + "\n"
    )
    print(results.read_text())


if __name__ == "__main__":
    main()
