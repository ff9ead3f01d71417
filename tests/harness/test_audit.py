"""Planted leaks are caught: in the store a run sees, and in what its model is told."""

import shutil
from dataclasses import replace

import pygit2
import pytest

from backstory.graph.mirror import open_mirror, open_source
from backstory.harness.audit import Heard, audit_store, audit_texts, commits_named, number_of_fix
from backstory.harness.data import read_dataset
from backstory.harness.instances import Instance
from backstory.tools.cover import build_cover
from repos import Repo, git
from shop import Shop


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop")


@pytest.fixture
def source(shop):
    return open_source(shop.repo.root)


@pytest.fixture
def mirror(shop, source, tmp_path):
    return open_mirror(source, shop.base, cache_dir=tmp_path / "cache")


@pytest.fixture
def store(shop, mirror, tmp_path):
    """The store that programs in a run's sandbox find behind `.git`."""
    build_cover(mirror, shop.base, tmp_path / "cover")
    return tmp_path / "cover"


def test_what_a_run_sees_is_clean(shop, mirror, store):
    """The store of a run holds one commit with the base's tree, and nothing is found in it."""
    assert audit_store(store, mirror.tree(shop.base)) == []


def planted(store, shop, what):
    """Plant a leak."""
    objects = shop.repo.root / ".git" / "objects"
    match what:
        case "tag":
            copy_objects(objects, store)
            git(store, "tag", "v2", shop.fix)
        case "branch":
            copy_objects(objects, store)
            git(store, "update-ref", "refs/remotes/origin/main", shop.fix)
        case "note":
            git(store, "notes", "add", "-m", f"fixed by {shop.fix}", "HEAD")
        case "dangling commit":
            copy_objects(objects, store)
        case "alternate":
            (store / "objects" / "info").mkdir(exist_ok=True)
            (store / "objects" / "info" / "alternates").write_text(f"{objects}\n")
        case "reflog":
            (store / "logs").mkdir()
            (store / "logs" / "HEAD").write_text(f"{'0' * 40} {shop.fix} Ada <a@b> 1 +0000\tfetch\n")
        case "remote":
            git(store, "remote", "add", "origin", str(shop.repo.root))
        case "FETCH_HEAD":
            (store / "FETCH_HEAD").write_text(f"{shop.fix}\t\tbranch 'main' of elsewhere\n")
        case "packed ref":
            copy_objects(objects, store)
            (store / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{shop.fix} refs/tags/v2\n")


def copy_objects(objects, store):
    for folder in objects.iterdir():
        if len(folder.name) == 2:
            shutil.copytree(folder, store / "objects" / folder.name, dirs_exist_ok=True)


@pytest.mark.parametrize("what", ["tag", "branch", "note", "dangling commit", "alternate", "reflog", "remote", "FETCH_HEAD", "packed ref"])
def test_a_leak_in_the_store_is_found(shop, mirror, store, what):
    """Whatever leads to a later commit is found, objects that nothing names too."""
    planted(store, shop, what)
    found = audit_store(store, mirror.tree(shop.base))
    assert found and {one.kind for one in found} == {"store"}


def test_another_base_is_found(shop, source, mirror, store, tmp_path):
    """A store whose HEAD is another commit's tree is not that of the base."""
    later = open_mirror(source, shop.fix, cache_dir=tmp_path / "cache")
    assert audit_store(store, later.tree(shop.fix))[0].what.endswith("is not the base")


def test_a_store_with_the_whole_past_is_clean(shop, tmp_path):
    """Ancestors are no leak: a store of the base's own history, made for who wants git inside, is clean."""
    past = Repo(tmp_path / "past", bare=True)
    past.git("fetch", "-q", "--no-tags", str(shop.repo.root), f"+{shop.base}:refs/heads/main")
    (past.root / "FETCH_HEAD").unlink()
    assert audit_store(past.root, past.git("rev-parse", "main^{tree}")) == []


def audited(shop, source, mirror, *texts):
    instance = read_dataset(shop.data).instances[0]
    return audit_texts(
        [text if isinstance(text, Heard) else Heard("tool message", text) for text in texts], instance, source=source, mirror=mirror
    )


@pytest.mark.parametrize(("length", "before"), [(40, ""), (12, ""), (8, ""), (9, "1.0.dev3+g"), (40, "\n")])
def test_a_later_commit_in_a_text_fails_the_run(shop, source, mirror, length, before):
    """Whole or cut short, in a prompt or a tool's result, as a version that was made of it writes it too."""
    found = audited(shop, source, mirror, "nothing", f"mended in {before}{shop.fix[:length]}.")
    assert [(leak.kind, leak.what, leak.where) for leak in found.leaks] == [("later commit", shop.fix[:length], "tool message")]


def test_the_past_and_other_words_are_no_leak(shop, source, mirror):
    """The base, its ancestors, ids of trees and blobs, and hexadecimal words of other things may be read."""
    first = shop.repo.git("rev-list", "--max-parents=0", "main")
    tree = shop.repo.git("rev-parse", f"{shop.fix}^{{tree}}")
    found = audited(shop, source, mirror, f"{shop.base} {first[:10]} {tree} deadbeef 12345678 {'e' * 40} x{shop.fix}")
    assert found.leaks == ()


def test_a_commit_of_another_branch_that_the_past_names_is_no_leak(shop, source, tmp_path):
    """Who picks a change from a branch says so, in the message or in a file; who works at the base has read it, whether or not the branch was merged."""
    base = shop.repo.head
    shop.repo.git("checkout", "-q", "-b", "stable", shop.base)
    first, second = (shop.repo.commit(f"Mend {name}", {name: "x\n"}) for name in ("a", "b"))
    shop.repo.git("checkout", "-q", "-B", "main", shop.base)
    told = shop.repo.commit(f"Mend a\n\n(cherry picked from commit {first})", {"CHANGES": f"b was mended in {second[:10]}\n"})
    mirror = open_mirror(open_source(shop.repo.root), told, cache_dir=tmp_path / "other")
    instance = replace(read_dataset(shop.data).instances[0], base=told)
    texts = [Heard("tool message", f"see {first} and {second[:10]}"), Heard("tool message", base)]
    found = audit_texts(texts, instance, source=open_source(shop.repo.root), mirror=mirror)
    assert [leak.what for leak in found.leaks] == [base]


@pytest.mark.parametrize("text", ["fixed in #12", "see pull/12", "GH-12 does it", "PR #12"])
def test_the_number_of_the_fix_fails_the_run(shop, source, mirror, text):
    """However it is written, where neither the statement nor the base's past has it."""
    assert [leak.kind for leak in audited(shop, source, mirror, text).leaks] == ["number of the fix"]
    assert audited(shop, source, mirror, "issue #123, 12 items, line 12").leaks == ()


def test_a_number_that_the_statement_or_the_base_says_is_no_leak(shop, source, mirror, tmp_path):
    """A person who reads the issue has read it too."""
    instance = read_dataset(shop.data).instances[0]
    told = replace(instance, text=f"{instance.text}\nIt was tried in #12.")
    assert audit_texts([Heard("user message", told.text)], told, source=source, mirror=mirror).leaks == ()


def test_the_models_own_words_are_not_searched(shop, source, mirror):
    """What it says itself is no finding, however it came to it."""
    found = audited(shop, source, mirror, Heard("assistant message", f"it is {shop.fix}, #12", spoken=True))
    assert (found.leaks, found.texts) == ((), 0)


def test_words_of_the_true_patch_are_a_warning_unless_they_were_said_first(shop, source, mirror):
    """A name that neither the issue nor the base has, read before the model said it, is named; what the base has is not."""
    instance = read_dataset(shop.data).instances[0]
    instance = replace(instance, patch=instance.patch.replace("item.get('cost', 0)", "cost_or_nothing(item) or weight(item)"))

    def warned(*texts):
        return [warning.what for warning in audit_texts(texts, instance, source=source, mirror=mirror).warnings]

    assert warned(Heard("tool message", "def cost_or_nothing(item): weight")) == ["cost_or_nothing"]
    assert warned(Heard("assistant message", "cost_or_nothing", spoken=True), Heard("tool message", "cost_or_nothing")) == []


def test_the_number_is_told_by_the_id():
    """Ids end with the number of the pull request in most sets; where they do not, there is nothing to look for."""
    assert number_of_fix(Instance("a__b-77", "a/b", "", "", "")) == "77"
    assert number_of_fix(Instance("a__b", "a/b", "", "", "")) is None


def test_a_beginning_that_several_objects_share_names_all_commits_that_have_it(shop):
    """Where seven digits are not enough for one object, the commits among them are found by walking."""
    repository = pygit2.Repository(str(shop.repo.root))
    ids = shop.repo.git("rev-list", "--all").split()
    assert sorted(commits_named(repository, "")) == sorted(ids)
    assert commits_named(repository, shop.fix[:12]) == [shop.fix]
