"""Bytes to text and back, for what git keeps as bytes: paths and commit messages.

A path is any bytes but NUL; those that are not UTF-8 become surrogate escapes, so that `path_bytes(path_text(raw)) == raw` always. A message is
only read, so it is decoded as well as can be and never holds a surrogate.
"""

from backstory.graph.types import RepoPath


def path_text(raw: bytes) -> RepoPath:
    """Return a path of git's as text; the inverse of `path_bytes`."""
    return RepoPath(raw.decode("utf-8", "surrogateescape"))


def path_bytes(path: str) -> bytes:
    """Return the bytes git knows a path by."""
    return path.encode("utf-8", "surrogateescape")


def message_text(raw: bytes, declared: bytes = b"") -> str:
    """Return a commit message or an author's name as text.

    declared: the commit's `encoding` header, or empty. Git has already recoded to UTF-8 what it could, so that is tried first, then what the
    header says, then Latin-1, which takes any bytes.
    """
    for name in ("utf-8", declared.decode("ascii", "ignore") or "latin-1"):
        try:
            return _plain(raw.decode(name))
        except (LookupError, UnicodeError, ValueError):  # an unknown name, or one of Python's codecs that is no text encoding ("zip")
            continue
    return _plain(raw.decode("latin-1"))


def _plain(text: str) -> str:
    """Return `text` without surrogates, which some codecs produce and no store or terminal takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
