"""Python source read by Python itself, without running any of it."""

import ast
import warnings


def parsed(content: bytes) -> ast.Module | None:
    """Return the syntax tree, or None for what this Python cannot read: other versions' syntax, odd encodings, absurd nesting."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in somebody's source are not our concern
            return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def compiles(content: bytes) -> bool:
    """Return whether this Python can read the source."""
    return parsed(content) is not None
