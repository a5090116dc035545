"""No request of four clients fails while the alias moves, processes are killed, or services restart."""

from __future__ import annotations

import random
import statistics
import time

from endpoint import Endpoint, alias
from machine import Machine
from scoring_clients import Clients, quantile
from testinfra.host import Host

MOVES, KILLS = 100, 20
UNIT = "trackbox-serving@fraud-{}.service"
# The maximum latency while the alias moves, in ms. docs/serving.md contains measurements.
SLOW = 2000


def test_no_request_fails_while_the_alias_moves_a_hundred_times(
    machine: Machine, endpoint: Endpoint, versions: list[str]
) -> None:
    expected = {version: endpoint.serve(version) for version in versions}
    took: list[float] = []
    spans: list[tuple[float, float]] = []
    with Clients(endpoint, expected) as clients:
        time.sleep(10)
        quiet = len(clients.answers)
        for turn in range(MOVES):
            moved = time.monotonic()
            alias(machine, versions[turn % 2])
            took.append(clients.first(versions[turn % 2], moved))
            # The time from half a second before the new version's first response to half a second after it.
            spans.append((moved + took[-1] - 0.5, moved + took[-1] + 0.5))
            time.sleep(0.5)
    usual = [each.ms for each in clients.answers[:quiet]]
    changing = [each.ms for each in clients.answers if any(begin <= each.began <= end for begin, end in spans)]
    print(
        f"{len(clients.answers)} answers, {len(clients.failures)} failures; first answer of the new version after "
        f"{statistics.median(took):.1f} s (median), {max(took):.1f} s (longest); p50 and p99 at rest "
        f"{quantile(usual, 0.5):.0f} and {quantile(usual, 0.99):.0f} ms, during changes "
        f"{quantile(changing, 0.5):.0f} and {quantile(changing, 0.99):.0f} ms"
    )
    assert clients.failures == []
    assert len(clients.answers) > 1000
    assert statistics.median(took) <= 10
    assert quantile(changing, 0.99) < max(SLOW, 10 * quantile(usual, 0.99))


def test_no_request_fails_while_processes_are_killed_twenty_times(
    machine: Machine, host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    scores = endpoint.serve(versions[1])
    seed = time.time_ns()
    chance = random.Random(seed)
    unit = UNIT.format(versions[1])
    with Clients(endpoint, {versions[1]: scores}) as clients:
        for _ in range(KILLS):
            # Kill all processes of the version, or only one worker process.
            whom = chance.choice(["all", "one"])
            if whom == "all":
                host.check_output(f"systemctl kill --signal=KILL {unit}")
            else:
                host.check_output(f"pkill -KILL -P $(systemctl show --property=MainPID --value {unit}) --newest")
            time.sleep(chance.uniform(1, 4))
            endpoint.wait(versions[1])
    slowest = max(each.ms for each in clients.answers) / 1000
    print(f"seed {seed}: {len(clients.answers)} answers, {len(clients.failures)} failures, the slowest {slowest:.1f} s")
    assert clients.failures == []


def test_no_request_fails_while_services_restart(host: Host, endpoint: Endpoint, versions: list[str]) -> None:
    scores = endpoint.serve(versions[1])
    versions_of_fraud = "'trackbox-serving@*.service'"
    # NGINX closes its sockets when it restarts. So a connection may be refused, but no accepted request may be lost.
    # Never restart NGINX and a version at the same time: Debian's unit kills NGINX after 5 s, so requests that wait for
    # the version would be lost.
    with Clients(endpoint, {versions[1]: scores}, patience=60) as clients:
        for units in (
            "trackbox-serving-follower",
            versions_of_fraud,
            "nginx",
            f"trackbox-serving-follower trackbox-serving-units.path {versions_of_fraud}",
        ):
            host.check_output(f"systemctl restart {units}")
            time.sleep(5)
            endpoint.wait(versions[1])
    print(f"{len(clients.answers)} answers, {len(clients.failures)} failures")
    assert clients.failures == []
