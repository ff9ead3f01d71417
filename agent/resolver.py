"""The resolver: a model that changes code on a desk of its own until the check passes.

Besides editing it is given what a person at this place would ask for: when it opens a function, the newest change to it; when it changes a declaration,
who uses it; after an edit, the word to check. It hands in with one structured call, which is held to the verdict: a tree that does not pass is sent
back a few times, and what it is in the end is what is reported. Whatever stops it, what it has changed is judged and kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backstory.agent.calls import Call
from backstory.agent.examine import Examiner, shown
from backstory.agent.localizer import Findings
from backstory.agent.loop import Conversation, Ended, Voice
from backstory.agent.messages import Message
from backstory.agent.plan import Plan, changed_declarations
from backstory.agent.prompting import places_text, resolver_text, system
from backstory.agent.question import Question
from backstory.agent.quote import quoted
from backstory.agent.toolbox import Toolbox
from backstory.agent.types import Reproduced
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Oid, RepoPath, Span, Symbol
from backstory.memory.recall import PastChange
from backstory.prompts import render
from backstory.tools.desk import Desk
from backstory.tools.history import base_span
from backstory.tools.patch import Patch
from backstory.tools.targets import Lines, find_target, short
from backstory.tools.tool import Arguments, Observation, Parameter, Tool
from backstory.tools.view import View
from backstory.tools.visible import one_line

# Replies an attempt has: median turns of agents on such tasks are 33 to 43 (notes of the field), hard ones take twice as many.
REPLIES = 60
# How often a tree that does not pass, or that was never checked, is sent back.
SENT_BACK = 2
# A function whose newest change comes along when it is opened is at most this long; past it, the change is about something else.
OPENED_LINES = 250
CARDS = 6
CARD_CHARS = 3_000
CHANGES_CHARS = 8_000
# Ends after which the tree is not judged any more: another attempt is proven; the model may come back, and then the attempt goes on.
UNJUDGED = ("superseded", "model")
CLOSED = {"found": "is closed now; the places are known, end with `submit`"}


@dataclass(frozen=True)
class Attempt:
    """What one attempt came to.

    patch: what it changed, empty when nothing. question: what it was to answer, None when there was no check and no reproduction. passed: the
    verdict on its tree is "passed". summary: what it says of its work, or "".
    """

    ended: Ended
    patch: Patch
    question: Question | None
    reproduction: Reproduced | None
    passed: bool
    summary: str


class Resolver:
    """One attempt at an issue, on one desk."""

    def __init__(self, voice: Voice, graph: RepoGraph, desk: Desk, view: View, examiner: Examiner, plan: Plan) -> None:
        self._voice, self._graph, self._desk, self._view = voice, graph, desk, view
        self._examiner, self._plan = examiner, plan
        self._refused = 0
        self._named_open = False
        self._cards: set[str] = set()
        self._looked: list[str] = []

    def solve(self, case: str, findings: Findings, similar: Sequence[PastChange], tools: Sequence[Tool], *, replies: int) -> Attempt:
        """Talk with the model until it hands in or is stopped."""
        toolbox = Toolbox(tools, self._desk, closed=CLOSED, ending="submit")
        text = resolver_text(findings.places, findings.diagnosis, similar, has_check=self._examiner.question is not None, replies=replies)
        opening = (system(), Message("user", f"{case}\n{text}"))
        goes_on = self._voice.asked.handover == "transcript" and findings.transcript
        ended = Conversation(
            self._voice,
            toolbox,
            opening,
            steps=replies,
            recap=lambda: self._recap(findings),
            remark=self._remark,
            begin=(*findings.transcript, Message("user", text)) if goes_on else (),
        ).run()
        changed = bool(self._desk.patch())
        known = self._examiner.verdict() if changed and ended.why not in UNJUDGED else self._examiner.known()
        return Attempt(
            ended,
            self._desk.patch(),
            self._examiner.question,
            self._examiner.reproduction,
            known is not None and known.status == "passed",
            one_line(str((ended.arguments or {}).get("summary") or ""), limit=2000),
        )

    def submit_tool(self) -> Tool:
        """Return the tool that hands in."""
        return Tool(
            "submit",
            "Hand in the work tree as the solution. `check` must have passed on it.",
            (Parameter("summary", "string", "what was wrong and what you changed; what is missing, if anything", required=True),),
            "ends",
            self._submitted,
        )

    def _submitted(self, arguments: Arguments) -> Observation:
        objection = self._objection()
        if objection is None or self._refused >= SENT_BACK:
            return Observation("handed in")
        self._refused += 1
        return Observation(objection, ok=False)

    def _objection(self) -> str | None:
        """Return why the tree should not be handed in yet, or None."""
        if not self._desk.patch():
            return "nothing is changed yet; edit the code, or submit again if it cannot be solved"
        verdict = self._examiner.verdict()
        if verdict is None:
            return "there is no check; write a test that shows the fault with `reproduce`, or submit again without"
        if verdict.status != "passed":
            return f"the check does not pass on this tree:\n{shown(verdict).text}"
        still_open = self._plan.open()
        if still_open and not self._named_open:
            self._named_open = True
            return "\n".join(["open on the plan; look at them, then submit again:", *still_open])
        return None

    # --- what comes along -------------------------------------------------------------------------------------------------------------

    def _remark(self, call: Call, observation: Observation, before: Oid) -> str:
        if call.name == "read" and observation.ok:
            return self._opened(str(call.arguments.get("target", "")))
        if self._desk.tree == before or (not observation.ok and call.name != "run"):
            return ""
        return "\n".join(part for part in (self._edited(before), self._word_to_check()) if part)

    def _opened(self, written: str) -> str:
        """Return the newest change to a function that was opened, once for each."""
        target = find_target(self._view, written)
        if not isinstance(target, Symbol | Lines):
            return ""
        path, span = target.path, base_span(self._view, target.path, target.span)
        name = str(target.id) if isinstance(target, Symbol) else f"{path}:{target.span.first}-{target.span.last}"
        self._looked.append(name)
        if span is None or span.last - span.first >= OPENED_LINES or name in self._cards or len(self._cards) >= CARDS:
            return ""
        if path not in self._graph.files() or self._graph.code.is_test(path):
            return ""
        self._cards.add(name)
        return newest_change(self._graph, path, span)

    def _edited(self, before: Oid) -> str:
        """Return what the edit made worth a look."""
        self._view.refresh()
        said: list[str] = []
        for path in self._desk.changed():
            if self._desk.read(path) == self._desk.read(path, before):
                continue
            declared = (
                [] if self._graph.code.is_test(path) else changed_declarations(self._graph.code.symbols(path), self._view.symbols(path))
            )
            said.append(self._plan.edited(path, declared))
        return "\n".join(part for part in said if part)

    def _word_to_check(self) -> str:
        if self._examiner.question is None:
            return "no test shows the fault yet: `reproduce` first, then `check`"
        return "now `check`"

    def _recap(self, findings: Findings) -> str:
        known = self._examiner.known()
        return render(
            "recap",
            places=", ".join(dict.fromkeys(self._looked)) or places_text(findings.places),
            changes=quoted("diff", self._desk.patch().diff.decode("utf-8", "replace"), limit=CHANGES_CHARS) or "nothing",
            verdict=shown(known).text if known is not None else "none on this tree",
            plan=self._plan.show(),
        ).text


def newest_change(graph: RepoGraph, path: RepoPath, span: Span) -> str:
    """Return the newest commit that wrote some of these lines of the base: date, subject and its change to the file, or ""."""
    said = {graph.message(oid) for _, oid in graph.origin(path, span)}
    newest = max(said, key=lambda message: (message.when, message.oid), default=None)
    if newest is None or not graph.parents(newest.oid):
        return ""
    was = graph.was_path(path, newest.oid)
    diff = graph.diff(newest.oid, [was] if was is not None else [path]).decode("utf-8", "replace")
    head = f"last changed {newest.when.date().isoformat()} by {short(newest.oid)}: {one_line(newest.subject, limit=120)}"
    return f"{head}\n{quoted('diff', _hunks(diff), limit=CARD_CHARS)}".rstrip()


def _hunks(diff: str) -> str:
    """Return a diff without the lines before its first hunk."""
    at = diff.find("\n@@")
    return diff[at + 1 :] if at >= 0 else diff
