"""Diffs that come from elsewhere: read into values, and applied to bytes.

The hunks are parsed by unidiff, which checks their counts. It is shown only what it reads reliably: the extended headers of git (modes, quoted
names, names with blanks, binaries) are read here, and each file's hunks are handed to it under a plain name. Bytes go through as Latin-1, which
maps every byte to one character and back, so encodings, carriage returns and odd line separators survive.
"""

import re
import zlib
from base64 import b85decode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk as ParsedHunk
from unidiff.patch import PatchedFile, PatchSet

from backstory.errors import UserError
from backstory.graph.types import Hunk, RepoPath, Status
from backstory.tools.paths import repo_path

MAX_PATCH_BYTES = 64 << 20  # a patch for people is a thousand times smaller; this only bounds memory

_INDEX = re.compile(rb"index ([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: ([0-7]{6}))?$")
_MODE = re.compile(rb"(old mode|new mode|new file mode|deleted file mode) ([0-7]{6})$")
_MOVED = re.compile(rb"rename (from|to) (.+)$", re.DOTALL)
_BINARY = re.compile(rb"(literal|delta) ([0-9]{1,12})$")
_ESCAPE = re.compile(rb"\\([0-7]{3}|[abtnvfr\"\\])")
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r", b'"': b'"', b"\\": b"\\"}


@dataclass(frozen=True)
class PatchHunk:
    """One stretch of a diff. place: where it lies, counts with context. old and new: the lines before and after, with context and line ends."""

    place: Hunk
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]


@dataclass(frozen=True)
class Binary:
    """How a binary file becomes another: `literal` is all of it, otherwise a delta in git's pack form. size: of what is unpacked here."""

    literal: bool
    size: int
    content: bytes


@dataclass(frozen=True)
class FilePatch:
    """What a diff does to one file.

    path: after the change, or before it when deleted. was: the path before when it differs, else None. Modes are git's ("100644"), None when the
    diff does not say; blob ids may be cut short, None when unknown. hunks: in order; binary: set instead for a binary file.
    """

    path: RepoPath
    was: RepoPath | None
    status: Status
    old_mode: str | None
    new_mode: str | None
    old_blob: str | None
    new_blob: str | None
    hunks: tuple[PatchHunk, ...]
    binary: Binary | None


def parse_patch(diff: bytes) -> tuple[FilePatch, ...]:
    """Return what a unified diff, git's or plain, does to each file, in its order.

    Raises UserError for what is no diff, is cut off, names a file twice or leaves out a binary's contents; SandboxError for a path that leaves the
    repository.
    """
    if len(diff) > MAX_PATCH_BYTES:
        raise UserError(f"the patch is larger than {MAX_PATCH_BYTES >> 20} MiB; pass a smaller one")
    lines = split_lines(diff)
    starts = [at for at, line in enumerate(lines) if line.startswith(b"diff --git ")]
    if starts:
        sections = [lines[first:last] for first, last in zip(starts, [*starts[1:], len(lines)], strict=True)]
        files = _type_changes_joined([_git_section(section) for section in sections])
    else:
        files = tuple(_plain_files(lines))
    if not files and diff.strip():
        raise UserError("this is no unified diff; pass the output of 'git diff' or of a run")
    twice = [path for path, count in Counter(file.path for file in files).items() if count > 1]
    if twice:
        raise UserError(f"the patch names {twice[0]!r} twice; join its parts")
    return files


def apply_hunks(file: FilePatch, old: bytes) -> bytes:
    """Return the bytes that `old` becomes. Raises UserError, naming the file, when a hunk does not stand exactly where the diff says."""
    if file.binary is not None:
        return file.binary.content if file.binary.literal else _apply_delta(file, old)
    lines = split_lines(old) if file.status != "type_changed" else []  # a new kind of file is written from nothing
    made: list[bytes] = []
    at = 0
    for hunk in file.hunks:
        # Where a count is 0, the line named is the one before the place.
        first = hunk.place.old_first - 1 if hunk.place.old_count else hunk.place.old_first
        if first < at or tuple(lines[first : first + len(hunk.old)]) != hunk.old:
            raise UserError(f"the patch does not fit {file.path!r} at line {first + 1}; apply it to the files it was made for")
        made += lines[at:first]
        made += hunk.new
        at = first + len(hunk.old)
    return b"".join(made + lines[at:])


def split_lines(content: bytes) -> list[bytes]:
    """Split at newlines alone, as git does; every line but perhaps the last keeps its newline."""
    lines = content.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _git_section(section: Sequence[bytes]) -> FilePatch:
    modes: dict[bytes, str] = {}
    moved: dict[bytes, bytes] = {}
    blobs: tuple[str, str] | None = None
    names: tuple[bytes | None, bytes | None] | None = None
    binary: Binary | None = None
    body: list[bytes] = []
    changed = False
    for at, line in enumerate(section[1:], 1):
        bare = line.rstrip(b"\n")
        if found := _MODE.match(bare):
            modes[found[1]] = found[2].decode()
        elif found := _MOVED.match(bare):
            moved[found[1]] = _unquoted(found[2])
        elif found := _INDEX.match(bare):
            blobs = found[1].decode(), found[2].decode()
            if found[3]:
                modes |= {b"old mode": found[3].decode(), b"new mode": found[3].decode()}
        elif bare.startswith(b"copy from "):
            raise UserError("the patch copies files by name; make it with 'git diff --no-renames'")
        elif bare == b"GIT binary patch":
            binary = _read_binary(section[at + 1 :])
            break
        elif bare.startswith(b"Binary files "):
            raise UserError(f"the patch leaves out the contents of a binary file ({_shown(bare)}); make it with 'git diff --binary'")
        elif line.startswith(b"--- ") and at + 1 < len(section) and section[at + 1].startswith(b"+++ "):
            names = _name(line[4:]), _name(section[at + 1][4:])
            body, changed = list(section[at + 2 :]), True
            break
    if names is None:
        names = (moved[b"from"], moved[b"to"]) if len(moved) == 2 else _header_names(section[0])
    old_name = None if b"new file mode" in modes else names[0]
    new_name = None if b"deleted file mode" in modes else names[1]
    return _file(
        old_name,
        new_name,
        old_mode=modes.get(b"deleted file mode") or modes.get(b"old mode") if old_name else None,
        new_mode=modes.get(b"new file mode") or modes.get(b"new mode") if new_name else None,
        blobs=blobs,
        hunks=_hunks(body) if changed else (),
        binary=binary,
    )


def _type_changes_joined(files: Sequence[FilePatch]) -> tuple[FilePatch, ...]:
    """Join what git prints as a deletion and an addition when a file becomes a link or the other way round."""
    joined: list[FilePatch] = []
    for file in files:
        last = joined[-1] if joined else None
        if last is not None and last.path == file.path and (last.status, file.status) == ("deleted", "added"):
            joined[-1] = replace(file, status="type_changed", old_mode=last.old_mode, old_blob=last.old_blob)
        else:
            joined.append(file)
    return tuple(joined)


def _plain_files(lines: Sequence[bytes]) -> list[FilePatch]:
    """Read a diff without git's headers, as `diff -u` prints it."""
    try:
        parsed = PatchSet([line.decode("latin-1") for line in lines])
    except UnidiffParseError as error:
        raise UserError(f"the patch cannot be read: {_shown(str(error).encode('latin-1'))}; it may be cut off") from error
    return [
        _file(
            *_plain_names(file),
            old_mode=None,
            new_mode=None,
            blobs=None,
            hunks=tuple(_hunk(hunk) for hunk in file),
            binary=None,
        )
        for file in parsed
    ]


def _plain_names(file: PatchedFile) -> tuple[bytes | None, bytes | None]:
    """Return the names before and after; a plain diff never renames, so an `x.orig` on the old side is `x`."""
    old, new = (_name(name.encode("latin-1")) for name in (file.source_file, file.target_file))
    return (new if old is not None and new is not None else old), new


def _file(
    old_name: bytes | None,
    new_name: bytes | None,
    *,
    old_mode: str | None,
    new_mode: str | None,
    blobs: tuple[str, str] | None,
    hunks: tuple[PatchHunk, ...],
    binary: Binary | None,
) -> FilePatch:
    name = new_name if new_name is not None else old_name
    if name is None:
        raise UserError("the patch names no file; pass the output of 'git diff' or of a run")
    path = _path(name)
    status: Status = "modified"
    if old_name is None or new_name is None:
        status = "added" if old_name is None else "deleted"
    elif old_name != new_name:
        status = "renamed"
    elif old_mode and new_mode and old_mode[:2] != new_mode[:2]:
        status = "type_changed"
    return FilePatch(
        path=path,
        was=_path(old_name) if old_name is not None and status == "renamed" else None,
        status=status,
        old_mode=old_mode,
        new_mode=new_mode,
        old_blob=blobs[0] if blobs else None,
        new_blob=blobs[1] if blobs else None,
        hunks=hunks,
        binary=binary,
    )


def _hunks(body: Sequence[bytes]) -> tuple[PatchHunk, ...]:
    """Read the hunks of one file with unidiff, under a name that cannot confuse it."""
    try:
        (file,) = PatchSet(["--- a/file\n", "+++ b/file\n", *(line.decode("latin-1") for line in body)])
    except (UnidiffParseError, ValueError) as error:
        raise UserError(f"the patch cannot be read: {_shown(str(error).encode('latin-1', 'replace'))}; it may be cut off") from error
    if not file:
        raise UserError("the patch cannot be read: a file's names are not followed by its changes; it may be cut off")
    return tuple(_hunk(hunk) for hunk in file)


def _hunk(hunk: ParsedHunk) -> PatchHunk:
    old: list[bytes] = []
    new: list[bytes] = []
    last: list[list[bytes]] = []
    for line in hunk:
        value, kind = line.value.encode("latin-1"), line.line_type
        if kind == "\\":  # "\ No newline at end of file" speaks of the line above
            for side in last:
                side[-1] = side[-1].removesuffix(b"\n")
            continue
        if not kind:
            continue  # an empty line after the last hunk
        last = [side for side, kinds in ((old, " -"), (new, " +")) if kind in kinds]
        for side in last:
            side.append(value)
    place = Hunk(hunk.source_start, hunk.source_length, hunk.target_start, hunk.target_length)
    return PatchHunk(place, tuple(old), tuple(new))


def _name(text: bytes) -> bytes | None:
    """Return the name in a `---` or `+++` line, or None for /dev/null."""
    text = text.rstrip(b"\n")
    if not text.startswith(b'"'):
        text = text.split(b"\t")[0]  # git ends a name that has blanks with a tab, diff -u puts the time after one
    name = _unquoted(text)
    return None if name == b"/dev/null" else name.partition(b"/")[2] if name[:2] in (b"a/", b"b/") else name


def _header_names(header: bytes) -> tuple[bytes, bytes]:
    """Return both names in `diff --git a/X b/X`; without other headers they are the same, so the line is two equal halves."""
    text = header.removeprefix(b"diff --git ").rstrip(b"\n")
    if text.startswith(b'"'):
        first = _unquoted(text[: text.index(b'" ', 1) + 1]) if b'" ' in text else b""
        return first[2:], first[2:]
    half = len(text) // 2
    if text[:2] == b"a/" and text[half : half + 3] == b" b/" and text[2:half] == text[half + 3 :]:
        return text[2:half], text[2:half]
    raise UserError(f"the patch cannot be read: two names in {_shown(header)}; pass the output of 'git diff'")


def _unquoted(text: bytes) -> bytes:
    if len(text) < 2 or not (text.startswith(b'"') and text.endswith(b'"')):
        return text
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1]) or bytes([int(found[1], 8) & 0xFF]), text[1:-1])


def _path(name: bytes) -> RepoPath:
    return repo_path(name.decode("utf-8", "surrogateescape"))


def _shown(text: bytes) -> str:
    return repr(text.decode("utf-8", "replace").strip()[:120])


def _read_binary(lines: Sequence[bytes]) -> Binary:
    """Read the forward half of a GIT binary patch: lines of a length letter and base 85."""
    head = _BINARY.match(lines[0].rstrip(b"\n")) if lines else None
    if head is None:
        raise UserError("the patch cannot be read: its binary part has no size; it may be cut off")
    size, packed = int(head[2]), bytearray()
    try:
        for line in lines[1:]:
            bare = line.rstrip(b"\n")
            if not bare:
                break
            length = bare[0] - 64 if bare[:1].isupper() else bare[0] - 70  # A-Z stand for 1-26, a-z for 27-52
            packed += b85decode(bare[1:])[:length]
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(bytes(packed), min(size, MAX_PATCH_BYTES) + 1)
    except (ValueError, zlib.error) as error:
        raise UserError("the patch cannot be read: its binary part is damaged; make it again") from error
    if len(content) != size:
        raise UserError("the patch cannot be read: its binary part has another size than it says; make it again")
    return Binary(literal=head[1] == b"literal", size=size, content=content)


def _apply_delta(file: FilePatch, old: bytes) -> bytes:
    """Apply a pack delta: sizes, then copies from `old` and insertions (git's pack format, "deltified representation")."""
    assert file.binary is not None
    delta = file.binary.content
    misfit = UserError(f"the patch does not fit {file.path!r}; apply it to the files it was made for")
    try:
        size, at = _varint(delta, 0)
        made_size, at = _varint(delta, at)
        if size != len(old):
            raise misfit
        made = bytearray()
        while at < len(delta):
            command = delta[at]
            at += 1
            if command & 0x80:
                start = count = 0
                for bit in range(7):
                    if command & (1 << bit):
                        if bit < 4:
                            start |= delta[at] << (8 * bit)
                        else:
                            count |= delta[at] << (8 * (bit - 4))
                        at += 1
                made += old[start : start + (count or 0x10000)]
            else:
                made += delta[at : at + command]
                at += command
    except IndexError as error:
        raise misfit from error
    if len(made) != made_size:
        raise misfit
    return bytes(made)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
