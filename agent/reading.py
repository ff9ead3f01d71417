"""A model reads the changes of the likeliest commits and says which one introduced a defect.

The ranking without a model holds a true culprit among its first ten in nine cases of ten, and has it first in two of three: what is left is to choose
inside a short list, which models do well when they can search it (Risse and Boehme 2026, arXiv 2603.29378). So the model is shown what the fix changes
and the list, may search the changes of all in it, read a few, and ends by naming ids from it. It sees nothing else of the repository, nothing that the
defect's base cannot reach, and of the fix's message only what the defect holds. Stopped before it names anything, it leaves the ranking as it was.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backstory.agent.budget import Budget, Purse
from backstory.agent.defect import Defect
from backstory.agent.inducers import Inducer
from backstory.agent.loop import Asked, Conversation, Ended, Voice
from backstory.agent.messages import Message
from backstory.agent.prompting import origin_text, reader
from backstory.agent.toolbox import Still, Toolbox
from backstory.agent.trace import Unrecorded
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Evidence, Oid
from backstory.tools.targets import short
from backstory.tools.tool import Arguments, Observation, Parameter, Tool, text_argument
from backstory.tools.visible import clean, one_line

SHORTLIST = 10
READS = 6  # diffs one question may show: as many as a person reads before deciding
REPLIES = 12
DIFF_CHARS = 8_000  # of one diff
HITS = 40  # lines one search shows
HIT_CHARS = 160
REASON_CHARS = 300
DIGITS = 7  # fewest of an id


@dataclass(frozen=True)
class Reading:
    """What a model left of a ranking. ranked: all candidates, those it named first; reason: in its words, or ""; ended: how its conversation did."""

    ranked: tuple[Inducer, ...]
    reason: str
    ended: Ended


def read_inducers(graph: RepoGraph, defect: Defect, ranked: Sequence[Inducer], asked: Asked, budget: Budget) -> tuple[Reading, Purse]:
    """Return the ranking with those first that a model names, and what that cost. graph: pinned at the defect's base. Nothing is recorded."""
    trace = Unrecorded()
    purse = Purse(budget, trace)
    shortlist = ranked[:SHORTLIST]
    diffs = _Diffs(graph, defect, [one.commit for one in shortlist])
    toolbox = Toolbox(diffs.tools(), Still(graph.mirror.tree(graph.at)), closed={}, ending="blame")
    opening = (reader(), Message("user", origin_text(graph, defect, shortlist, reads=READS, replies=REPLIES)))
    recap = "The conversation was too long and is left out. Search or read once more if you must, or call `blame`."
    ended = Conversation(Voice("origin", asked, trace, purse), toolbox, opening, steps=REPLIES, recap=lambda: recap).run()
    if ended.arguments is None:
        return Reading(tuple(ranked), "", ended), purse
    reason = one_line(str(ended.arguments["reason"]), limit=REASON_CHARS)
    named = [oid for oid in (diffs.meant(text) for text in _texts(ended.arguments)) if oid is not None]
    return Reading(named_first(ranked, named, reason), reason, ended), purse


def named_first(ranked: Sequence[Inducer], named: Sequence[Oid], reason: str) -> tuple[Inducer, ...]:
    """Return a ranking with some commits before the others, in their order, for a reason of the model's. Probabilities stay those of the ranking."""
    by_commit: Mapping[Oid, Inducer] = {one.commit: one for one in ranked}
    first = [replace(by_commit[oid], why=(Evidence("model", oid, reason), *by_commit[oid].why)) for oid in dict.fromkeys(named)]
    return (*first, *(one for one in ranked if one.commit not in named))


class _Diffs:
    """The changes of the commits in a short list, in the files of a defect under any name these had; of a commit that changed none of them, all."""

    def __init__(self, graph: RepoGraph, defect: Defect, shortlist: Sequence[Oid]) -> None:
        self._graph, self._shortlist, self._read = graph, shortlist, 0
        self._files = {piece.path for piece in defect.pieces}
        self._texts: dict[Oid, str] = {}

    def tools(self) -> tuple[Tool, ...]:
        """Return what may be done with them."""
        commit = Parameter("commit", "string", "an id from the list", required=True)
        pattern = Parameter("pattern", "string", "a regular expression, such as a name the fix takes out", required=True)
        named = Parameter("commits", "strings", "ids from the list, the surest first", required=True)
        reason = Parameter("reason", "string", "what was wrong and how the commit made it so", required=True)
        return (
            Tool("diff", f"Show what a commit changed in the files of the fix; at most {READS} times.", (commit,), "reads", self._diff),
            Tool("grep", "Search the lines that the listed commits added (+) and removed (-).", (pattern,), "reads", self._grep),
            Tool("blame", "End: the commits that introduced the fault.", (named, reason), "ends", self._blame),
        )

    def meant(self, text: str) -> Oid | None:
        """Return the commit of the list that a text begins with the id of."""
        digits = re.match(rf"[0-9a-f]{{{DIGITS},40}}", text.strip().strip("`'\"-*• ").lstrip().lower())
        return next((oid for oid in self._shortlist if oid.startswith(digits[0])), None) if digits else None

    def _diff(self, arguments: Arguments) -> Observation:
        oid = self.meant(text_argument(arguments, "commit"))
        if oid is None:
            return Observation(f"that is no commit of the list; there are {', '.join(map(short, self._shortlist))}", ok=False)
        if self._read >= READS:
            return Observation(f"{READS} diffs were read, which is all there are; search them with `grep`, or call `blame`", ok=False)
        self._read += 1
        text = self._text(oid)
        cut = f"\n[... {len(text) - DIFF_CHARS} characters left out; `grep` searches them too ...]" if len(text) > DIFF_CHARS else ""
        return Observation(clean(text[:DIFF_CHARS]).text + cut)

    def _grep(self, arguments: Arguments) -> Observation:
        try:
            wanted = re.compile(text_argument(arguments, "pattern"))
        except re.error as error:
            return Observation(f"that is no regular expression: {error}", ok=False)
        hits = [
            f"{short(oid)} {one_line(line, limit=HIT_CHARS)}"
            for oid in self._shortlist
            for line in self._text(oid).splitlines()
            if line[:1] in ("+", "-") and line[:3] not in ("+++", "---") and wanted.search(line[1:])
        ]
        more = [f"({len(hits) - HITS} more; ask for something rarer)"] if len(hits) > HITS else []
        return Observation("\n".join([*hits[:HITS], *more]) or "no listed commit added or removed such a line")

    def _blame(self, arguments: Arguments) -> Observation:
        if any(self.meant(text) is not None for text in _texts(arguments)):
            return Observation("noted")
        return Observation(f"none of these is in the list; there are {', '.join(map(short, self._shortlist))}", ok=False)

    def _text(self, oid: Oid) -> str:
        if oid not in self._texts:
            changes = self._graph.commit(oid).changes
            today = self._graph.changed_paths(oid)
            own = [change.path for change, path in zip(changes, today, strict=True) if path in self._files]
            diff = (
                self._graph.diff(oid, own or [change.path for change in changes])
                if changes
                else b"(a merge, which changes nothing by itself)"
            )
            self._texts[oid] = diff.decode("utf-8", "replace")
        return self._texts[oid]


def _texts(arguments: Arguments) -> tuple[str, ...]:
    written = arguments["commits"]
    assert isinstance(written, tuple)
    return tuple(text for text in written if text.strip())
