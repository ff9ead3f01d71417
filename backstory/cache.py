"""What lies in the cache folder, and how it is removed. Nothing outside that folder is ever touched."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from backstory.errors import StorageError, UserError

_KINDS: Final = {"repos": "repository", "envs": "environment", "work": "work tree", "datasets": "data set"}
_HUB_LOCKS: Final = ".locks"  # of the hub's client, beside its data sets
_SEEN: Final = "seen.txt"
_SEEN_CHARS: Final = 4_000  # the last few dozen places


@dataclass(frozen=True)
class Kept:
    """One folder below the cache. name: what a user calls it; size: bytes on disk as files say them; used: UTC, ISO 8601; note: where a repository was
    last seen.
    """

    name: str
    kind: str
    size: int
    used: str
    note: str
    path: Path


def kept_in(cache_dir: Path) -> list[Kept]:
    """Return what is kept, largest first. Links are listed, never followed."""
    kept = [_kept(path, kind) for folder, kind in _KINDS.items() for path in _folders(cache_dir / folder)]
    return sorted(kept, key=lambda item: (-item.size, item.name))


def chosen(kept: list[Kept], name: str | None) -> list[Kept]:
    """Return the one item whose name begins with `name`, or all when it is None. Raises UserError for none or several."""
    if name is None:
        return kept
    found = [item for item in kept if item.name == name] or [item for item in kept if name and item.name.startswith(name)]
    if len(found) == 1:
        return found
    if found:
        raise UserError(f"{name!r} begins {len(found)} names; give more of it (`backstory cache list`)")
    raise UserError(f"nothing is kept under {name!r}; `backstory cache list` shows what is")


def remove(cache_dir: Path, item: Kept) -> None:
    """Remove an item. Raises StorageError if that is refused, by the system or because it does not lie in the cache folder itself."""
    root = cache_dir.resolve()
    if item.path.parent.resolve() not in [root / folder for folder in _KINDS]:
        raise StorageError(f"{str(item.path)!r} is not below {str(cache_dir)!r}; remove the link by hand")
    try:
        if item.path.is_symlink():
            item.path.unlink()
        else:
            shutil.rmtree(item.path)
    except FileNotFoundError:
        pass  # someone else was faster
    except OSError as error:
        raise StorageError(f"cannot remove {str(item.path)!r}: {error.strerror}; remove it by hand") from error


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if (path.is_symlink() or path.is_dir()) and path.name != _HUB_LOCKS)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _kept(path: Path, kind: str) -> Kept:
    sizes: list[int] = []
    newest = path.lstat().st_mtime
    for file in _files(path):
        try:
            stat = file.lstat()
        except OSError:
            continue  # removed meanwhile
        sizes.append(stat.st_size)
        newest = max(newest, stat.st_mtime)
    return Kept(path.name, kind, sum(sizes), datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds"), _seen(path), path)


def _files(path: Path) -> Iterator[Path]:
    """Yield the files below `path`, links among them, none of them followed."""
    if not path.is_symlink():
        for folder, _, names in os.walk(path):
            yield from (Path(folder, name) for name in names)


def remember(folder: Path, place: Path) -> None:
    """Write down that the repository kept in `folder` was seen at `place`, so that `cache list` can say so. Never fails: it is a comfort."""
    line = str(place.resolve()) + "\n"
    file = folder / _SEEN
    try:
        known = file.read_text("utf-8", "surrogateescape") if file.exists() else ""
        if line not in known.splitlines(keepends=True):
            file.write_text((line + known)[:_SEEN_CHARS], "utf-8", "surrogateescape")
    except OSError:
        pass


def _seen(folder: Path) -> str:
    try:
        return (folder / _SEEN).read_text("utf-8", "surrogateescape").partition("\n")[0]
    except OSError:
        return ""
