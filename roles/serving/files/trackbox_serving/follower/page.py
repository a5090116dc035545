"""The overview at /serving/: which version of each model is served, and why a candidate was refused. Static HTML."""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path
from urllib.parse import quote

from trackbox_host.status import replace

from trackbox_serving.follower.metrics import Traffic
from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.status import LogStatus, ModelStatus, Served, now

# For this page and the workers' /docs. Their Content-Security-Policy is strict: no script, and no style but this file.
STYLE = """\
:root { color-scheme: light dark; --line: #d0d7de; --soft: #57606a; --good: #1a7f37; --bad: #cf222e;
  --card: #fff; --page: #f6f8fa }
@media (prefers-color-scheme: dark) {
  :root { --line: #30363d; --soft: #8b949e; --good: #3fb950; --bad: #f85149; --card: #161b22; --page: #0d1117 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 3rem; background: var(--page);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1.15rem; margin: 0; overflow-wrap: anywhere }
header p, footer { color: var(--soft); margin: .25rem 0 1.5rem }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.25rem;
  margin: 0 0 1rem }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem 1.25rem; margin: 1rem 0 }
dt { color: var(--soft); font-size: .85rem }
dd { margin: 0; overflow-wrap: anywhere }
.good { color: var(--good) } .bad { color: var(--bad) }
p { margin: .5rem 0; overflow-wrap: anywhere }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
th, td { text-align: left; vertical-align: top; padding: .15rem 1.25rem .15rem 0 }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem; font-size: .85rem;
  margin: .75rem 0 0 }
"""
HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="10">
<title>Served models · Trackbox</title>
<link rel="stylesheet" href="/serving/style.css">
</head>
<body>
"""
# The maximum number of characters of an example in a command line. Longer ones are hard to read and to paste.
LONGEST_EXAMPLE = 2000


def text(value: object) -> str:
    """Return a value as text of HTML."""
    return escape(str(value), quote=True)


def milliseconds(seconds: float) -> str:
    """Return a latency as text in milliseconds, or a dash for NaN."""
    return "–" if math.isnan(seconds) else f"{seconds * 1000:.3g} ms"


def moment(iso: str) -> str:
    """Return a time of the status as people read it."""
    return iso.replace("T", " ").replace("+00:00", " UTC") or "–"


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
        f"{HEAD}<header><h1>Served models</h1>\n<p>As of {text(moment(at or now()))}. Move an alias in "
        f'<a href="/#/models">MLflow’s registry</a>, and its version is served here.</p></header>\n'
        f"{''.join(parts) or '<p>serving_models names no model.</p>'}{problem}<footer>{text(waiting)}</footer>\n"
        "</body>\n</html>\n"
    )


def publish(folder: Path, html: str) -> None:
    """Write the page and its style where NGINX reads them."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    for name, content in (("style.css", STYLE), ("index.html", html)):
        replace(folder / name, content)
