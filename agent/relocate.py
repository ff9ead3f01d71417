"""Finds where old lines are in today's code when their file has gone or no longer merges, and merges a change of them there.

Code is moved in blocks: to another function, class or file, often to another depth. The changed lines with a few around them are looked for
verbatim, indentation aside, first with the widest surroundings; a place counts only if it is the only one. At the place the change is merged as
anywhere (`tools.merge` moves it to the block's new depth).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backstory.agent.pieces import Piece, put
from backstory.agent.repair import Today
from backstory.graph.types import RepoPath
from backstory.tools.lines import is_binary, join_lines, line_end, split_lines
from backstory.tools.merge import merge
from backstory.tools.tokens import tokens

SURROUNDINGS = (3, 2, 1, 0)
"""Lines around a change that must be found with it: tried from the most, since fewer fit at more places."""

LEAST_WORDS = 6
"""Words and numbers a block must hold to be told from chance: about two short lines."""


@dataclass(frozen=True)
class Elsewhere:
    """Today's files as places where old code may be. paths: nearest first, in the order in which they are searched."""

    paths: Sequence[RepoPath]
    today: Today
    _bare: dict[RepoPath, list[bytes]] = field(default_factory=dict)

    def merged(
        self, lines: Sequence[bytes], pieces: Sequence[Piece], edits: Mapping[RepoPath, bytes | None], *, first: RepoPath
    ) -> tuple[RepoPath, bytes] | None:
        """Return the file that holds the changed stretch of `lines` today, and its text with `pieces` in effect; None when no place is sure.

        edits: contents that already differ from today's. first: searched before all others.
        """
        start, stop = min(piece.start for piece in pieces), max(piece.stop for piece in pieces)
        for around in SURROUNDINGS:
            low, high = max(start - around, 0), min(stop + around, len(lines))
            block = [line.strip() for line in lines[low:high]]
            if _words(block) < LEAST_WORDS:
                return None
            changed = put([Piece(piece.start - low, piece.stop - low, piece.lines) for piece in pieces], lines[low:high])
            for path in dict.fromkeys([first, *self.paths]):
                places = self._places(path, block, edits)
                if len(places) > 1:
                    return None  # fewer surroundings would fit at no fewer places
                if places:
                    done = self._merged_at(path, places[0], (lines[low:high], changed), edits)
                    return None if done is None else (path, done)
        return None

    def _places(self, path: RepoPath, block: Sequence[bytes], edits: Mapping[RepoPath, bytes | None]) -> list[int]:
        bare = self._stripped(path, edits)
        rarest = max(block, key=len)
        offset = block.index(rarest)
        size = len(block)
        starts = [i - offset for i, line in enumerate(bare) if line == rarest and i >= offset]
        return [i for i in starts if bare[i : i + size] == list(block)]

    def _stripped(self, path: RepoPath, edits: Mapping[RepoPath, bytes | None]) -> list[bytes]:
        if path in edits:
            return [line.strip() for line in split_lines(edits[path] or b"")]
        if path not in self._bare:
            text = self.today(path) or b""
            self._bare[path] = [] if is_binary(text) else [line.strip() for line in split_lines(text)]
        return self._bare[path]

    def _merged_at(
        self, path: RepoPath, place: int, change: tuple[Sequence[bytes], Sequence[bytes]], edits: Mapping[RepoPath, bytes | None]
    ) -> bytes | None:
        text = (edits[path] if path in edits else self.today(path)) or b""
        mixed = line_end(text) == b""
        today = split_lines(text, keep_cr=mixed)
        before, after = change
        stop = place + len(before)
        merged = merge(*(join_lines(part, like=b"") for part in (before, today[place:stop], after)))
        if not merged.clean:
            return None
        return join_lines([*today[:place], *split_lines(merged.text, keep_cr=mixed), *today[stop:]], like=text, keep_cr=mixed)


def _words(block: Sequence[bytes]) -> int:
    return sum(token.kind in ("word", "number", "string") for line in block for token in tokens(line))
