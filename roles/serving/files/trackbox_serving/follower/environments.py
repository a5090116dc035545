"""Request environments of versions from a one-shot unit, because the follower itself must not run an installer."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from trackbox_serving.environments.place import WANTED, Needs, Result
from trackbox_serving.files import write_json
from trackbox_serving.follower.errors import Refused, Unavailable
from trackbox_serving.follower.guard import ENVIRONMENT
from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.status import now

# In seconds. STAYS: time for which an unused environment is kept, because a version that drains may still import its
# modules. ASK_AGAIN: pause before a request is repeated, because systemd can miss a change. LATE: time that a result
# may take in addition to the limit of the installation.
STAYS, ASK_AGAIN, LATE = 300.0, 30.0, 120.0


@dataclass
class Asked:
    """A request for an environment. since, again: time.monotonic() of the request and of its next repetition."""

    needs: Needs
    asked: str
    since: float
    again: float


def new_request(needs: Needs) -> Asked:
    """Return a new request for an environment. It contains the time, so that earlier results do not match it."""
    return Asked(needs, f"{now()} {time.monotonic_ns()}", time.monotonic(), 0)


class Environments:
    """The environments of all models' versions. The threads of several models share this object."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.root = settings, settings.shared.environments
        self.path = settings.shared.state / "environments" / WANTED
        self.needed: dict[str, set[str]] = {}
        self.known: dict[str, Asked] = {}
        # Environments that no version needs, with the time.monotonic() at which their requests are dropped.
        self.leaving: dict[str, float] = {}
        self.lock = threading.RLock()
        self.written = self.read_earlier()

    def read_earlier(self) -> Any:
        """Read the requests of an earlier process. They are dropped after STAYS, unless a model needs them again."""
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
            given = json.loads(self.path.read_text())
            for key, each in given["environments"].items():
                self.known[key] = Asked(Needs.read(each), str(each["asked"]), time.monotonic(), 0)
                self.leaving[key] = time.monotonic() + STAYS
            return given
        return {"environments": {}}

    def need(self, name: str, versions: Iterable[Needs]) -> None:
        """Set which packages the versions of a model need."""
        with self.lock:
            before = set().union(*self.needed.values())
            wanted = {each.key(ENVIRONMENT): each for each in versions if each}
            self.needed[name] = set(wanted)
            for key, needs in wanted.items():
                # Also make a new request if an earlier process did not get the environment that it requested.
                if key not in self.known or (key in self.leaving and not self.complete(key)):
                    self.known[key] = new_request(needs)
                self.leaving.pop(key, None)
            for key in before - set().union(*self.needed.values()):
                if self.complete(key):
                    self.leaving[key] = time.monotonic() + STAYS
                else:
                    del self.known[key]
            self.write()

    def write(self) -> None:
        """Write the requests if they have changed, or if a request has had no result for ASK_AGAIN seconds."""
        with self.lock:
            moment = time.monotonic()
            for key in [key for key, end in self.leaving.items() if moment > end]:
                del self.leaving[key], self.known[key]
            value = {
                "environments": {
                    key: {
                        "requirements": list(each.needs.requirements),
                        "preferences": list(each.needs.preferences),
                        "asked": each.asked,
                    }
                    for key, each in self.known.items()
                }
            }
            late = [
                each
                for key, each in self.known.items()
                if key not in self.leaving and moment > each.again and not self.answer(key)
            ]
            if value != self.written or late:
                self.path.parent.mkdir(exist_ok=True)
                # The unit that prepares environments reads this file as another user, and sees no other file here.
                self.path.parent.chmod(0o755)
                write_json(self.path, value, mode=0o644)
                self.written = value
                for each in late:
                    each.again = moment + ASK_AGAIN

    def complete(self, key: str) -> bool:
        """Return whether an environment exists."""
        found = self.answer(key)
        return found is not None and bool(found.environment)

    def answer(self, key: str) -> Result | None:
        """Return the result of an environment, or None if there is none for the last request."""
        found = Result.read(self.root, key)
        return found if found and (found.environment or found.asked == self.known[key].asked) else None

    def ready(self, needs: Needs) -> bool:
        """Return whether an environment is complete.

        Raise Refused if its packages cannot be installed. Raise Unavailable if there is a temporary problem, or no
        result in time. The environment is then requested again.
        """
        with self.lock:
            key = needs.key(ENVIRONMENT)
            if key not in self.known:
                return False
            asked, found = self.known[key], self.answer(key)
            if found and found.environment:
                return True
            if found and found.refused:
                raise Refused(found.refused)
            late = time.monotonic() - asked.since > self.settings.environment_seconds + LATE
            if not found and not late:
                return False
            self.known[key] = new_request(needs)
            self.write()
            raise Unavailable(found.unavailable if found else "The unit trackbox-serving-environments does not answer.")

    def differing(self, needs: Needs) -> list[str]:
        """Return the pins that a complete environment does not satisfy."""
        found = Result.read(self.root, needs.key(ENVIRONMENT))
        packages = (found.packages if found else None) or {}
        pins = [pin.partition("==") for pin in needs.preferences]
        return [
            f"{name}=={version} (installed: {packages.get(name, 'none')})"
            for name, _, version in pins
            if packages.get(name, version) != version
        ]
