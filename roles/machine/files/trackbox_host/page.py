"""The style and the functions that Trackbox's programs share to write static HTML pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from trackbox_host.status import replace

# The pages' Content-Security-Policy allows only scripts and styles in files of this machine, so the style is a file.
STYLE = """\
:root { color-scheme: light dark; --line: #d0d7de; --soft: #57606a; --good: #1a7f37; --bad: #cf222e; --watch: #9a6700;
  --card: #fff; --page: #f6f8fa }
@media (prefers-color-scheme: dark) {
  :root { --line: #30363d; --soft: #8b949e; --good: #3fb950; --bad: #f85149; --watch: #d29922;
    --card: #161b22; --page: #0d1117 }
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
.good { color: var(--good) } .bad { color: var(--bad) } .watch { color: var(--watch) }
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
{refresh}
<title>{title} · Trackbox</title>
{files}
</head>
<body>
"""


def head(title: str, styles: Sequence[str], seconds: int, scripts: Sequence[str] = ()) -> str:
    """Return the beginning of a page, up to the tag body.

    styles, scripts: the URL paths of the files. seconds: the time after which browsers load the page again. If the page
    has scripts, only browsers without JavaScript load it again.
    """
    refresh = f'<meta http-equiv="refresh" content="{seconds}">'
    files = [f'<link rel="stylesheet" href="{path}">' for path in styles]
    files += [f'<script src="{path}" defer></script>' for path in scripts]
    if scripts:
        refresh = f"<noscript>{refresh}</noscript>"
    return HEAD.format(title=text(title), refresh=refresh, files="\n".join(files))


def text(value: object) -> str:
    """Return a value as text, escaped for HTML."""
    return escape(str(value), quote=True)


def moment(iso: str) -> str:
    """Return a time in ISO 8601 in a form that is easy to read, such as 2026-11-24 02:30:00 UTC."""
    return iso.replace("T", " ").replace("+00:00", " UTC").replace("Z", " UTC") or "–"


def publish(folder: Path, html: str) -> None:
    """Write a page and its style sheet to a folder from which NGINX serves them."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    for name, content in (("style.css", STYLE), ("index.html", html)):
        replace(folder / name, content)
