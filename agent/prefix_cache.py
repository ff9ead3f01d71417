"""What a server's prefix cache would have kept: how many tokens of a prompt it need not compute again.

The accounting is that of vLLM's automatic prefix caching: a prompt is cut into blocks, each block is known by everything before it, whole blocks
of the longest known beginning are reused, at least one token is computed anew, and what was generated is kept as well. Only the tokens are ours:
one for every four bytes, which is about what tokenizers make of code, and needs no model to count. Nothing is ever evicted.
"""

import hashlib
import threading
from collections.abc import Iterator
from typing import Final

BYTES_PER_TOKEN: Final = 4
BLOCK_TOKENS: Final = 16  # vLLM's default on GPUs


def count_tokens(text: bytes) -> int:
    """Return how many tokens `text` is, a started one included.

    >>> count_tokens(b"abcde")
    2
    """
    return -(-len(text) // BYTES_PER_TOKEN)


class PrefixCache:
    """The blocks seen so far. Serves many threads."""

    def __init__(self, block_tokens: int = BLOCK_TOKENS) -> None:
        self._block_tokens = block_tokens
        self._known: set[bytes] = set()
        self._lock = threading.Lock()

    def admit(self, prompt: bytes) -> int:
        """Return how many tokens of `prompt` were known, and know all its whole blocks from now on."""
        longest = (
            max(0, count_tokens(prompt) - 1) // self._block_tokens
        )  # the last token is computed, so that there is something to go on from
        known = 0
        with self._lock:
            for place, block in enumerate(self._blocks(prompt)):
                if known == place < longest and block in self._known:
                    known += 1
                self._known.add(block)
        return known * self._block_tokens

    def keep(self, text: bytes) -> None:
        """Know the whole blocks of a prompt with what was generated after it."""
        with self._lock:
            self._known.update(self._blocks(text))

    def _blocks(self, text: bytes) -> Iterator[bytes]:
        """Yield a digest per whole block, each made of its own bytes and the digest before it."""
        size, digest = self._block_tokens * BYTES_PER_TOKEN, b""
        for start in range(0, len(text) - size + 1, size):
            digest = hashlib.blake2b(digest + text[start : start + size], digest_size=16).digest()
            yield digest
