"""The localizer: a model that starts from the ranking made without one, looks around with the graph's tools, and names the places that must change.

It ends with one structured call. Stopped before that, it hands over the ranking, the places it has looked at first. What it says is checked: a place
it names has to exist.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from backstory.agent.budget import Budget, Purse
from backstory.agent.calls import Call
from backstory.agent.localize import FileScore, Localization
from backstory.agent.loop import Asked, Conversation, Ended, Voice
from backstory.agent.messages import Message
from backstory.agent.prompting import SIMILAR, case_text, localizer_text, place_id, system
from backstory.agent.toolbox import Still, Toolbox
from backstory.agent.trace import Unrecorded
from backstory.agent.types import Issue
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Evidence, Location, Oid, RepoPath, Span, Symbol
from backstory.memory.recall import recall
from backstory.tools.look import look_tools
from backstory.tools.targets import File, Lines, find_target
from backstory.tools.tool import Arguments, Observation, Parameter, Tool
from backstory.tools.view import View
from backstory.tools.visible import one_line

# Replies a localizer has: published localizers end after 5 to 20, and accuracy peaks at moderate depth.
REPLIES = 20
PLACES = 12
REASON_CHARS = 300
# A place as models list it: a bullet or number, the id, then why.
_PLACE = re.compile(r"\s*(?:[-*•]\s+|\d+[.)]\s+)?(?P<place>\S+)\s*(?P<reason>.*)")
CLOSED = dict.fromkeys(
    ("check", "edit", "plan", "reproduce", "revert", "run", "submit", "write"),
    "is closed while the places are looked for; end with `found`",
)


@dataclass(frozen=True)
class Findings:
    """What the localizer hands over.

    places: best first; diagnosis: what is wrong and what must change, or ""; ended: None when no model was asked. transcript: all that was said, empty
    unless the search came to its end.
    """

    places: tuple[Location, ...]
    diagnosis: str
    ended: Ended | None
    transcript: tuple[Message, ...] = ()

    def joined(self, ranking: Localization) -> Localization:
        """Return the ranking with these places, and the files they are in before the others."""
        first: dict[RepoPath, FileScore] = {}
        for place in self.places:
            if any(item.kind == "model" for item in place.why):
                first.setdefault(place.path, FileScore(place.path, place.score, place.why))
        return Localization([*first.values(), *(file for file in ranking.files if file.path not in first)], list(self.places))


def found_tool(view: View) -> Tool:
    """Return the tool that ends a search."""
    return Tool(
        "found",
        "End the search: the places that must change, the surest first, and what must change there.",
        (
            Parameter("places", "strings", "one for each: id, then why; for example `pkg/a.py:Server.close — closes twice`", required=True),
            Parameter("diagnosis", "string", "what is wrong and what must change", required=True),
        ),
        "ends",
        lambda arguments: _found(view, arguments),
    )


def _found(view: View, arguments: Arguments) -> Observation:
    read = read_places(view, arguments)
    wrong = [observation.text for place, observation in read if place is None and observation is not None]
    if all(place is None for place, _ in read):
        return Observation("\n".join(["none of these places is there; name them by the ids you were shown", *wrong]), ok=False)
    return Observation("\n".join(["noted", *wrong]))


def read_places(view: View, arguments: Arguments) -> list[tuple[Location | None, Observation | None]]:
    """Return each place that was named, or what is wrong with it; each once."""
    written = arguments["places"]
    assert isinstance(written, tuple)
    read: list[tuple[Location | None, Observation | None]] = []
    for text in [line for entry in written for line in entry.splitlines() if line.strip()][:PLACES]:
        found = _PLACE.match(text)
        name, reason = (found["place"].strip("`'\",;:"), found["reason"]) if found else (text, "")
        target = find_target(view, name)
        why = (Evidence("model", "", one_line(reason.lstrip("-—–:( "), limit=REASON_CHARS) or "named by the localizer"),)
        if isinstance(target, Symbol):
            read.append((Location(target.path, target.span, target.id, 1.0, why), None))
        elif isinstance(target, Lines):
            read.append((Location(target.path, target.span, None, 1.0, why), None))
        elif isinstance(target, File):
            last = max(1, len((view.text(target.path) or b"").splitlines()))
            read.append((Location(target.path, Span(1, last), None, 1.0, why), None))
        else:
            read.append((None, target if isinstance(target, Observation) else Observation(f"{name!r} is no place in the code", ok=False)))
    return read


def find_places(voice: Voice, case: str, ranking: Localization, tools: Sequence[Tool], *, view: View, replies: int) -> Findings:
    """Return where the code must change, as far as the model came. case: the text all agents on the issue share."""
    toolbox = Toolbox(tools, Still(view.graph.mirror.tree(view.graph.at)), closed=CLOSED, ending="found")
    looked: list[str] = []

    def remark(call: Call, observation: Observation, before: Oid) -> str:
        if call.name == "read" and observation.ok:
            looked.append(observation.text.partition("  ")[0].removesuffix(" [test]"))
        return ""

    def recap() -> str:
        return (
            "The conversation was too long and is left out. Looked at: "
            + (", ".join(dict.fromkeys(looked)) or "nothing")
            + ". Go on, or call `found`."
        )

    opening = (system(), Message("user", f"{case}\n{localizer_text(ranking.locations, replies=replies)}"))
    conversation = Conversation(voice, toolbox, opening, steps=replies, recap=recap, remark=remark)
    ended = conversation.run()
    if ended.arguments is None:
        seen = [place for place in ranking.locations if place_id(place) in looked]
        return Findings((*seen, *(place for place in ranking.locations if place not in seen)), "", ended)
    named = [place for place, _ in read_places(view, ended.arguments) if place is not None]
    return Findings(merged(named, ranking.locations), str(ended.arguments["diagnosis"]), ended, tuple(conversation.messages))


def merged(named: Sequence[Location], ranked: Sequence[Location]) -> tuple[Location, ...]:
    """Return the places a model named, each once, then those of the ranking that it did not; scores fall in this order."""
    evidence = {(place.path, place.symbol): place.why for place in ranked}
    first: dict[tuple[RepoPath, str, Span], Location] = {}
    for place in named:
        why = (*place.why, *evidence.get((place.path, place.symbol), ()))
        first.setdefault((place.path, str(place.symbol), place.span), replace(place, why=why))
    kept = [place for place in ranked if (place.path, str(place.symbol), place.span) not in first]
    ceiling = max((place.score for place in kept), default=0.0)
    return (*(replace(place, score=_between(ceiling, number, len(first))) for number, place in enumerate(first.values())), *kept)


def _between(low: float, number: int, count: int) -> float:
    """Return a score above `low` for the number-th of `count` places, falling."""
    return 1.0 - (1.0 - low) * number / (count + 1)


def locate_with_model(graph: RepoGraph, issue: Issue, ranking: Localization, asked: Asked, budget: Budget) -> tuple[Findings, Purse]:
    """Return what a model makes of a ranking, outside a run: nothing is recorded and nothing of the repository runs. The purse tells what it cost."""
    trace = Unrecorded()
    purse = Purse(budget, trace)
    view = View(graph)
    voice = Voice("localizer", asked, trace, purse)
    case = case_text(graph, issue, recall(issue.title, graph, limit=SIMILAR))
    return find_places(voice, case, ranking, (*look_tools(view), found_tool(view)), view=view, replies=REPLIES), purse
