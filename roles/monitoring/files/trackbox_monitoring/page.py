"""What is wrong, as a page and as lines of text: `All is well.`, or each problem with what to do."""

from __future__ import annotations

from collections.abc import Sequence

from trackbox_host.page import head, moment, text

from trackbox_monitoring.alerts import Problem


def headline(problems: Sequence[Problem]) -> str:
    """Return the sentence that says it all."""
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
    """Return what to do, with the commands between backquotes as code."""
    parts = text(action).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def section(problem: Problem) -> str:
    """Return what the page says of one problem."""
    since = f", since {text(moment(problem.since))}" if problem.since else ""
    kind = "bad" if problem.severity == "critical" else "watch"
    return (
        f'<section>\n<h2 class="{kind}">{text(problem.summary)}</h2>\n'
        f"<p>{action_html(problem.action)}</p>\n<p><small>{text(problem.name)}{since}</small></p>\n</section>\n"
    )


def page(problems: Sequence[Problem], at: str) -> str:
    """Return the page. at: the time that it names, in ISO 8601."""
    title = headline(problems)
    return (
        f"{head(title, '/status/style.css', 15)}<header>\n"
        f'<h1 class="{"bad" if problems else "good"}" role="status">{text(title)}</h1>\n'
        f"<p>As of {text(moment(at))}.</p>\n</header>\n<main>\n{''.join(map(section, problems))}</main>\n"
        "</body>\n</html>\n"
    )
