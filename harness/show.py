"""Tells what a run came to, and how: lines for a person, one object for a program, a Markdown hand-over for whoever goes on.

All three are made from the recorded outcome and events alone. The text in them is foreign (commit messages, paths, test output): lines are cleaned
by the face that prints them, the object leaves as ASCII, and in the hand-over it stands in fences and code spans that it cannot close.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backstory.agent.acted import Acted
from backstory.agent.messages import Reply, Usage
from backstory.agent.trace import Event, Json
from backstory.agent.types import Agents, Blamed, Solution, Suspect
from backstory.agent.vitals import Vitals
from backstory.agent.written import from_json, to_json
from backstory.graph.types import Evidence, Location
from backstory.harness.reuse import Reuse, reuse_of
from backstory.harness.untrusted import code_span, fenced
from backstory.prompts import render
from backstory.tools.visible import one_line

if TYPE_CHECKING:  # it brings the whole agent along, which `locate` does not need
    from backstory.agent.runs import FixRequest, Outcome, RunSummary

SCHEMA_VERSION: Final = 1  # of every JSON object made here; a field that goes or changes its meaning raises it
SHORT_OID: Final = 12  # digits of a commit shown to a person; unique in any repository seen so far
LISTED: Final = 5  # suspects and places in a summary: what a person looks at before giving up
ROW_CHARS: Final = 300  # of one entry of a list; what is longer is in the JSON
HANDED_OVER: Final = 15  # suspects, places and attempts in a hand-over: enough to go on without Backstory
HANDED_OVER_CHARS: Final = 20_000  # of issue or diff in a hand-over, so that it fits a model's window beside the code

_STATUS_STYLE: Final = {"verified": "good", "unverified": "notice", "no_patch": "bad"}
_STATUS_WORDS: Final = {"verified": "verified patch", "unverified": "patch, not verified", "no_patch": "no patch"}
_SEARCH_FIELDS: Final = ("schema", "run", "repo", "base", "check", "blamed", "suspects", "tested", "limit", "reason", "seconds", "notes")
_BLAME_WORDS: Final = {
    "confirmed": "the check fails at this commit and passes just before it",
    "narrowed": "one of a few commits that the check could not tell apart",
    "suspected": "ranked first; not confirmed by running the check",
}


@dataclass(frozen=True)
class Line:
    """One or more lines for a person, not cleaned yet. style: a name that `backstory.terminal` knows, or ""."""

    text: str = ""
    style: str = ""


def outcome_lines(outcome: "Outcome") -> list[Line]:
    """Return the result of a run for a person: the verdict first, then the patch, then the evidence."""
    solution = outcome.solution
    lines = [
        Line(f"{_headline(solution)} — run {outcome.run_id}", _STATUS_STYLE[solution.status]),
        Line(f"issue: {one_line(outcome.title)} ({one_line(outcome.issue_id)})"),
        Line(f"base: {short(outcome.base)} of {outcome.repo}"),
    ]
    if solution.check:
        lines.append(Line(f"check: {one_line(solution.check)}"))
    if solution.verified_by:
        lines.append(Line(f"verified: {one_line(solution.verified_by, limit=500)}"))
    if solution.scope:
        lines.append(Line(f"still passing: {_listed([str(path) for path in solution.scope])}"))
    if solution.reason:
        lines.append(Line(f"why not: {one_line(solution.reason, limit=500)}"))
    lines += blamed_lines(solution)
    if solution.patch:
        lines += [Line(), Line("patch", "bold"), Line(solution.patch.diff.decode("utf-8", "replace").rstrip("\n"))]
    lines += _section("evidence", (f"{item.note} ({_short_if_oid(item.ref)})" if item.ref else item.note for item in solution.why))
    if solution.status != "verified" or not solution.blamed:
        lines += suspect_lines(solution.suspects[:LISTED])
        lines += location_lines(solution.locations[:LISTED])
    lines += _section("tried", (f"{tried.outcome}: {tried.title}{_dash(tried.note)}" for tried in solution.tried))
    if solution.tested:
        lines += [Line(), Line(f"history: the check ran on {len(solution.tested)} commits ({_counts(solution)})")]
    lines += _agents_lines(solution.agents, outcome.served)
    lines += _section("notes", outcome.notes)
    times = ", ".join(f"{name} {seconds:.1f}" for name, seconds in outcome.phases.items())
    lines += [Line(), Line(f"seconds: {times} (sandbox {outcome.sandbox}, environment {outcome.environment})", "dim")]
    if solution.patch:
        lines.append(Line(f"bring it in with: backstory apply {outcome.run_id}", "dim"))
    return lines


def outcome_json(outcome: "Outcome") -> dict[str, Json]:
    """Return the result of a run as one object; docs/output.md describes its fields."""
    solution, patch = outcome.solution, outcome.solution.patch
    return {
        "schema": SCHEMA_VERSION,
        "run": outcome.run_id,
        "status": solution.status,
        "exit_code": int(outcome.exit_code),
        "issue": {"id": outcome.issue_id, "title": outcome.title},
        "repo": outcome.repo,
        "base": outcome.base,
        "check": solution.check,
        "verified_by": solution.verified_by or None,
        "scope": list(solution.scope),
        "patch": None
        if patch is None
        else {
            "base": patch.base,
            "tree": patch.tree,
            "files": list(patch.files),
            "left_out": list(patch.left_out),
            "diff": patch.diff.decode("utf-8", "surrogateescape"),
        },
        "blamed": _blamed_json(solution.blamed),
        "evidence": _why(solution.why),
        "suspects": suspects_json(solution.suspects),
        "locations": locations_json(solution.locations),
        "tested": [{"commit": tested.commit, "outcome": tested.outcome, "note": tested.note} for tested in solution.tested],
        "tried": [
            {"kind": tried.kind, "title": tried.title, "size": tried.size, "outcome": tried.outcome, "note": tried.note}
            for tried in solution.tried
        ],
        "limit": solution.limit,
        "agents": _agents_json(solution.agents),
        "served": None if outcome.served is None else to_json(outcome.served),
        "reason": solution.reason or None,
        "seconds": dict(outcome.phases),
        "notes": list(outcome.notes),
        "sandbox": outcome.sandbox,
        "environment": outcome.environment,
    }


def search_lines(outcome: "Outcome") -> list[Line]:
    """Return what a search of the history came to, for a person: the commit it found, or those that are left."""
    solution = outcome.solution
    lines = blamed_lines(solution)[1:] or [Line("no commit found", "bad")]
    if solution.reason:
        lines.append(Line(f"search: {one_line(solution.reason, limit=500)}"))
    if solution.blamed is None or solution.blamed.status != "confirmed":
        lines += suspect_lines(solution.suspects)
    if solution.tested:
        lines += [Line(), Line(f"history: the check ran on {len(solution.tested)} commits ({_counts(solution)})")]
    return [*lines, *_section("notes", outcome.notes)]


def search_json(outcome: "Outcome") -> dict[str, Json]:
    """Return what a search of the history came to as one object, in the fields of a run that was to find a repair."""
    whole = outcome_json(outcome)
    return {name: whole[name] for name in _SEARCH_FIELDS}


def story_lines(run_id: str, events: Sequence[Event], outcome: "Outcome | None") -> list[Line]:
    """Return what happened in a run, event by event, and what it came to."""
    lines = [Line(f"run {run_id}", "bold")]
    lines += [Line(f"{event.at[11:19]}  {_told(event)}") for event in events if event.kind != "finished"]
    reuse = reuse_of(events)
    if reuse is not None:
        lines.append(Line(reuse_words(reuse), "" if reuse.drifted <= reuse.whole else "notice"))
    if outcome is None:
        return [*lines, Line(), Line(f"not finished; go on with: backstory resume {run_id}", "notice")]
    return [*lines, Line(), *outcome_lines(outcome)]


def story_json(run_id: str, events: Sequence[Event], outcome: "Outcome | None") -> dict[str, Json]:
    """Return everything recorded of a run as one object."""
    reuse = reuse_of(events)
    return {
        "schema": SCHEMA_VERSION,
        "run": run_id,
        "outcome": None if outcome is None else outcome_json(outcome),
        "reuse": None if reuse is None else to_json(reuse),
        "events": [{"seq": event.seq, "at": event.at, "lane": event.lane, "kind": event.kind, "body": event.body} for event in events],
    }


def summary_line(run: "RunSummary") -> str:
    """Return one run as one line: id, state, blamed commit, title and repository, and what a model's replies cost."""
    blamed = short(run.blamed) if run.blamed else "-" * SHORT_OID
    cost = ""
    if run.usage is not None:
        cached = "" if run.usage.cached_tokens is None else f", {share(run.usage.cached_tokens, run.usage.input_tokens)} cached"
        cost = f"  {run.usage.input_tokens + run.usage.output_tokens:,} tokens{cached}"
    return f"{run.id}  {run.state:<11}  {blamed}  {one_line(run.title, limit=60)}  ({one_line(run.repo)}){cost}"


def summary_json(run: "RunSummary") -> dict[str, Json]:
    """Return one run of `backstory runs --json`."""
    return {
        "run": run.id,
        "started": run.when,
        "repo": run.repo,
        "title": run.title,
        "state": run.state,
        "exit_code": None if run.exit_code is None else int(run.exit_code),
        "blamed": run.blamed,
        "tokens": None if run.usage is None else tokens_json(run.usage),
    }


def handover(request: "FixRequest", outcome: "Outcome") -> str:
    """Return the Markdown that a person or any model needs to go on from a run; foreign text is quoted so that it stays quoted."""
    solution = outcome.solution
    check = solution.check or request.check
    return render(
        "handover",
        status=_headline(solution),
        reason=one_line(solution.reason, limit=500) or "-",
        run=outcome.run_id,
        base=outcome.base,
        title=code_span(outcome.title) or "-",
        issue=fenced(_cut(request.issue_text)),
        blamed=_handover_blamed(solution.blamed),
        suspects=_items(f"{code_span(suspect.commit)} {suspect.probability:.0%}{_because(suspect.why)}" for suspect in solution.suspects),
        locations=_items(f"{code_span(_place(place))}{_because(place.why)}" for place in solution.locations),
        tried=_items(
            f"{tried.outcome}: {code_span(tried.title)}{' ' + code_span(tried.note) if tried.note else ''}" for tried in solution.tried
        ),
        tested=_items(f"{code_span(tested.commit)} {tested.outcome}" for tested in solution.tested),
        check=fenced(check) if check else "No check is known: write a test that fails because of the issue first.",
        scope=_items(code_span(path) for path in solution.scope),
        patch=fenced(_cut(solution.patch.diff.decode("utf-8", "replace")), language="diff") if solution.patch else "None.",
    ).text


def location_lines(locations: Iterable[Location]) -> list[Line]:
    """Return ranked places, each with the first reason."""
    return _section("places", (f"{place.score:.2f}  {_place(place)}{_reason(place.why)}" for place in locations))


def suspect_lines(suspects: Iterable[Suspect]) -> list[Line]:
    """Return ranked commits, each with the first reason."""
    return _section("suspects", (f"{suspect.probability:4.0%}  {short(suspect.commit)}{_reason(suspect.why)}" for suspect in suspects))


def locations_json(locations: Iterable[Location]) -> list[Json]:
    """Return places as `locate --json` gives them."""
    return [
        {
            "path": place.path,
            "span": [place.span.first, place.span.last],
            "symbol": place.symbol,
            "score": round(place.score, 6),
            "why": _why(place.why),
        }
        for place in locations
    ]


def suspects_json(suspects: Iterable[Suspect]) -> list[Json]:
    """Return suspected commits, most probable first."""
    return [{"commit": suspect.commit, "probability": round(suspect.probability, 6), "why": _why(suspect.why)} for suspect in suspects]


def short(oid: str) -> str:
    """Return the digits of a commit that a person reads."""
    return oid[:SHORT_OID]


def _why(evidence: Iterable[Evidence]) -> list[Json]:
    return [{"kind": item.kind, "ref": item.ref, "note": item.note} for item in evidence]


def _headline(solution: Solution) -> str:
    words = _STATUS_WORDS[solution.status]
    return f"{words}, stopped by a limit: {solution.limit}" if solution.limit and solution.status != "verified" else words


def _agents_lines(agents: Agents | None, served: Vitals | None) -> list[Line]:
    if agents is None:
        return []
    rows = [f"{run.name}: {run.ended} after {run.replies} replies{_dash(one_line(run.note))}" for run in agents.runs]
    rows.append(usage_words(agents.usage, agents.replies))
    if served is not None:
        rows.append(served_words(served))
    if agents.reproduction is not None:
        rows.append(f"test that shows the fault, no part of the patch: {agents.reproduction.path} (in --json)")
    return _section(f"agents ({one_line(agents.model)})", rows)


def usage_words(usage: Usage, replies: int) -> str:
    """Return what replies cost, in words; cached tokens where the server tells them, and how many it would have had, did it forget nothing."""
    cached = ""
    if usage.cached_tokens is not None:
        reusable = usage.reusable_tokens or 0
        cached = (
            f" ({usage.cached_tokens:,} of them cached{f', of {reusable:,} that could be' if reusable >= usage.cached_tokens > 0 else ''})"
        )
    times = [] if usage.queued_s is None else [f"{usage.queued_s:.1f} s of them in the server's queue"]
    times += [] if usage.first_s is None else [f"{usage.first_s:.1f} s until first tokens"]
    waited = f" ({', '.join(times)})" if times and replies > 1 else ""
    took = f"{usage.seconds:.1f} s{waited}"
    return f"{replies} replies: {usage.input_tokens:,} tokens in{cached}, {usage.output_tokens:,} out, {took}"


def served_words(served: Vitals) -> str:
    """Return what a model's servers did while a run went on, for it and for others, in words."""
    again = f", {served.preempted} requests put back and computed again" if served.preempted else ", no request put back"
    return (
        f"the server meanwhile: {served.found:,} tokens of prompts found in its cache and {served.computed:,} computed"
        f" ({share(served.found, served.found + served.computed)}){again}"
    )


def reuse_words(reuse: Reuse) -> str:
    """Return how the server's cache took turns up where the ones before had ended, in words."""
    words = [f"{reuse.whole} found all of the turn before"]
    if reuse.drifted:
        words.append(f"{reuse.drifted} its prompt and not its reply, which the server renders in another way than it was generated")
    if reuse.pushed_out:
        words.append(f"{reuse.pushed_out} less, {reuse.lost_tokens:,} tokens of prompts pushed out")
    return f"cache: of {reuse.whole + reuse.drifted + reuse.pushed_out} turns {'; '.join(words)}"


def share(part: int, whole: int) -> str:
    """Return a share as a percentage.

    >>> share(1, 3), share(0, 0)
    ('33 %', '0 %')
    """
    return f"{part / whole if whole else 0.0:.0%}".replace("%", " %")


def _agents_json(agents: Agents | None) -> Json:
    if agents is None:
        return None
    return {
        "model": agents.model,
        "runs": [{"name": run.name, "ended": run.ended, "note": run.note, "replies": run.replies} for run in agents.runs],
        "replies": agents.replies,
        "tokens": tokens_json(agents.usage),
        "seconds": agents.usage.seconds,
        "queued_s": agents.usage.queued_s,
        "first_s": agents.usage.first_s,
        "diagnosis": agents.diagnosis,
        "summary": agents.summary,
        "reproduction": None
        if agents.reproduction is None
        else {"path": agents.reproduction.path, "content": agents.reproduction.content.decode("utf-8", "surrogateescape")},
        "failure": agents.failure,
    }


def tokens_json(usage: Usage) -> dict[str, Json]:
    """Return the tokens of replies by what became of them."""
    return {"input": usage.input_tokens, "cached": usage.cached_tokens, "reusable": usage.reusable_tokens, "output": usage.output_tokens}


def blamed_lines(solution: Solution) -> list[Line]:
    blamed = solution.blamed
    if blamed is None:
        return []
    lines = [
        Line(),
        Line(f"blamed: {short(blamed.commit)} {one_line(blamed.subject)} ({one_line(blamed.author)}, {blamed.when[:10]})", "bold"),
        Line(f"  {_BLAME_WORDS[blamed.status]}"),
    ]
    if len(blamed.candidates) > 1:
        lines.append(Line(f"  candidates: {_listed([short(oid) for oid in blamed.candidates])}"))
    return lines + [Line(f"  {one_line(item.note)}") for item in _beyond_the_check(blamed)]


def _beyond_the_check(blamed: Blamed) -> list[Evidence]:
    """Return the reasons that the status of the blame does not say already."""
    return [item for item in blamed.why if item.kind != "check"]


def _blamed_json(blamed: Blamed | None) -> Json:
    if blamed is None:
        return None
    return {
        "commit": blamed.commit,
        "subject": blamed.subject,
        "author": blamed.author,
        "when": blamed.when,
        "status": blamed.status,
        "candidates": list(blamed.candidates),
        "why": _why(blamed.why),
    }


def _handover_blamed(blamed: Blamed | None) -> str:
    if blamed is None:
        return "None was found."
    said = f"{code_span(blamed.commit)} {code_span(blamed.subject)}: {_BLAME_WORDS[blamed.status]}."
    return "\n".join([said, *(f"- {code_span(item.note)}" for item in _beyond_the_check(blamed))])


def _section(title: str, rows: Iterable[str]) -> list[Line]:
    """Return a titled list, or nothing when there are no rows."""
    lines = [Line("  " + " ".join(row.splitlines())[:ROW_CHARS]) for row in rows]
    return [Line(), Line(title, "bold"), *lines] if lines else []


def _items(rows: Iterable[str]) -> str:
    """Return rows as a Markdown list, cut at HANDED_OVER."""
    listed = list(rows)
    more = [f"- and {len(listed) - HANDED_OVER} more"] if len(listed) > HANDED_OVER else []
    return "\n".join([*(f"- {row}" for row in listed[:HANDED_OVER]), *more]) or "None."


def _place(place: Location) -> str:
    lines = f"{place.path}:{place.span.first}-{place.span.last}"
    return f"{lines} ({place.symbol.partition(':')[2]})" if place.symbol else lines


def _reason(why: Sequence[Evidence]) -> str:
    return f"  {one_line(why[0].note)}" if why else ""


def _because(why: Sequence[Evidence]) -> str:
    return f" — {code_span(why[0].note)}" if why else ""


def _dash(note: str) -> str:
    return f" — {note}" if note else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _counts(solution: Solution) -> str:
    words = {"good": "pass", "bad": "fail", "skip": "cannot be tested"}
    counted = {word: sum(tested.outcome == outcome for tested in solution.tested) for outcome, word in words.items()}
    return ", ".join(f"{count} {word}" for word, count in counted.items() if count)


def _cut(text: str) -> str:
    left = len(text) - HANDED_OVER_CHARS
    return text if left <= 0 else f"{text[:HANDED_OVER_CHARS]}\n[{left} more characters left out]"


def _told(event: Event) -> str:
    """Return one event as a sentence: its kind, what it was about, and how it ended. Kinds are open, so this reads bodies by their shape."""
    body = dict(event.body)
    if event.kind == "started":
        return "started"
    lane = f"[{event.lane}] " if event.lane else ""
    told = {"reply": _told_reply, "tool": _told_tool}.get(event.kind)
    if told is not None:
        with suppress(KeyError, ValueError, AssertionError):  # one that no version of ours wrote is told like any other
            return one_line(f"{lane}{told(body)}", limit=220)
    seconds = body.pop("seconds", None)
    result = body.pop("result", None)
    key = body.pop("key", None)
    parts = [_brief(part) for part in (key, body or None, _result(result)) if part is not None]
    took = f" ({seconds:.1f} s)" if isinstance(seconds, float) else ""
    return one_line(f"{lane}{event.kind}: {' -> '.join(part for part in parts if part)}{took}", limit=220)


def _told_reply(body: Mapping[str, Json]) -> str:
    """Return what a model said: its calls with the beginnings of their arguments, or its words."""
    reply = from_json(body["result"], Reply)
    calls = ", ".join(f"{call.name}({one_line(call.arguments, limit=60)})" for call in reply.message.calls)
    said = calls or one_line(reply.message.text, limit=100) or reply.stop
    return f"reply: {said} [{usage_words(reply.usage, 1)}]"


def _told_tool(body: Mapping[str, Json]) -> str:
    """Return the first line of what a tool gave."""
    key, acted = body["key"], from_json(body["result"], Acted)
    assert isinstance(key, Mapping)
    return f"{key['tool']}: {acted.observation.text.partition(chr(10))[0]}"


def _result(result: Json) -> Json:
    """Return what matters of a step's result: how it ended and its summary, if it says so."""
    if isinstance(result, Mapping) and "status" in result:
        return " ".join(str(result[name]) for name in ("status", "summary") if result.get(name))
    return result


def _brief(value: Json) -> str:
    if isinstance(value, Mapping):
        return ", ".join(_pairs(value))
    if isinstance(value, str | int | float | bool) or value is None:
        return "" if value is None else one_line(_short_if_oid(str(value)), limit=80)
    return ", ".join(_brief(part) for part in value[:LISTED]) + (" …" if len(value) > LISTED else "")


def _pairs(body: Mapping[str, Json]) -> Iterator[str]:
    for name, value in body.items():
        said = _brief(value)
        if said:
            yield f"{name} {said}"


def _short_if_oid(text: str) -> str:
    return short(text) if len(text) == 40 and all(character in "0123456789abcdef" for character in text) else text
