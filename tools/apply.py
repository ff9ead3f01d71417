"""Brings a patch into the user's checkout and takes it out again, by writing files and nothing else: no git runs, and index, stash and branches stay.

Applying is all or nothing. Every file is judged first: it must be the one the patch was made for, or differ from it only in line ends (which are
kept), or carry edits of the user's that the patch merges with. Then the originals are saved, byte for byte, and only then are files replaced. The
new files are all written beside their places before the first takes its place, so a full disk changes nothing.

What was saved is the whole of what `undo_patch` needs; it asks no repository.
"""

import json
import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygit2

from backstory.errors import StorageError, UserError
from backstory.graph.mirror import Source
from backstory.graph.source import open_repository
from backstory.graph.types import RepoPath
from backstory.tools.merge import merge
from backstory.tools.patch import Patch
from backstory.tools.paths import (
    Staged,
    delete_file,
    disk_errors,
    facts_in_folder,
    open_folder,
    read_in_folder,
    repo_path,
    stage_file,
    stage_link,
)
from backstory.tools.trees import LINK, blob_id
from backstory.tools.unified import FilePatch, apply_hunks, parse_patch

MANIFEST = "manifest.json"
VERSION = 1


@dataclass(frozen=True)
class State:
    """What is at a path. permissions: the mode bits of a file, None for a new one that gets the usual; of a link they mean nothing."""

    is_link: bool
    permissions: int | None
    content: bytes


@dataclass(frozen=True)
class Replaced:
    """One path and what is there before and after; None when nothing is."""

    path: RepoPath
    before: State | None
    after: State | None


@dataclass(frozen=True)
class Applied:
    """What applying did. files: every path that changed, sorted. merged: those of them where the user's own edits were kept beside the patch's."""

    files: tuple[RepoPath, ...]
    merged: tuple[RepoPath, ...]


def apply_patch(source: Source, patch: Patch | bytes, undo_dir: Path) -> Applied:
    """Change the files of the user's checkout as the patch says, and keep in `undo_dir` what undoes it.

    Raises UserError, naming the file, when one is not as the patch needs it or the patch is applied already; SandboxError when the patch or a link in
    the checkout leads out of it; StorageError when the disk is full. In each case no file has changed.
    """
    root = _work_tree(source)
    if (undo_dir / MANIFEST).exists():
        raise UserError(f"this patch is already applied in {str(root)!r}; take it back with `backstory undo` first")
    files = parse_patch(patch.diff if isinstance(patch, Patch) else patch)
    if not files:
        raise UserError("the patch is empty; there is nothing to apply")
    merged: list[RepoPath] = []
    plan = [step for file in files for step in _plan(source, root, file, merged)]
    changes = [step for step in plan if step.before != step.after]
    if not changes:
        raise UserError(f"the files in {str(root)!r} are already as the patch makes them; there is nothing to apply")
    folders = _missing_folders(root, [step.path for step in changes if step.after is not None])
    _save(undo_dir, root, changes, folders)
    try:
        _replace_all(root, changes, folders)
    except BaseException as error:
        if any(_state(root, step.path) != step.before for step in changes):
            raise StorageError(f"the files in {str(root)!r} are half changed ({error}); `backstory undo` puts them back") from error
        _forget(undo_dir)
        raise
    return Applied(tuple(sorted(step.path for step in changes)), tuple(sorted(merged)))


def undo_patch(source: Source, undo_dir: Path) -> tuple[RepoPath, ...]:
    """Give every file that `apply_patch` changed the exact bytes it had, or its absence back; return their paths.

    Raises UserError, naming the file and where its old bytes are, when the user has changed one since; none is touched then, so nothing is lost.
    Raises UserError too when nothing is to be undone.
    """
    root = _work_tree(source)
    plan, folders = _saved(undo_dir, root)
    back: list[Replaced] = []
    for number, step in enumerate(plan):
        now = _state(root, step.path)
        if now == step.before:
            continue  # an apply that was cut off had not come so far
        if not _same(now, step.after) and not _same_content(now, step.before):
            by_hand = "delete it" if step.before is None else f"put {str(_saved_at(undo_dir, number, 'before'))!r} in its place"
            raise UserError(
                f"{step.path!r} was changed since the patch was applied, so nothing is undone; save your version elsewhere, {by_hand}, then undo again"
            )
        back.append(Replaced(step.path, now, step.before))
    _replace_all(root, back, _missing_folders(root, [step.path for step in back if step.after is not None]))
    _remove_folders(root, folders)
    _forget(undo_dir)
    return tuple(sorted(step.path for step in back))


def _work_tree(source: Source) -> Path:
    if source.work_tree is None:
        raise UserError(f"{str(source.path)!r} is a bare repository and has no files; apply the patch in a checkout of it")
    return source.work_tree


# --- judging -------------------------------------------------------------------------------------------------------------------------


def _plan(source: Source, root: Path, file: FilePatch, merged: list[RepoPath]) -> list[Replaced]:
    """Return what the patch does to one file, or to two when it is renamed. Paths whose edits were merged are added to `merged`."""
    if "160000" in (file.old_mode, file.new_mode):
        raise UserError(f"the patch changes the submodule {file.path!r}, which is not applied; change it by hand")
    now = _state(root, file.path)
    if file.status == "added":
        made = _made(file, None, _patched(file, b""))
        if now is not None and not _same(now, made):
            raise UserError(f"{file.path!r} is already there with other contents; move it away and apply again")
        return [Replaced(file.path, now, now if now is not None else made)]
    if file.status == "renamed":
        assert file.was is not None
        if now is not None:
            raise UserError(f"{file.path!r} is already there, but the patch moves {file.was!r} to it; move it away and apply again")
        old = _state(root, file.was)
        return [Replaced(file.was, old, None), Replaced(file.path, None, _changed(source, file, old, merged))]
    if file.status == "deleted" and now is None:
        return [Replaced(file.path, None, None)]
    return [Replaced(file.path, now, _changed(source, file, now, merged))]


def _changed(source: Source, file: FilePatch, now: State | None, merged: list[RepoPath]) -> State | None:
    """Return what becomes of a file that is there."""
    if now is None:
        raise UserError(f"{(file.was or file.path)!r} is not there; restore it and apply again")
    if file.old_mode is not None and now.is_link != (int(file.old_mode, 8) == LINK):
        if _is(file.new_blob, now.content):
            return now
        raise UserError(f"{file.path!r} is {'a link' if now.is_link else 'no link'} here, unlike in the patch; restore it and apply again")
    for there, back in ((_as_is, _as_is), (_to_lf, _to_crlf), (_to_crlf, _to_lf)):
        content = there(now.content)
        if back(content) != now.content:
            continue  # mixed line ends do not survive the way there and back
        if file.status != "deleted" and _is(file.new_blob, content):
            return _made(file, now, now.content)
        if file.old_blob is None:
            with suppress(UserError):  # a plain diff does not say what it was made for: it fits, or it does not
                return None if file.status == "deleted" else _made(file, now, back(_patched(file, content)))
        elif _is(file.old_blob, content):
            return None if file.status == "deleted" else _made(file, now, back(_patched(file, content)))
    return _made(file, now, _beside_edits(source, file, now.content, merged))


def _patched(file: FilePatch, content: bytes) -> bytes:
    """Return what the patch makes of the very bytes it was made for."""
    made = apply_hunks(file, content)
    if file.status != "deleted" and file.new_blob is not None and not _is(file.new_blob, made):
        raise UserError(f"the patch is damaged: {file.path!r} would not become what it says; make it again")
    return made


def _beside_edits(source: Source, file: FilePatch, content: bytes, merged: list[RepoPath]) -> bytes:
    """Return the user's edited file with the patch's change in it. Raises UserError when both change the same lines."""
    base = _blob(source, file.old_blob)
    if base is None or file.binary is not None or file.status in ("deleted", "type_changed"):
        raise UserError(f"{file.path!r} has changes of yours that the patch does not go with; commit or stash them and apply again")
    result = merge(base, content, _patched(file, base))
    if result.stretches:  # in a person's own lines nothing is put together word by word
        line = result.stretches[0].ours.first
        raise UserError(f"you and the patch both changed {file.path!r} at line {line}; commit or stash your change and apply again")
    merged.append(file.path)
    return result.text


def _made(file: FilePatch, now: State | None, content: bytes) -> State:
    """Return the state after the patch: new contents, and the executable bit as the patch says, other permissions as they are."""
    mode = int(file.new_mode, 8) if file.new_mode else None
    if mode == LINK or (mode is None and now is not None and now.is_link):
        return State(True, 0o777, content)
    permissions = now.permissions if now is not None and not now.is_link else None
    if mode is not None and file.old_mode != file.new_mode and (mode & 0o111 or permissions is not None):
        usual = permissions if permissions is not None else 0o644
        # Who may read may execute, as git and chmod +x have it.
        permissions = usual | (usual & 0o444) >> 2 if mode & 0o111 else usual & ~0o111
    return State(False, permissions, content)


def _state(root: Path, path: RepoPath) -> State | None:
    """Return the file or link at a path of the checkout; a folder there, or a file where a folder should be, is nothing.

    Raises SandboxError for a path through a link and for special files, UserError for what cannot be read.
    """
    *parts, name = repo_path(path).split("/")
    if any((root / "/".join(parts[:depth])).is_file() for depth in range(1, len(parts) + 1)):
        return None
    try:
        with open_folder(root, parts) as folder:
            facts = facts_in_folder(folder, name)
            if facts is None or stat.S_ISDIR(facts.st_mode):
                return None
            if stat.S_ISLNK(facts.st_mode):
                return State(True, 0o777, os.fsencode(os.readlink(name, dir_fd=folder)))
            return State(False, stat.S_IMODE(facts.st_mode) & 0o777, read_in_folder(folder, name, path))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise UserError(f"{path!r} cannot be read ({error.strerror}); make it readable and try again") from error


def _same(now: State | None, then: State | None) -> bool:
    """Return whether two states are the same to git: contents, kind and the executable bit."""
    if now is None or then is None:
        return now is then
    executable = [bool((state.permissions or 0) & 0o100) and not state.is_link for state in (now, then)]
    return _same_content(now, then) and executable[0] == executable[1]


def _same_content(now: State | None, then: State | None) -> bool:
    return now is not None and then is not None and (now.is_link, now.content) == (then.is_link, then.content)


def _is(blob: str | None, content: bytes) -> bool:
    """Return whether these bytes are the blob, whose id may be cut short."""
    return blob is not None and blob_id(content).startswith(blob)


def _blob(source: Source, blob: str | None) -> bytes | None:
    """Return the contents of a blob of the user's repository, None when it is not there."""
    try:
        found = open_repository(source)[blob] if blob else None
    except (KeyError, ValueError, pygit2.GitError):
        return None
    return found.data if isinstance(found, pygit2.Blob) else None


def _as_is(content: bytes) -> bytes:
    return content


def _to_lf(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def _to_crlf(content: bytes) -> bytes:
    return _to_lf(content).replace(b"\n", b"\r\n")


# --- replacing -----------------------------------------------------------------------------------------------------------------------


def _replace_all(root: Path, steps: Sequence[Replaced], folders: Sequence[str]) -> None:
    """Bring every path from `before` to `after`, or none. folders: those that do not exist yet; they go again when it fails."""
    late = [step for step in steps if step.after is None or _must_wait(step, steps)]
    staged: dict[RepoPath, Staged] = {}
    done: list[Replaced] = []
    path = RepoPath("")
    try:
        for step in steps:
            if step.after is not None and step not in late:
                path = step.path
                staged[path] = _stage(root, path, step.after)
        for step in [*(step for step in steps if step not in late), *sorted(late, key=lambda step: step.after is not None)]:
            path = step.path
            done.append(step)
            if path in staged:
                staged[path].commit()
                del staged[path]
                continue
            with suppress(FileNotFoundError):
                delete_file(root, path)
            if step.after is not None:
                _stage(root, path, step.after).commit()
    except BaseException as error:
        for ready in staged.values():
            ready.discard()
        for step in sorted(done, key=lambda step: step.before is not None):  # what was made goes before what was there comes back
            with suppress(OSError, UserError):
                _put_back(root, step)
        _remove_folders(root, folders)
        if isinstance(error, OSError):
            raise UserError(f"{path!r} cannot be written ({error.strerror}); see what is in the way and apply again") from error
        raise


def _must_wait(step: Replaced, steps: Sequence[Replaced]) -> bool:
    """Return whether a file can only be put in place when others are gone: a link, a file where its folder goes, a folder where it goes."""
    if step.before is not None and step.before.is_link and step.after is not None and not step.after.is_link:
        return True
    gone = [other.path for other in steps if other.after is None]
    return any(step.path.startswith(path + "/") or path.startswith(step.path + "/") for path in gone)


def _remove_folders(root: Path, folders: Sequence[str]) -> None:
    for folder in sorted(folders, key=len, reverse=True):
        with suppress(OSError):
            (root / folder).rmdir()


def _stage(root: Path, path: RepoPath, state: State) -> Staged:
    if state.is_link:
        return stage_link(root, path, state.content)
    return stage_file(root, path, state.content, mode=state.permissions, durable=True)


def _put_back(root: Path, step: Replaced) -> None:
    if step.before is None:
        with suppress(FileNotFoundError):
            delete_file(root, step.path)
        return
    now = _state(root, step.path)
    if now == step.before:
        return
    if now is not None and now.is_link != step.before.is_link:
        delete_file(root, step.path)
    _stage(root, step.path, step.before).commit()


def _missing_folders(root: Path, paths: Sequence[RepoPath]) -> list[str]:
    """Return the folders that these paths need and that are not there."""
    above = {"/".join(parts[:depth]) for path in paths for parts in [path.split("/")] for depth in range(1, len(parts))}
    return sorted(folder for folder in above if not os.path.lexists(root / folder))


# --- saving --------------------------------------------------------------------------------------------------------------------------


def _save(undo_dir: Path, root: Path, steps: Sequence[Replaced], folders: Sequence[str]) -> None:
    """Write the originals, then the manifest that makes them count; all of it is on the disk on return."""
    rows = []
    with disk_errors(str(undo_dir)):
        undo_dir.mkdir(parents=True, exist_ok=True)
        try:
            for number, step in enumerate(steps):
                for side, state in (("before", step.before), ("after", step.after)):
                    if state is not None:
                        stage_file(undo_dir, _saved_at(undo_dir, number, side).name, state.content, mode=0o600, durable=True).commit()
                rows.append({"path": step.path, "before": _facts(step.before), "after": _facts(step.after)})
            manifest = {"version": VERSION, "work_tree": str(root), "files": rows, "folders": list(folders)}
            stage_file(undo_dir, MANIFEST, json.dumps(manifest, indent=1).encode(), durable=True).commit()
        except BaseException:
            _forget(undo_dir)
            raise


def _facts(state: State | None) -> dict[str, object] | None:
    return None if state is None else {"is_link": state.is_link, "permissions": state.permissions}


def _saved(undo_dir: Path, root: Path) -> tuple[list[Replaced], list[str]]:
    """Read back what `_save` wrote. Raises UserError when there is nothing, StorageError when it is damaged."""
    try:
        manifest: dict[str, Any] = json.loads((undo_dir / MANIFEST).read_bytes())
        steps = [
            Replaced(repo_path(row["path"]), *(_state_from(undo_dir, number, side, row[side]) for side in ("before", "after")))
            for number, row in enumerate(manifest["files"])
        ]
        work_tree, folders = manifest["work_tree"], [repo_path(folder) for folder in manifest["folders"]]
    except FileNotFoundError as error:
        if not (undo_dir / MANIFEST).exists():
            raise UserError("this patch is not applied, so there is nothing to undo; `backstory apply` brings it in") from error
        raise StorageError(f"what was saved in {str(undo_dir)!r} is not complete; restore the files by hand") from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise StorageError(f"what was saved in {str(undo_dir)!r} cannot be read ({error}); restore the files by hand") from error
    if work_tree != str(root):
        raise UserError(f"this patch was applied in {work_tree!r}, not in {str(root)!r}; undo it there")
    return steps, list(folders)


def _state_from(undo_dir: Path, number: int, side: str, facts: dict[str, Any] | None) -> State | None:
    return None if facts is None else State(bool(facts["is_link"]), facts["permissions"], _saved_at(undo_dir, number, side).read_bytes())


def _saved_at(undo_dir: Path, number: int, side: str) -> Path:
    """Return where the contents of a step are kept. side: "before" or "after"."""
    return undo_dir / f"{number}.{side}"


def _forget(undo_dir: Path) -> None:
    """Remove what was saved, the manifest first, so that what is left never counts."""
    with suppress(OSError):
        (undo_dir / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(undo_dir, ignore_errors=True)
