"""A repository that would run a program of its own, in every way git offers: the *canary*.

Use it on any repository a test has built:

    repo = Repo(tmp_path / "repo"); repo.commit("one", {"app.py": "..."})
    canary = arm(repo)                     # from here on do not run git in it yourself, but through what is tested
    ...run the code or the command under test on repo.root...
    canary.assert_silent()                 # fails naming the ways that ran

`arm` leaves the history as it is but for one commit more (a `.gitattributes` and a nested bare repository); the new head is `canary.head`, taken
before the trap is set. `remove_blob` makes the history incomplete as in a partial clone, so that reading it would ask the promisor remote.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from repos import Repo

HOOKS = [
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "post-index-change",
]

ATTRIBUTES = "* filter=canary diff=canary merge=canary\n"


@dataclass(frozen=True)
class Canary:
    """The trap. log: a file that each program which ran adds its name to. head: the newest commit of the armed repository."""

    repo: Repo
    head: str
    log: Path

    def heard(self) -> list[str]:
        """The ways that ran, sorted, each once."""
        return sorted(set(self.log.read_text().split())) if self.log.exists() else []

    def assert_silent(self) -> None:
        assert self.heard() == [], f"the repository's own programs ran: {self.heard()}"


def arm(repo: Repo, *, partial: bool = True) -> Canary:
    """Make every program that git would take from this repository a canary. partial: also claim to be a partial clone of a promisor remote."""
    traps = repo.root.parent / f"{repo.root.name}-traps"
    traps.mkdir()
    log = traps / "heard"

    def trap(name: str, *, then: str = "") -> str:
        """A program that notes its name, and does what is needed for git to go on."""
        path = traps / name
        path.write_text(f'#!/bin/sh\necho {name} >> "{log}"\n{then}\n')
        path.chmod(0o755)
        return str(path)

    nested = {f"nested/{name}": content for name, content in _bare_repository(trap("nested-fsmonitor")).items()}
    head = repo.commit("Add attributes and a nested repository", {".gitattributes": ATTRIBUTES, **nested})

    git_dir = repo.root / ".git" if (repo.root / ".git").is_dir() else repo.root
    for folder in (git_dir / "hooks", traps / "hooks"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for hook in HOOKS:
            (folder / hook).symlink_to(trap(f"hook-{hook}"))
    (git_dir / "info").mkdir(exist_ok=True)
    (git_dir / "info" / "attributes").write_text(ATTRIBUTES)
    included = traps / "included.config"
    included.write_text(f'[diff "included"]\n\ttextconv = {trap("included-textconv")}\n[core]\n\tfsmonitor = {trap("fsmonitor")}\n')
    settings = {
        "include.path": str(included),
        "core.hooksPath": str(traps / "hooks"),
        "core.sshCommand": trap("ssh"),
        "core.gitProxy": trap("proxy"),
        "core.pager": trap("pager"),
        "core.editor": trap("editor"),
        "core.askPass": trap("askpass"),
        "core.alternateRefsCommand": trap("alternate-refs"),
        "sequence.editor": trap("sequence-editor"),
        "interactive.diffFilter": trap("interactive-filter"),
        "gpg.program": trap("gpg"),
        "log.showSignature": "true",
        "commit.gpgSign": "true",
        "diff.external": trap("external-diff"),
        "diff.canary.textconv": trap("textconv"),
        "diff.canary.command": trap("diff-command"),
        "diff.canary.cachetextconv": "true",
        "filter.canary.clean": trap("clean", then="cat"),
        "filter.canary.smudge": trap("smudge", then="cat"),
        "filter.canary.required": "true",
        "merge.canary.driver": trap("merge-driver"),
        "alias.status": f"!{trap('alias')}",
        "alias.st": f"!{trap('alias')}",
        "credential.helper": f"!{trap('credential')}",
        "uploadpack.packObjectsHook": trap("pack-objects-hook"),
        "trailer.canary.command": trap("trailer"),
        "pager.log": trap("pager-log"),
        "remote.origin.url": "ssh://canary.invalid/repo",
        "remote.origin.uploadpack": trap("remote-uploadpack"),
        "remote.origin.vcs": "canary",
        "submodule.nested.update": f"!{trap('submodule-update')}",
        "gc.auto": "1",
        "fetch.fsckObjects": "false",
    }
    if partial:
        settings |= {"remote.origin.promisor": "true", "remote.origin.partialclonefilter": "blob:none", "extensions.partialClone": "origin"}
        settings |= {"core.repositoryFormatVersion": "1"}
        del settings["remote.origin.vcs"]
    for name, value in settings.items():
        repo.git("config", "-f", str(git_dir / "config"), name, value)
    if (repo.root / ".gitattributes").exists():  # same size, other time: git would run the clean filter to compare
        os.utime(repo.root / ".gitattributes", (0, 0))
    return Canary(repo=repo, head=head, log=log)


def remove_blob(repo: Repo, revision: str) -> None:
    """Take one loose object out of the repository. Call it before `arm`, or with an object id."""
    oid = repo.git("rev-parse", revision)
    git_dir = repo.root / ".git" if (repo.root / ".git").is_dir() else repo.root
    (git_dir / "objects" / oid[:2] / oid[2:]).unlink()


def _bare_repository(trap: str) -> dict[str, str]:
    """The files of a bare repository whose config names a program; committed, it looks like any folder."""
    return {
        "HEAD": "ref: refs/heads/main\n",
        "config": f"[core]\n\tbare = false\n\tworktree = ..\n\trepositoryformatversion = 0\n\tfsmonitor = {trap}\n",
        "objects/info/keep": "",
        "refs/heads/keep": "",
    }
