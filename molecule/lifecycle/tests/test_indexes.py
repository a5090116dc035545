"""site.yml adds indexes to MLflow's tables while clients write, and removes them if mlflow_search_indexes is false."""

from __future__ import annotations

import json
import time
from pathlib import Path

from machine import Machine
from testinfra.host import Host
from trackbox_mlflow.indexes import INDEXES
from writers import acknowledged, check_stored, writing

OFF = ("--extra-vars", json.dumps({"mlflow_search_indexes": False}))


def made(host: Host) -> set[str]:
    """Return the names of the indexes that Trackbox has added to MLflow's schema."""
    query = (
        "SELECT DISTINCT index_name FROM information_schema.statistics "
        "WHERE table_schema = 'mlflow' AND index_name LIKE 'trackbox%'"
    )
    return set(host.check_output(f'$(command -v mariadb || command -v mysql) -N -e "{query}"').split())


def test_a_schema_gets_the_indexes_while_clients_write_and_no_call_fails(
    machine: Machine, host: Host, tmp_path: Path
) -> None:
    machine.play(*OFF)
    assert made(host) == set()
    told = tmp_path / "told"
    with writing(machine, told, 600, 2):
        while len(acknowledged(told)) < 20:
            time.sleep(0.5)
        began = time.time()
        machine.play()
        ended = time.time()
        while acknowledged(told)[-1]["at"] < ended + 1:
            time.sleep(0.5)
    lines = [json.loads(line) for line in told.read_text().splitlines() if line.endswith("}")]
    assert [line["error"] for line in lines if "error" in line] == []
    during = [line for line in lines if began < line["at"] < ended]
    assert len(during) > 20
    print(f"{len(during)} calls while site.yml ran, the slowest {max(line['took'] for line in during):.2f} s")
    assert check_stored(machine, told)["lost"] == []
    assert made(host) == {index.name for index in INDEXES}
