"""What `make bench` refuses, in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["log_metrics"], "bench has no subject log_metrics: there are log_metric, log_batch, "),
        (["--inventory", "inventory/nowhere", "log_metric"], "inventory/nowhere has no installation to measure"),
    ],
)
def test_bad_input_is_refused_and_the_results_stay(arguments: list[str], sentence: str) -> None:
    before = (ROOT / "bench/RESULTS.md").read_text()
    told = subprocess.run(
        [sys.executable, "bench", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 2
    assert told.stderr.startswith(f"bench: {sentence}")
    assert told.stderr.count("\n") == 1
    assert (ROOT / "bench/RESULTS.md").read_text() == before
