"""Recorded programs for measuring a model server: what each conversation says turn by turn, drawn from a seed and the same in every arm.

A program is a conversation of an agent. All begin with one header; the prompt of a turn is that of the turn before with the recorded reply and the result of
a tool after it. The reply that goes into the history is the recorded one whatever the server generates, so that every arm sends the same prompts. Tools
sleep: mostly less than a second, now and then half a minute, as in published traces, times a scale.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gate_simulation import mean_tool_s

from backstory.agent.messages import Message

Sizes = Literal["uniform", "mixed"]
FEWEST_TURNS, MOST_TURNS = 8, 12
FIRST_SHARE = 0.2  # of what a program adds to the header, in its first prompt
SPREAD = 0.15  # of a program's peak, around the mean one
SHORT, LONG = 0.5, 1.5  # mean peaks of the two halves of mixed programs
# Common words: one token each, with the space before it, in the vocabularies of most tokenizers.
WORDS = (
    "the of and to in is that for it as was with be by on not he this are or from at which but have an had they you were their one all we can her has there "
    "been if more when will would who so no out up into do any your what then time other some could new them these two may first now only such like our over "
    "even most me after also made did many must before through back years where much way well down should because each just those people how too little"
)


@dataclass(frozen=True)
class Turn:
    """said: what the prompt has more than the one before and the reply to it; reply: the recorded one; tool_s: what the tool takes after it."""

    said: Message
    reply: Message
    tool_s: float


@dataclass(frozen=True)
class Program:
    """A conversation. header: the message that all begin with."""

    header: Message
    turns: tuple[Turn, ...]

    def prompts(self) -> list[tuple[Message, ...]]:
        """Return the history that each turn sends."""
        history, prompts = [self.header], []
        for turn in self.turns:
            history.append(turn.said)
            prompts.append(tuple(history))
            history.append(turn.reply)
        return prompts


@dataclass(frozen=True)
class Shape:
    """How large programs are. Tokens: of the header, of the mean peak, of each reply; tool_scale: what the tools' seconds are multiplied with."""

    programs: int
    header: int
    peak: int
    reply: int
    sizes: Sizes
    tool_scale: float


def draw_programs(shape: Shape, seed: int) -> list[Program]:
    """Return the programs of a seed."""
    header = Message("system", _text(random.Random("header"), shape.header))
    draw = random.Random(f"{shape.sizes} {seed}")
    return [_program(draw, shape, header, place) for place in range(shape.programs)]


def _program(draw: random.Random, shape: Shape, header: Message, place: int) -> Program:
    if shape.sizes == "uniform":
        turns, mean = draw.randint(FEWEST_TURNS, MOST_TURNS), 1.0
    else:
        mean = LONG if place % 2 else SHORT
        turns = MOST_TURNS if place % 2 else FEWEST_TURNS // 2
    own = int(shape.peak * mean * draw.uniform(1 - SPREAD, 1 + SPREAD)) - shape.header - turns * shape.reply
    first = int(FIRST_SHARE * own)
    shares = [draw.uniform(0.5, 1.5) for _ in range(turns - 1)]
    adds = [first, *(int((own - first) * share / sum(shares)) for share in shares)]
    return Program(
        header,
        tuple(
            Turn(
                Message("user", _text(draw, max(8, tokens))),
                Message("assistant", _text(draw, shape.reply)),
                _tool_s(draw) * shape.tool_scale,
            )
            for tokens in adds
        ),
    )


def _tool_s(draw: random.Random) -> float:
    return draw.expovariate(1 / mean_tool_s(draw))


def _text(draw: random.Random, tokens: int) -> str:
    return " ".join(draw.choice(WORDS.split()) for _ in range(tokens))


@dataclass(frozen=True)
class Bound:
    """What a cache that forgets nothing would come to. prompts, reused: tokens."""

    prompts: int
    reused: int

    @property
    def share(self) -> float:
        """Share of the prompts' tokens that need not be computed."""
        return self.reused / self.prompts

    @property
    def computed(self) -> int:
        """Tokens that must be computed."""
        return self.prompts - self.reused


def bound_of(prompts: Iterable[Sequence[int]], block: int) -> Bound:
    """Return the bound of prompts, as token ids in the order they are asked: whole blocks of the longest known beginning, never the whole prompt."""
    known: set[bytes] = set()
    total = reused = 0
    for prompt in prompts:
        digest, hit, going = b"", 0, True
        for start in range(0, len(prompt) - block + 1, block):
            digest = hashlib.blake2b(digest + repr(prompt[start : start + block]).encode(), digest_size=16).digest()
            going = going and digest in known and start + block < len(prompt)
            hit += going
            known.add(digest)
        total, reused = total + len(prompt), reused + hit * block
    return Bound(total, reused)
