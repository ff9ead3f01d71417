"""What a tool call came to, as the trace keeps it."""

from dataclasses import dataclass
from typing import cast

from backstory.agent.trace import Codec, Json
from backstory.agent.written import from_json, to_json
from backstory.graph.types import Oid
from backstory.tools.tool import Observation


@dataclass(frozen=True)
class Acted:
    """What a call came to: what the model sees, and the tree afterwards."""

    observation: Observation
    tree: Oid


def _same_effect(written: Json) -> Json:
    """Return what must recur when a call runs again: the tree and whether it worked; and the words, unless a program spoke them."""
    acted = from_json(written, Acted)
    ran = acted.observation.exit_code is not None
    return [acted.tree, acted.observation.ok, acted.observation.exit_code, "" if ran else acted.observation.text]


ACTED: Codec[Acted] = Codec(
    encode=lambda acted: cast(Json, to_json(acted)), decode=lambda written: from_json(written, Acted), stable=_same_effect
)
