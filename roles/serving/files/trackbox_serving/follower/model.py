"""Follow the alias of one model, and serve the version that it names."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path

from trackbox_serving.environments.place import Needs
from trackbox_serving.files import read_regular
from trackbox_serving.follower import download, guard, prove, replay
from trackbox_serving.follower.environments import Environments
from trackbox_serving.follower.errors import Refused, Unavailable, sentence
from trackbox_serving.follower.log_folder import excess
from trackbox_serving.follower.registry import Registry
from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.shadow import Shadow
from trackbox_serving.follower.status import ModelStatus, Refusal, Served, Status, now
from trackbox_serving.follower.units import Links, Wanted
from trackbox_serving.follower.unix import ask
from trackbox_serving.run_unit import ENDED, FAILED
from trackbox_serving.settings import ModelSetting
from trackbox_serving.version import About, Version

# The tag that shows whether a version is served or was refused, and the beginning of the tag's text while packages are
# prepared. `fraud promote --wait` reads the tag.
TAG = "serving"
PREPARES = "prepares its packages"
# In seconds: the pause between two checks of a version that is starting, the time after which the units are requested
# again, and the longest pause after errors.
LOOK, ASK_AGAIN, LONGEST_PAUSE = 0.2, 5, 60


class ModelFollower:
    """Follows one model.

    Attributes:
        given: settings of the model: its name, its alias, and whether it may run code.
        status: status of all models. `mine` is the part about this model.

    """

    def __init__(
        self,
        settings: Settings,
        given: ModelSetting,
        status: Status,
        wanted: Wanted,
        registry: Registry,
        environments: Environments,
    ) -> None:
        self.settings, self.given, self.status = settings, given, status
        self.wanted, self.registry, self.environments = wanted, registry, environments
        self.links = Links(settings.shared, given.name)
        self.mine = status.models.setdefault(given.name, ModelStatus(given.name, given.alias))
        self.mine.alias, self.mine.candidate, self.mine.preparing = given.alias, "", ""
        # A checked version whose packages are being prepared.
        self.waiting: Served | None = None
        # Versions that answer their last requests. The value is the time.monotonic() at which a version is stopped.
        self.retiring: dict[str, float] = {}
        self.stop = threading.Event()
        self.errors, self.asked = 0, 0.0
        self.shadow = Shadow(self)

    def run(self) -> None:
        """Follow the alias until `stop` is set."""
        self.guarded(self.resume)
        while not self.stop.wait(self.pause()):
            self.guarded(self.step)

    def guarded(self, action: Callable[[], None]) -> None:
        """Run an action. Print an unexpected error and show it on the overview page, and continue."""
        try:
            action()
        except Exception as error:
            traceback.print_exc()
            self.errors += 1
            with contextlib.suppress(OSError):
                self.note(problem=f"The follower failed: {sentence(repr(error))}", candidate="")

    def pause(self) -> float:
        """Return the seconds until the next step. They increase with each consecutive error."""
        return min(
            self.settings.poll_seconds * 2 ** min(self.errors, 6), max(LONGEST_PAUSE, self.settings.poll_seconds)
        )

    @property
    def kept(self) -> set[str]:
        """The versions whose units run: those that clients may reach, and the challenger."""
        return self.reachable | self.shadow.versions

    @property
    def reachable(self) -> set[str]:
        """The live version, the previous one, and those that drain."""
        return {served.version for served in (self.mine.live, self.mine.previous) if served} | set(self.retiring)

    @property
    def stored(self) -> set[str]:
        """The versions whose files stay on the disk: those that run, and those that wait for their packages."""
        waiting = filter(None, (self.waiting, self.shadow.waiting))
        return self.kept | {served.version for served in waiting}

    def version(self, number: str) -> Version:
        """Return the paths of a version: its folders and its socket."""
        return Version(self.settings.shared, self.given.name, number)

    def note(self, **values: object) -> None:
        """Set fields of this model's status."""

        def change() -> None:
            for name, value in values.items():
                setattr(self.mine, name, value)

        self.status.change(change)

    # Methods for the start of the machine or of the follower

    def resume(self) -> None:
        """Serve the last versions again from the disk, because MLflow, MySQL and MinIO may be down."""
        self.links.make_folder()
        self.clear_parts()
        live, previous = self.whole(self.mine.live), self.whole(self.mine.previous)
        if live is None and previous is not None:
            live, previous = previous, None
        self.note(live=live, previous=previous)
        for served in filter(None, (live, previous)):
            self.forget_ends(served.version)
        self.ask_for_units()
        # Link the sockets at once, because requests can wait at a socket while the version loads.
        self.link()
        try:
            if live and self.packaged(live.version):
                self.wait_until_it_answers(live.version)
        except Unavailable:
            return
        except Refused as refusal:
            self.note(problem=f"Version {live.version if live else ''}: {refusal}")
            if live and previous:
                self.note(live=previous, previous=None)
                self.link()

    def whole(self, served: Served | None) -> Served | None:
        """Return the version if its files on the disk are unchanged, else None."""
        if served is None:
            return None
        problem = download.damage(self.version(served.version))
        if problem:
            self.note(problem=f"Version {served.version}: {problem}")
            return None
        return served

    def clear_parts(self) -> None:
        """Remove downloads that were interrupted."""
        folder = self.version("1").folder.parent
        for part in folder.glob(".*.part") if folder.is_dir() else ():
            shutil.rmtree(part, ignore_errors=True)

    # Methods that run every few seconds

    def step(self) -> None:
        """Query the aliases of the live version and of the challenger, and act if one names another version."""
        try:
            self.follow()
            self.shadow.step()
            self.errors = 0
        except Unavailable as error:
            self.errors += 1
            self.note(problem=str(error), candidate="")
        except OSError as error:
            # Any write may report a full disk. The live version keeps serving, because it needs no write.
            self.errors += 1
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            with contextlib.suppress(OSError):
                self.note(problem="The disk is full." if full else sentence(error), candidate="")
        finally:
            with contextlib.suppress(OSError, Unavailable):
                self.watch()
            with contextlib.suppress(OSError):
                self.retire()
                self.ask_again()

    def follow(self) -> None:
        """Make the version that the alias names live, or refuse it."""
        number, made = self.registry.named(self.given.name, self.given.alias) or (None, "")
        if (refused := self.mine.refused) and refused.version != number:
            # The alias no longer names the refused version. If it names that version again, check the version again.
            self.status.change(lambda: setattr(refused, "under", ""))
        if self.waiting and self.waiting.version != number:
            self.waiting = None
        if number is None:
            self.note(wanted=None, problem=self.missing(), candidate="", preparing="")
            return
        self.note(wanted=number)
        self.tag_refusal()
        self.forget_namesake(number, made)
        if self.mine.live and self.mine.live.version == number:
            self.note_live(number)
        elif self.mine.previous and self.mine.previous.version == number and self.answers(number):
            self.switch(self.mine.previous)
        elif self.is_refused(number):
            self.note(problem="", candidate="", preparing="")
        else:
            self.shadow.release(number)
            self.take(number, made)

    def note_live(self, number: str) -> None:
        """Show in the status whether the live version's packages are installed. After a restore they are missing."""
        try:
            there, problem = self.packaged(number), ""
        except Refused as refusal:
            there, problem = True, f"Version {number}: {refusal}"
        candidate = "" if there else f"The packages of version {number} are prepared."
        self.note(problem=problem, candidate=candidate, preparing="" if there else number)

    def forget_namesake(self, number: str, made: str) -> None:
        """If the model was deleted and registered again, stop and remove the old version that has the same number."""
        version = self.version(number)
        known = {served.made for served in (self.mine.live, self.mine.previous) if served and served.version == number}
        with contextlib.suppress(OSError, ValueError, TypeError):
            known.add(version.read_about().made)
        if not made or not known - {made, ""}:
            return
        self.note(candidate=f"Another version {number} stops.")
        self.waiting = None
        self.drop(number)
        end = time.monotonic() + self.settings.drain_seconds
        while self.answers(number) and time.monotonic() < end and not self.stop.wait(LOOK):
            pass
        shutil.rmtree(version.folder, ignore_errors=True)

    def missing(self) -> str:
        """Return the error message for an alias that names no version."""
        text = f"The registry has no version of {self.given.name} with the alias {self.given.alias}."
        return f"{text} Version {self.mine.live.version} is served on." if self.mine.live else text

    def take(self, number: str, made: str = "") -> None:
        """Download, check, start and test a version, and switch clients to it.

        If its packages are not installed yet, return. A later step continues.
        """
        try:
            served = self.waiting or self.prepare(number, made=made)
            if self.needs(number):
                self.waiting = served
                self.ask_for_environments()
                if not self.packaged(number):
                    self.note_packages(number)
                    return
                served = replace(served, differs=self.differing(served))
            self.note(preparing="")
            with self.candidate(number):
                self.note(candidate=f"Version {number} is starting.")
                self.wait_until_it_answers(number)
                self.note(candidate=f"Version {number} proves itself.")
                self.prove(served)
                self.switch(served)
            self.waiting = None
        except Refused as refusal:
            self.waiting = None
            self.refuse(number, str(refusal))

    def note_packages(self, number: str) -> None:
        """Show in the status and in a tag that a version's packages are being prepared."""
        first = self.mine.preparing != number
        self.note(candidate=f"The packages of version {number} are prepared.", preparing=number, problem="")
        if first:
            with contextlib.suppress(Unavailable):
                self.registry.tag(self.given.name, number, TAG, f"{PREPARES} since {now()}")

    def needs(self, number: str) -> Needs:
        """Return the packages of a version's own environment, or none if the version uses the default environment."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return self.version(number).read_about().needs
        return Needs()

    def packaged(self, number: str) -> bool:
        """Return whether a version's packages are installed. Raise Refused or Unavailable if installing them failed."""
        needs = self.needs(number)
        return not needs or self.environments.ready(needs)

    def ask_for_environments(self) -> None:
        """Request environments for all versions on the disk that need their own."""
        self.environments.need(self.given.name, [self.needs(number) for number in self.stored])

    def differing(self, served: Served) -> str:
        """Return which packages of a version differ from its requirements."""
        pins = self.environments.differing(self.needs(served.version))
        return sentence(", ".join(filter(None, [served.differs, *pins])))

    def prepare(self, number: str, role: str = "candidate", made: str = "") -> Served:
        """Download a version if necessary, check it, and return its entry for the status.

        role: purpose of the version, `candidate` or `challenger`. The status field of this name shows the progress.
        made: time of registration; see `Served`.
        """
        version = self.version(number)
        if not download.damage(version):
            about = version.read_about()
            differs, needs = guard.check(version.model, self.given.allow_code, self.settings.own_environments)
        else:
            self.note(**{role: f"Version {number} is downloaded."})
            found = self.registry.describe(self.given.name, number)
            part = download.fetch(self.registry, version, self.settings.max_model_mb)
            try:
                self.note(**{role: f"Version {number} is checked."})
                differs, needs = guard.check(part / "model", self.given.allow_code, self.settings.own_environments)
                about = About(
                    found.name, number, found.run_id, self.given.alias, now(), found.promoted_by,
                    guard.threshold(part / "model"), self.given.allow_code, made=made, needs=needs,
                )  # fmt: skip
                download.keep(part, version, about)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        challenger, made = role == "challenger", about.made or made
        wanted = replace(about, allow_code=self.given.allow_code, challenger=challenger, made=made, needs=needs)
        if about != wanted:
            version.write_about(wanted)
        return Served(number, about.run_id, "", about.promoted_by, about.threshold, differs, wanted.made)

    @contextlib.contextmanager
    def candidate(self, number: str) -> Iterator[None]:
        """Start the version's unit for this block, and stop it if the block fails."""
        self.retiring.pop(number, None)
        self.forget_ends(number)
        try:
            self.ask_for_units(number)
            yield
        except BaseException:
            self.ask_for_units()
            raise

    def forget_ends(self, number: str) -> None:
        """Remove the files that contain why earlier processes of the version ended."""
        log = self.version(number).log
        for name in (FAILED, ENDED):
            (log / name).unlink(missing_ok=True)

    def wait_until_it_answers(self, number: str) -> None:
        """Wait until a version answers. Raise Refused if its process ended or it takes too long."""
        end, asked = time.monotonic() + self.settings.load_seconds, time.monotonic()
        while not self.answers(number):
            if reason := self.failure(number):
                raise Refused(f"The version does not load: {reason}")
            if reason := self.excess(number):
                raise Refused(reason)
            if self.stop.is_set():
                raise Unavailable("The follower stops.")
            if time.monotonic() > end:
                raise Refused(f"The version did not answer within {self.settings.load_seconds:.0f} s.")
            if time.monotonic() > asked + ASK_AGAIN and not self.links.socket(number).exists():
                asked = time.monotonic()
                self.ask_for_units(number, again=True)
            self.stop.wait(LOOK)

    def failure(self, number: str) -> str:
        """Return why a version's process ended: its own message, or else systemd's; an empty text while it runs."""
        log = self.version(number).log
        said = {}
        for name in (FAILED, ENDED):
            with contextlib.suppress(OSError, ValueError):
                said[name] = sentence(read_regular(log / name, 4096).decode(errors="replace"))
        return said.get(FAILED) or said.get(ENDED) or ""

    def answers(self, number: str) -> bool:
        """Return whether a version answers at its socket."""
        try:
            answer = ask(self.links.socket(number), "/ping", timeout=2)
        except (OSError, HTTPException):
            return False
        return answer.status == 200 and answer.version == number

    def prove(self, served: Served) -> None:
        """Let a version score its input example and logged rows. Raise Refused if it fails."""
        socket, seconds = self.links.socket(served.version), self.settings.load_seconds
        prove.example(socket, served.version, self.version(served.version).model, seconds)
        live = self.mine.live
        rows = replay.rows(
            self.settings.shared, self.given.name, guard.column_types(self.version(served.version).model)
        )
        compared = None
        if live and rows:
            ours = prove.Scored(served.version, socket, served.threshold)
            theirs = prove.Scored(live.version, self.links.socket(live.version), live.threshold)
            compared = prove.compare(ours, theirs, rows, seconds)
        self.note(comparison=str(compared) if compared else "")

    def switch(self, served: Served) -> None:
        """Switch clients to a version, and keep the version that was live as the previous one."""
        before, last = self.mine.live, self.mine.previous
        served.since = now()
        refused = self.mine.refused
        if refused and refused.version == served.version:
            refused = None
        self.note(live=served, previous=before, refused=refused, candidate="", preparing="", problem="")
        self.link()
        self.retiring.pop(served.version, None)
        if last and last.version != served.version:
            self.retiring[last.version] = time.monotonic() + self.settings.drain_seconds
        self.ask_for_units()
        with contextlib.suppress(Unavailable):
            differs = f"; with other versions of packages than its own: {served.differs}" if served.differs else ""
            self.registry.tag(self.given.name, served.version, TAG, f"served since {served.since}{differs}")

    def link(self) -> None:
        """Point NGINX's symbolic links to the sockets of the live and the previous version."""
        live, previous = self.mine.live, self.mine.previous
        self.links.set(live.version if live else None, previous.version if previous else None)

    # Methods that refuse versions, and that stop versions that are no longer needed

    def refuse(self, number: str, reason: str) -> None:
        """Write to the status and the registry why a version is refused. The live version is not changed."""
        text = sentence(reason)
        refused = Refusal(number, text, now(), self.judge(), False)
        self.note(refused=refused, candidate="", preparing="", problem="")
        self.tag_refusal()

    def excess(self, number: str) -> str:
        """Return why the version's log folder breaks its limits, or an empty string."""
        return excess(self.version(number).log, self.settings.log_disk_mb)

    def watch(self) -> None:
        """Stop a version whose log folder breaks its limits, even the live version, because it could fill the disk."""
        for number in self.kept:
            if not (reason := self.excess(number)):
                continue
            if number in self.shadow.versions:
                self.shadow.refuse(number, reason)
            else:
                self.drop(number)
                self.refuse(number, reason)

    def drop(self, number: str) -> None:
        """Stop a version at once. If it was live, the previous version becomes live."""
        live, previous = (
            None if served and served.version == number else served for served in (self.mine.live, self.mine.previous)
        )
        self.retiring.pop(number, None)
        self.note(live=live or previous, previous=previous if live else None)
        self.link()
        self.ask_for_units()

    def tag_refusal(self) -> None:
        """Write the last refusal into a tag of the refused version, unless an earlier call has written it."""
        refused = self.mine.refused
        if refused and not refused.tagged:
            self.registry.tag(self.given.name, refused.version, TAG, f"refused: {refused.reason}")
            self.status.change(lambda: setattr(refused, "tagged", True))

    def judge(self) -> str:
        """Return a hash of what a refusal depends on: the model's settings, the program and the environment."""
        program = Path(guard.PROGRAM).name
        words = f"{self.given}{program}{guard.ENVIRONMENT}{self.settings.own_environments}"
        return hashlib.sha256(words.encode()).hexdigest()[:12]

    def is_refused(self, number: str) -> bool:
        """Return whether this version was refused under the current settings, program and environment."""
        refused = self.mine.refused
        return refused is not None and (refused.version, refused.under) == (number, self.judge())

    def ask_for_units(self, candidate: str = "", again: bool = False) -> None:
        """Request units for all versions that must run: live, previous, draining, challenger and candidate."""
        numbers = self.kept | set(filter(None, [candidate]))
        for number in numbers:
            # The version's unit runs as another user in the follower's group, so the group needs write access.
            folder = self.version(number).log
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o770)
        self.ask_for_environments()
        self.wanted.set(self.given.name, numbers, again)

    def ask_again(self) -> None:
        """Request the units again if sockets are missing or left over: systemd can miss a change while it reloads."""
        there = {path.stem for path in self.links.folder.glob("*.sock") if not path.is_symlink()}
        if there != self.kept and time.monotonic() > self.asked + ASK_AGAIN:
            self.asked = time.monotonic()
            self.ask_for_units(again=True)

    def retire(self) -> None:
        """Stop versions whose drain time is over, and remove unused versions and logs from the disk."""
        over = [number for number, when in self.retiring.items() if time.monotonic() >= when]
        for number in over:
            del self.retiring[number]
        if over:
            self.ask_for_units()
        self.ask_for_environments()
        kept = self.stored
        folder = self.version("1").folder.parent
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in kept and not path.name.startswith("."):
                shutil.rmtree(path, ignore_errors=True)
        logs = self.version("1").log.parent
        for path in logs.iterdir() if logs.is_dir() else ():
            # Keep the log folder of an unused version until its log files are uploaded. A later call then removes it.
            if path.name not in kept and not any(path.glob("*.parquet")):
                shutil.rmtree(path, ignore_errors=True)
