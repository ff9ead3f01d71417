"""Whether a run saw the future: the commits after its base, the number of the pull request that fixed its issue, words of the true patch.

Two looks. Before a run, at the store that programs in its sandbox find behind `.git`: nothing may be in it that the base does not reach. After a run,
at everything that was put before the model: prompts and what tools gave, not the model's own words. A later commit or the fix's number in them fails
the run, since no honest way leads there. An identifier of the true patch that neither the issue nor the base contains is a warning: a model may
well guess a name, but it should not read it before it has said it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pygit2
from pygit2.enums import ObjectType, RepositoryOpenFlag

from backstory.graph.mirror import Mirror
from backstory.graph.source import Source, open_repository
from backstory.graph.types import Oid
from backstory.harness.instances import Instance, added_text

Kind = Literal["store", "later commit", "number of the fix", "identifier"]

# Shorter words of hexadecimal digits are met by chance among the objects of a large repository; of decimal digits alone, longer ones are too.
# A `g` before them is how `git describe`, and versions made of it, write a commit.
_COMMIT_WORD = re.compile(r"(?<![0-9a-zA-Z])g?([0-9a-f]{7,40})(?![0-9a-zA-Z])")
_DIGITS_ALONE = 12
_NUMBER_OF_ID = re.compile(r"-(\d+)$")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{5,}")  # shorter ones are words of the language or of everyone


@dataclass(frozen=True)
class Finding:
    """Something that a run should not have seen. what: the word itself; where: in which text."""

    kind: Kind
    what: str
    where: str


@dataclass(frozen=True)
class Heard:
    """A text of a run. spoken: by the model itself, so that what comes back to it is no finding. where: for a person."""

    where: str
    text: str
    spoken: bool = False


@dataclass(frozen=True)
class Audit:
    """What was found. leaks: these fail the run. texts: how many were searched."""

    leaks: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    texts: int


def audit_store(git_dir: Path, tree: Oid) -> list[Finding]:
    """Return what a store holds beside the commits that its HEAD reaches. tree: the base's, which HEAD's commit must have.

    Looked at: HEAD, every ref, reflogs, remotes, alternates, worktrees, grafts, and every commit and tag among the objects, dangling ones too.
    """
    found = [
        Finding("store", name, str(git_dir / name))
        for name in (
            "objects/info/alternates",
            "objects/info/http-alternates",
            "logs",
            "worktrees",
            "shallow",
            "info/grafts",
            "FETCH_HEAD",
            "ORIG_HEAD",
        )
        if (git_dir / name).exists() and _is_more_than_empty(git_dir / name)
    ]
    repository = pygit2.Repository(str(git_dir), RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.BARE)
    found += [Finding("store", f"remote {remote}", str(git_dir)) for remote in repository.remotes.names() if remote]
    try:
        head = repository.head.peel(pygit2.Commit)
    except pygit2.GitError:
        return [*found, Finding("store", "HEAD names no commit", str(git_dir))]
    if str(head.peel(pygit2.Tree).id) != tree:
        found.append(Finding("store", f"HEAD {head.id} is not the base", str(git_dir)))
    reached = {str(commit.id) for commit in repository.walk(head.id)}
    for name in repository.listall_references():
        at = repository.references[name].peel(None)
        if not isinstance(at, pygit2.Commit) or str(at.id) not in reached:
            found.append(Finding("store", f"{name} leads to {at.id}", str(git_dir)))
    for oid in repository:
        kind = repository.odb.read_header(oid)[0]
        if kind == ObjectType.COMMIT and str(oid) not in reached:
            found.append(Finding("store", f"commit {oid}", str(git_dir)))
        elif kind == ObjectType.TAG and str(repository[oid].peel(pygit2.Commit).id) not in reached:
            found.append(Finding("store", f"tag {oid}", str(git_dir)))
    return found


def audit_texts(texts: Sequence[Heard], instance: Instance, *, source: Source, mirror: Mirror) -> Audit:
    """Return what the texts of a run, in their order, say of the future. source: the whole repository, which knows it; mirror: holds the base."""
    base = Oid(instance.base)
    shown = [heard for heard in texts if not heard.spoken]
    leaks = [*_later_commits(shown, source, mirror, base), *_numbers(shown, instance, mirror, base)]
    return Audit(tuple(leaks), tuple(_identifiers(texts, instance, mirror, base)), len(shown))


def number_of_fix(instance: Instance) -> str | None:
    """Return the number of the pull request that an instance was made from, as its id tells it.

    >>> number_of_fix(Instance("octo__cat-12", "octo/cat", "", "", ""))
    '12'
    """
    found = _NUMBER_OF_ID.search(instance.id)
    return found[1] if found else None


def _is_more_than_empty(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.stat().st_size > 0


def _later_commits(texts: Iterable[Heard], source: Source, mirror: Mirror, base: Oid) -> Iterator[Finding]:
    """Yield the ids of commits that the base does not reach. What it says itself is none: a branch that was never merged, and a fix picked from it."""
    repository = open_repository(source)
    known: dict[str, bool] = {}
    for heard in texts:
        for word in dict.fromkeys(_COMMIT_WORD.findall(heard.text)):
            if word.isdecimal() and len(word) < _DIGITS_ALONE:
                continue
            if word not in known:
                known[word] = _is_later(repository, word, base) and not (
                    _base_says(mirror, base, word) or _message_says(mirror, base, word)
                )
            if known[word]:
                yield Finding("later commit", word, heard.where)


def _is_later(repository: pygit2.Repository, word: str, base: Oid) -> bool:
    """Return whether a word is the id, or its beginning, of a commit that the base does not reach, and of none that it reaches."""
    try:
        found = repository.get(word) if len(word) == 40 else repository.revparse_single(word)
    except ValueError:  # it begins several objects, as seven digits do in a large repository
        named = commits_named(repository, word)
    except (KeyError, pygit2.GitError):
        return False
    else:
        named = [Oid(str(found.id))] if isinstance(found, pygit2.Commit) else []
    return bool(named) and not any(oid == base or repository.descendant_of(base, oid) for oid in named)


def commits_named(repository: pygit2.Repository, beginning: str) -> list[Oid]:
    """Return all commits that refs reach whose ids begin so. Walks the whole history: about a second for sixty thousand commits."""
    walker = repository.walk(None)
    for name in repository.raw_listall_references():
        try:
            walker.push(repository.references[name.decode()].peel(pygit2.Commit).id)
        except (pygit2.GitError, KeyError, UnicodeDecodeError):
            continue  # a ref to something else
    return [Oid(oid) for commit in walker if (oid := str(commit.id)).startswith(beginning)]


def _numbers(texts: Iterable[Heard], instance: Instance, mirror: Mirror, base: Oid) -> Iterator[Finding]:
    number = number_of_fix(instance)
    if number is None:
        return
    written = re.compile(rf"(?:#|\b(?:pull|pulls|issues|PR|GH)[ /#-]*)({number})(?!\d)")
    own = bool(written.search(instance.text))
    found = [Finding("number of the fix", match[0], heard.where) for heard in texts if (match := written.search(heard.text))]
    # The statement may name it, and so may the base, whose numbers count something else: a person reads those without having seen the future.
    if found and not own and not _base_says(mirror, base, f"#{number}") and not _message_says(mirror, base, f"#{number}"):
        yield from found


def _identifiers(texts: Sequence[Heard], instance: Instance, mirror: Mirror, base: Oid) -> Iterator[Finding]:
    new = set(_IDENTIFIER.findall(added_text(instance.patch))) - set(_IDENTIFIER.findall(instance.text))
    seen: dict[str, str] = {}
    said: set[str] = set()
    for heard in texts:
        words = new & set(_IDENTIFIER.findall(heard.text))
        if heard.spoken:
            said |= words
        else:
            seen |= {word: heard.where for word in words - said if word not in seen}
    for word, where in sorted(seen.items()):
        if not _base_says(mirror, base, word):
            yield Finding("identifier", word, where)


def _base_says(mirror: Mirror, base: Oid, word: str) -> bool:
    return bool(mirror.git.run("grep", "-l", "-I", "-F", "-e", word, base, "--", allowed=(0, 1)))


def _message_says(mirror: Mirror, base: Oid, word: str) -> bool:
    return bool(mirror.git.run("log", "-1", "--format=%H", "-F", f"--grep={word}", base, "--").strip())
