"""The overview at /serving/: which version of each model is served, and why a candidate was refused. Static HTML."""

from __future__ import annotations

import json
import math
from pathlib import Path
from urllib.parse import quote

from trackbox_host.page import head, moment, text

from trackbox_serving.follower.metrics import Traffic
from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.status import LogStatus, ModelStatus, Served, now

# The maximum number of characters of an example in a command line. Longer examples are hard to read and to paste.
LONGEST_EXAMPLE = 2000


def milliseconds(seconds: float) -> str:
    """Return a latency as text in milliseconds, or a dash for NaN."""
    return "–" if math.isnan(seconds) else f"{seconds * 1000:.3g} ms"


def example(folder: Path) -> str:
    """Return a request body with the model's first example row, or `{}` if there is none or it is too long."""
    try:
        body = json.loads((folder / "serving_input_example.json").read_text())
        form, value = next(iter(body.items()))
        if form == "dataframe_split":
            value = {"columns": value["columns"], "data": value["data"][:1]}
        elif isinstance(value, list):
            value = value[:1]
        found = json.dumps({form: value})
    except (OSError, ValueError, KeyError, TypeError, StopIteration, AttributeError):
        return "{}"
    return found if len(found) <= LONGEST_EXAMPLE else "{}"


def command(settings: Settings, name: str, body: str) -> str:
    """Return a curl command that scores the example. It can be pasted, and curl asks for the password."""
    quoted = body.replace("'", "'\\''")
    trust = "--cacert ca.crt " if settings.ca_file else ""
    url = f"{settings.url}/serving/{quote(name, safe='')}/invocations"
    return f"curl {trust}--user NAME '{url}' -H 'Content-Type: application/json' -d '{quoted}'"


def facts(served: Served, traffic: Traffic, previous: Served | None) -> dict[str, str]:
    """Return the facts that the page shows about the live version."""
    return {
        "Version": served.version,
        "Since": moment(served.since),
        "Promoted by": served.promoted_by or "unknown",
        "Previous version": previous.version if previous else "none",
        "Requests": f"{traffic.requests:,}",
        "p50 / p99": f"{milliseconds(traffic.p50)} / {milliseconds(traffic.p99)}",
    }


def section(settings: Settings, model: ModelStatus, traffic: Traffic, folder: Path | None) -> str:
    """Return the page's section about one model. `folder` contains the files of the live version."""
    lines = [f"<section>\n<h2>{text(model.name)} <small>@{text(model.alias)}</small></h2>"]
    if model.live:
        shown = facts(model.live, traffic, model.previous).items()
        pairs = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in shown)
        lines.append(f'<p class="good">Version {text(model.live.version)} is served.</p>\n<dl>{pairs}</dl>')
        if model.live.differs:
            lines.append(f"<p>It was made with other versions of packages: {text(model.live.differs)}.</p>")
    else:
        lines.append('<p class="bad">No version is served.</p>')
    if model.candidate:
        lines.append(f"<p>{text(model.candidate)}</p>")
    if model.problem:
        lines.append(f'<p class="bad">{text(model.problem)}</p>')
    if model.refused:
        refused = model.refused
        lines.append(
            f'<p class="bad">Version {text(refused.version)} was refused at {text(moment(refused.time))}: '
            f"{text(refused.reason)}</p>"
        )
    if model.comparison:
        lines.append(f"<p>{text(model.comparison)}</p>")
    if model.challenger:
        lines.append(f"<p>{text(model.challenger)}</p>")
    if model.live and folder:
        lines.append(f"<pre>{text(command(settings, model.name, example(folder)))}</pre>")
        name = text(quote(model.name, safe=""))
        lines.append(f'<p><a href="/serving/{name}/docs">Fields, formats and examples</a></p>')
    return "\n".join([*lines, "</section>\n"])


def page(
    settings: Settings, models: list[tuple[ModelStatus, Traffic, Path | None]], log: LogStatus, at: str = ""
) -> str:
    """Return the page as HTML. `at` is the time that the page shows, by default now."""
    parts = [section(settings, *each) for each in models]
    waiting = f"{log.waiting_files} files of the request log wait for the object store." if log.waiting_files else ""
    problem = f'<p class="bad">{text(log.problem)}</p>\n' if log.problem else ""
    return (
        f"{head('Served models', ['/serving/style.css'], 10)}<header><h1>Served models</h1>\n"
        f"<p>As of {text(moment(at or now()))}. Move an alias in "
        f'<a href="/#/models">MLflow’s registry</a>, and its version is served here.</p></header>\n'
        f"{''.join(parts) or '<p>serving_models names no model.</p>'}{problem}<footer>{text(waiting)}</footer>\n"
        "</body>\n</html>\n"
    )
