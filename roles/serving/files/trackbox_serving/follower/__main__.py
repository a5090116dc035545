"""Run the follower: a thread for each model, and the main thread, which uploads logs and writes the overview page."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType

from trackbox_host.notify import notify
from trackbox_host.page import publish
from trackbox_host.status import replace

from trackbox_serving.follower import page
from trackbox_serving.follower.delivery import Delivery
from trackbox_serving.follower.drift import Watch
from trackbox_serving.follower.environments import Environments
from trackbox_serving.follower.errors import sentence
from trackbox_serving.follower.metrics import Traffic, follower_metrics, read, scrape, version_metrics
from trackbox_serving.follower.model import ModelFollower
from trackbox_serving.follower.registry import Registry
from trackbox_serving.follower.settings import Settings, load
from trackbox_serving.follower.status import ModelStatus, Status
from trackbox_serving.follower.units import Wanted, forget_others
from trackbox_serving.settings import SettingsError
from trackbox_serving.version import Version

# Seconds between two uploads of logs, and between two updates of the overview page.
ROUND = 5.0


class Follower:
    """Follows all models. Every thread ends after the event `stop` is set."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        shared = settings.shared
        self.status = Status.read(shared.state / "status.json")
        for name in set(self.status.models) - {model.name for model in shared.models}:
            del self.status.models[name]
        self.wanted, registry, self.environments = Wanted(shared), Registry(settings), Environments(settings)
        self.models = [
            ModelFollower(settings, model, self.status, self.wanted, registry, self.environments)
            for model in shared.models
        ]
        self.delivery = Delivery(settings, self.status, [model.shadow.offer for model in self.models])
        self.drift = Watch()
        self.stop = threading.Event()

    def run(self) -> None:
        """Follow all models until `stop` is set."""
        os.umask(0o027)
        forget_others(self.settings.shared)
        self.status.change(self.begin)
        if not self.models:
            self.wanted.set("", [], again=True)
        threads = [threading.Thread(target=model.run, name=model.given.name) for model in self.models]
        for thread in threads:
            thread.start()
        notify("READY=1")
        while not self.stop.wait(ROUND):
            self.round()
        for model in self.models:
            model.stop.set()
        for thread in threads:
            thread.join()

    def begin(self) -> None:
        """Mark each model's status as unconfirmed until the registry responds, because it may be from a backup."""
        for model in self.models:
            model.mine.candidate = "The registry is asked."

    def round(self) -> None:
        """Write the page and upload logs. Unexpected errors are printed, and the follower continues."""
        for action in (self.publish, self.delivery.round, self.environments.write):
            try:
                action()
            except Exception:
                traceback.print_exc()

    def publish(self) -> None:
        """Write the overview, and the metrics of all live versions for monitoring."""
        shown: list[tuple[ModelStatus, Traffic, Path | None]] = []
        scraped: list[tuple[str, str]] = []
        served: dict[str, str] = {}
        for model in self.models:
            live = model.mine.live
            if live:
                version = Version(self.settings.shared, model.given.name, live.version)
                said = scrape(version.socket)
                scraped.append((model.given.name, said))
                served[model.given.name] = live.version
                self.drift.look(version, live.made)
                shown.append((model.mine, read(said), version.model))
            else:
                shown.append((model.mine, Traffic(), None))
        run = self.settings.shared.run
        publish(run / "page", page.page(self.settings, shown, self.status.log))
        drift = self.drift.metrics(served)
        replace(run / "metrics.prom", version_metrics(scraped) + follower_metrics(self.status) + drift)


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    try:
        settings = load()
    except (OSError, ValueError, TypeError, SettingsError) as error:
        print(f"The settings cannot be used: {sentence(error)}", file=sys.stderr)
        return 78
    follower = Follower(settings)

    def end(_: int, __: FrameType | None) -> None:
        follower.stop.set()
        for model in follower.models:
            model.stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    follower.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
