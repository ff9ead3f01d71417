"""What a batch came to: how many were resolved and how sure that is, why the others were not, what it took; and two batches held against each other.

Shares have two denominators: the instances that were judged, and all of them. An instance whose environment gave no answer ("broken"), or that cannot run
here, says nothing about a patch, so it is in no share of the judged and is listed by name. Values in, values out; Markdown, JSON and one HTML page are
made of the same value.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from html import escape
from math import comb
from typing import Literal, get_args

from backstory.agent.budget import total
from backstory.agent.messages import Usage
from backstory.agent.written import to_json
from backstory.harness.intervals import Interval, paired, share_of
from backstory.harness.run import Row
from backstory.harness.show import share
from backstory.harness.untrusted import code_span

Failure = Literal[
    "",
    "wrong file",
    "right file, wrong logic",
    "not applied",
    "limit",
    "empty",
    "leaked",
    "broken environment",
    "not runnable here",
    "not judged",
]
"""Why an instance is not resolved; "" for one that is. limit: a budget ended the run without a patch, or its tests took too long."""

FAILURES: tuple[Failure, ...] = get_args(Failure)[1:]
UNJUDGED: frozenset[Failure] = frozenset({"broken environment", "not runnable here", "not judged"})
ROWS_SHOWN = 500  # in Markdown; JSON has all


@dataclass(frozen=True)
class Share:
    """How many of a group were resolved, with the 95 % interval of the share."""

    resolved: int
    judged: int
    share: Interval


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, in one currency: of prompts that were computed, of those found in a cache, of replies."""

    input: float
    cached: float
    output: float


@dataclass(frozen=True)
class Told:
    """A batch in figures. official: resolved by the official reading of the logs; differ: ids where the two readings differ.

    harm: instances where a patch broke tests that held; flaky: tests that two runs on one tree disagree on, by instance. tokens, input, cached: of all runs;
    reusable: of their prompts, what a server that forgets nothing would have had; preempted: requests that servers put back while runs went on, counted by
    each run for all it shared the server with; seconds, steps, replies: of runs of Backstory, in all; queued_s, first_s: of those, in the server's queue and until first tokens, None where it does not say.
    overlap: mean share of the true patch's files that were changed, over patches; function_overlap: of its functions, over patches whose true one changes any.
    bloat: median of lines changed over those of the true patch. cost: of all tokens, None without prices.
    """

    name: str
    all: Share
    instances: int
    official: int
    differ: tuple[str, ...]
    by_repository: Mapping[str, Share]
    by_failure: Mapping[str, tuple[str, ...]]
    harm: tuple[str, ...]
    flaky: Mapping[str, tuple[str, ...]]
    excused: Mapping[str, int]
    warnings: Mapping[str, tuple[str, ...]]
    verified_wrong: tuple[str, ...]
    tokens: int
    input: int
    cached: int
    reusable: int
    preempted: int
    queued_s: float | None
    first_s: float | None
    seconds: float
    steps: int
    replies: int
    judging_seconds: float
    overlap: float | None
    function_overlap: float | None
    bloat: float | None
    cost: float | None


@dataclass(frozen=True)
class Flips:
    """Two batches on the instances that both judged. gained, lost: resolved by the second and not by the first, and the other way round.

    lead: by how much the second is ahead, with its interval; p: of a two-sided sign test on the flips.
    """

    first: str
    second: str
    both: int
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    lead: Interval
    p: float


def failure_of(row: Row) -> Failure:
    """Return why an instance is not resolved."""
    match row.status:
        case "resolved":
            return ""
        case "broken":
            return "broken environment"
        case "not_here":
            return "not runnable here"
        case "not_judged":
            return "not judged"
        case "leaked":
            return "leaked"
        case "not_applied":
            return "not applied"
        case "timed_out":
            return "limit"
        case "empty":
            return "limit" if row.spent is not None and row.spent.stopped else "empty"
    if not row.changed.files:
        return "empty"
    return "right file, wrong logic" if set(row.changed.files) & set(row.changed.true_files) else "wrong file"


def tell(name: str, rows: Sequence[Row], prices: Prices | None = None) -> Told:
    """Return the figures of a batch. rows: of its instances, in any order."""
    rows = sorted(rows, key=lambda row: row.id)
    failures = {row.id: failure_of(row) for row in rows}
    judged = [row for row in rows if failures[row.id] not in UNJUDGED]
    patched = [row for row in judged if row.changed.files]
    spent = [row.spent for row in rows if row.spent is not None]
    usage = reduce(total, (one.usage for one in spent), Usage(cached_tokens=None))
    return Told(
        name=name,
        all=_share(judged),
        instances=len(rows),
        official=sum(row.official is True for row in judged),
        differ=tuple(row.id for row in judged if row.official is not None and row.official != (row.status == "resolved")),
        by_repository={
            repository: _share([row for row in judged if row.repository == repository])
            for repository in sorted({row.repository for row in judged})
        },
        by_failure={
            failure: tuple(row.id for row in rows if failures[row.id] == failure) for failure in FAILURES if failure in failures.values()
        },
        harm=tuple(row.id for row in judged if row.grade is not None and row.grade.kept.missed),
        flaky={row.id: row.flaky for row in rows if row.flaky},
        excused={row.id: len(row.excused) for row in rows if row.excused},
        warnings={row.id: tuple(found.what for found in row.audit.warnings) for row in rows if row.audit and row.audit.warnings},
        verified_wrong=tuple(row.id for row in judged if row.spent and row.spent.ended == "verified" and row.status != "resolved"),
        tokens=usage.input_tokens + usage.output_tokens,
        input=usage.input_tokens,
        cached=usage.cached_tokens or 0,
        reusable=usage.reusable_tokens or 0,
        preempted=sum(one.preempted for one in spent),
        queued_s=usage.queued_s,
        first_s=usage.first_s,
        seconds=round(sum(one.seconds for one in spent), 1),
        steps=sum(one.steps for one in spent),
        replies=sum(one.replies for one in spent),
        judging_seconds=round(sum(row.seconds for row in rows), 1),
        overlap=_mean([_met(row.changed.files, row.changed.true_files) for row in patched]),
        function_overlap=_mean([_met(row.changed.functions, row.changed.true_functions) for row in patched if row.changed.true_functions]),
        bloat=_median([row.changed.lines / max(1, row.changed.true_lines) for row in patched]),
        cost=None if prices is None else _cost(usage, prices),
    )


def compare(first: str, ours: Sequence[Row], second: str, theirs: Sequence[Row]) -> Flips:
    """Return how the second batch differs from the first, on the instances that both judged."""
    good = [{row.id: row.status == "resolved" for row in rows if failure_of(row) not in UNJUDGED} for rows in (ours, theirs)]
    both = sorted(good[0].keys() & good[1].keys())
    gained = tuple(id for id in both if good[1][id] and not good[0][id])
    lost = tuple(id for id in both if good[0][id] and not good[1][id])
    lead = paired([float(good[1][id]) for id in both], [float(good[0][id]) for id in both])
    return Flips(first, second, len(both), gained, lost, lead, sign_test(len(gained), len(lost)))


def sign_test(gained: int, lost: int) -> float:
    """Return how likely flips are to lie so unevenly by chance, two-sided (McNemar's exact test).

    >>> sign_test(5, 0), sign_test(3, 3)
    (0.0625, 1.0)
    """
    flips = gained + lost
    if flips == 0:
        return 1.0
    ways = sum(comb(flips, count) for count in range(min(gained, lost) + 1))
    return float(min(1.0, 2 * ways / 2.0**flips))


def as_json(told: Told, flips: Flips | None, rows: Sequence[Row]) -> dict[str, object]:
    """Return the figures and every row as one object."""
    return {"batch": to_json(told), "compared": None if flips is None else to_json(flips), "rows": [to_json(row) for row in rows]}


def as_markdown(told: Told, flips: Flips | None, rows: Sequence[Row]) -> str:
    """Return the figures and a table of rows as Markdown."""
    parts = [f"# {code_span(told.name)}", *("\n".join(f"- {line}" for line in lines) for lines in _paragraphs(told, flips) if lines)]
    parts.append(_table(("repository", "resolved", "judged", "share"), _repository_rows(told)))
    parts.append(
        _table(
            ("not resolved because", "instances", "which"), [(why, str(len(ids)), ", ".join(ids)) for why, ids in told.by_failure.items()]
        )
    )
    parts.append(_table(("instance", "status", "why", "official", "seconds"), [_cells(row) for row in rows[:ROWS_SHOWN]]))
    return "\n\n".join(part for part in parts if part) + "\n"


def as_html(told: Told, flips: Flips | None, rows: Sequence[Row]) -> str:
    """Return the same as one page that needs nothing beside it."""
    lists = "".join(f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" for lines in _paragraphs(told, flips) if lines)
    tables = [
        _html_table(("repository", "resolved", "judged", "share"), _repository_rows(told)),
        _html_table(
            ("not resolved because", "instances", "which"), [(why, str(len(ids)), ", ".join(ids)) for why, ids in told.by_failure.items()]
        ),
        _html_table(("instance", "status", "why", "official", "seconds"), [_cells(row) for row in rows]),
    ]
    return (
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>{escape(told.name)}</title>\n<style>{_STYLE}</style>\n"
        f"<h1>{escape(told.name)}</h1>\n{lists}\n{chr(10).join(tables)}\n</html>\n"
    )


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "table{border-collapse:collapse;margin:1.5rem 0;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dee4;"
    "vertical-align:top;overflow-wrap:anywhere}th{font-weight:600}@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}"
    "th,td{border-color:#30363d}}"
)


def _paragraphs(told: Told, flips: Flips | None) -> list[list[str]]:
    all_ = told.all
    unjudged = told.instances - all_.judged
    lines = [f"resolved {_counted(all_)}; {told.instances} instances in all, {unjudged} of them not judged (environment)"]
    lines.append(
        f"by the official reading of the logs: {told.official}" + (f"; it differs on {', '.join(told.differ)}" if told.differ else "")
    )
    if told.excused:
        listed = ", ".join(f"{id} ({count})" for id, count in told.excused.items())
        lines.append(f"judged without tests that the true patch does not pass here: {listed}")
    if told.harm:
        lines.append(f"patches that broke tests: {len(told.harm)} ({', '.join(told.harm)})")
    if told.flaky:
        listed = "; ".join(f"{id}: {', '.join(tests)}" for id, tests in told.flaky.items())
        lines.append(f"tests that two runs of one tree disagree on: {listed}")
    if told.verified_wrong:
        lines.append(f"called verified and not resolved: {len(told.verified_wrong)} ({', '.join(told.verified_wrong)})")
    if told.warnings:
        listed = "; ".join(f"{id}: {', '.join(words)}" for id, words in told.warnings.items())
        lines.append(f"words of the true patch that were shown before they were said: {listed}")
    if told.overlap is not None and told.bloat is not None:
        functions = "" if told.function_overlap is None else f", functions: {told.function_overlap:.0%}"
        lines.append(
            f"files of the true patch that were changed: {told.overlap:.0%} on average{functions}; lines changed over the true patch's: {told.bloat:.1f} (median)"
        )
    cost = [f"judging took {told.judging_seconds:.0f} s"]
    if told.steps:
        cost.append(
            f"runs took {told.seconds:.0f} s, {told.steps} steps, {told.replies} replies, {told.tokens:,} tokens ({told.cached:,} of them cached)"
        )
    if told.cost is not None and told.tokens:
        each = f", {told.cost / told.all.resolved:,.2f} for each that was resolved" if told.all.resolved else ""
        cost.append(f"tokens cost {told.cost:,.2f}{each}")
    if told.cached:
        bound = f", where a server that forgets nothing would have had {share(told.reusable, told.input)}" if told.reusable else ""
        back = f"; at most {told.preempted} requests were put back and computed again" if told.preempted else ""
        cost.append(f"{share(told.cached, told.input)} of the prompts' tokens were in the server's cache{bound}{back}")
    if told.queued_s is not None and told.first_s is not None and told.replies:
        cost.append(
            f"a reply waited {told.queued_s / told.replies:.2f} s in the server's queue and {told.first_s / told.replies:.2f} s for its first token, on average"
        )
    compared = []
    if flips is not None:
        compared = [
            f"against {flips.first}: {flips.lead.mean:+.1%} [{flips.lead.low:+.1%}, {flips.lead.high:+.1%}] on {flips.both} instances that both judged,"
            f" sign test p = {flips.p:.3f}",
            f"gained: {', '.join(flips.gained) or 'none'}",
            f"lost: {', '.join(flips.lost) or 'none'}",
        ]
    return [lines, cost, compared]


def summary(told: Told) -> str:
    """Return the one line that says how many were resolved."""
    return f"resolved {_counted(told.all)}; {told.instances - told.all.judged} of {told.instances} not judged"


def _share(rows: Sequence[Row]) -> Share:
    good = sum(row.status == "resolved" for row in rows)
    return Share(good, len(rows), share_of(good, len(rows)))


def _counted(share: Share) -> str:
    if not share.judged:
        return "0 of 0 judged"
    return f"{share.resolved} of {share.judged} judged, {share.share.mean:.1%} [{share.share.low:.1%}, {share.share.high:.1%}]"


def _repository_rows(told: Told) -> list[tuple[str, ...]]:
    return [
        (name, str(share.resolved), str(share.judged), f"{share.share.mean:.1%} [{share.share.low:.1%}, {share.share.high:.1%}]")
        for name, share in told.by_repository.items()
    ]


def _cells(row: Row) -> tuple[str, ...]:
    official = "" if row.official is None else "resolved" if row.official else "not resolved"
    why = row.reason or failure_of(row)
    return row.id, row.status, why, official, f"{row.seconds + (row.spent.seconds if row.spent else 0.0):.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join(
        [*lines, *(f"| {' | '.join(code_span(cell, limit=1000).replace('|', chr(92) + '|') for cell in row)} |" for row in rows)]
    )


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>\n{body}</table>"


def _met(changed: Sequence[str], true: Sequence[str]) -> float:
    """Return the share of what the true patch changes that was changed."""
    return len(set(changed) & set(true)) / max(1, len(true))


def _cost(usage: Usage, prices: Prices) -> float:
    """Return what tokens cost. Cached ones are inside those of prompts."""
    cached = usage.cached_tokens or 0
    return ((usage.input_tokens - cached) * prices.input + cached * prices.cached + usage.output_tokens * prices.output) / 1e6


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _median(values: Sequence[float]) -> float | None:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None


def counts(rows: Sequence[Row]) -> str:
    """Return how many rows have each status, in words."""
    found = Counter(row.status for row in rows)
    return ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in found.most_common())
