"""The status as a page with charts and as text: `All is well.`, or each problem with its remedy."""

from __future__ import annotations

from collections.abc import Sequence

from trackbox_host.page import head, moment, text

from trackbox_monitoring.alerts import Problem
from trackbox_monitoring.history import RANGES

SCRIPTS = ("/status/dygraph.js", "/status/charts.js")
# The part of the page with the charts. charts.js shows it and draws the charts.
CHARTS = """\
<div id="charts" hidden>
<nav aria-label="Range of the charts">
{buttons}
</nav>
<p id="told"></p>
<div id="drawn"></div>
<section id="events" hidden>
<h2>Events</h2>
<p>Each is a vertical line in every chart.</p>
<table></table>
</section>
</div>
<noscript><p>The charts need JavaScript.</p></noscript>
"""
BUTTON = '<button type="button" value="{name}" aria-pressed="false">{name}</button>'


def headline(problems: Sequence[Problem]) -> str:
    """Return a sentence that sums up the status."""
    if not problems:
        return "All is well."
    return "1 thing is wrong." if len(problems) == 1 else f"{len(problems)} things are wrong."


def lines(problems: Sequence[Problem]) -> str:
    """Return the status for a terminal."""
    found = [headline(problems)]
    for each in problems:
        since = f" (since {moment(each.since)})" if each.since else ""
        found.append(f"- {each.summary}{since}")
        if each.action:
            found.append(f"  {each.action}")
    return "".join(f"{line}\n" for line in found)


def action_html(action: str) -> str:
    """Return an action as HTML, with commands in backquotes as <code>."""
    parts = text(action).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def section(problem: Problem) -> str:
    """Return the section of the page for one problem."""
    since = f", since {text(moment(problem.since))}" if problem.since else ""
    kind = "bad" if problem.severity == "critical" else "watch"
    return (
        f'<section>\n<h2 class="{kind}">{text(problem.summary)}</h2>\n'
        f"<p>{action_html(problem.action)}</p>\n<p><small>{text(problem.name)}{since}</small></p>\n</section>\n"
    )


def page(problems: Sequence[Problem], at: str) -> str:
    """Return the page. at: the time of the status, in ISO 8601."""
    title = headline(problems)
    buttons = "\n".join(BUTTON.format(name=each.name) for each in RANGES)
    return (
        f"{head(title, ['/status/style.css', '/status/charts.css'], 15, SCRIPTS)}<header>\n"
        f'<div role="status"><h1 class="{"bad" if problems else "good"}">{text(title)}</h1></div>\n'
        f"<p>As of {text(moment(at))}.</p>\n</header>\n<main>\n"
        f'<div id="problems">\n{"".join(map(section, problems))}</div>\n'
        f"{CHARTS.format(buttons=buttons)}</main>\n"
        "</body>\n</html>\n"
    )
