"""The story of a place says what happened in order and how it hangs together."""

import pytest
from graphs import graph_of

from backstory.graph import outlines
from backstory.graph.story import story_of
from backstory.graph.telling import tell_story
from backstory.graph.types import RepoPath, Span, SymbolId
from repos import Repo

PRICE = "def price(items):\n    total = 0\n    for item in items:\n        total += item.cost\n    return total\n"
TEST = "from shop import price\n\n\ndef test_price():\n    assert price([]) == 0\n"


@pytest.fixture
def shop(tmp_path):
    """A function that was introduced, broken, mended, changed, and once reverted; the commits by what they did."""
    repo = Repo(tmp_path / "repo")
    commits = {}
    commits["born"] = repo.commit(
        "Sum up prices (#3)\n\nOrders need a total.\n\nReviewed-by: Bob", {"shop.py": PRICE, "test_shop.py": TEST}
    )
    taxed = PRICE.replace("item.cost", "item.cost * 1.2")
    commits["tax"] = repo.commit("Add tax", {"shop.py": taxed, "rates.txt": "20\n"})
    mended = taxed.replace("1.2", "item.rate")
    commits["fix"] = repo.commit("Fix wrong tax for books\n\nFixes #9", {"shop.py": mended, "rates.txt": "20\n7\n"})
    discount = mended.replace("return total", "return total * 0.9")
    commits["discount"] = repo.commit("Give a discount", {"shop.py": discount})
    commits["revert"] = repo.commit(f'Revert "Give a discount"\n\nThis reverts commit {commits["discount"]}.', {"shop.py": mended})
    return repo, commits


def test_events_come_in_order_with_what_they_have_to_do_with_each_other(shop, tmp_path):
    """Oldest first; a fix is tied to the event whose lines it replaced, a revert to what it undoes, and issues to who names and closes them."""
    repo, commits = shop
    story = story_of(graph_of(repo, tmp_path), SymbolId("shop.py:price"))
    assert [event.step.commit for event in story.events] == [commits[name] for name in ("born", "tax", "fix", "discount", "revert")]
    born, tax, fix, discount, revert = story.events
    assert (list(born.issues), list(born.closes)) == (["#3"], [])
    assert (fix.is_fix, list(fix.closes), list(fix.mends)) == (True, ["#9"], [commits["tax"]])
    assert list(tax.mended_by) == [commits["fix"]] and not born.mended_by
    assert (list(discount.undone_by), list(revert.undoes)) == ([commits["revert"]], [commits["discount"]])
    assert story.moves_with[0].dst == "rates.txt" and list(story.tests) == ["test_shop.py"]


def test_a_line_is_told_with_the_symbol_around_it(shop, tmp_path):
    """The story of one line has only what happened to it, and says what it stands in."""
    repo, commits = shop
    story = story_of(graph_of(repo, tmp_path), RepoPath("shop.py"), Span(4, 4))
    assert [event.step.commit for event in story.events] == [commits[name] for name in ("born", "tax", "fix")]
    assert story.around == "shop.py:price"
    assert story_of(graph_of(repo, tmp_path), RepoPath("rates.txt"), Span(1, 1)).around is None


def test_a_whole_file_has_a_story_too(shop, tmp_path):
    """Every commit of the file is an event; a fix is tied to those whose lines it took out."""
    repo, commits = shop
    story = story_of(graph_of(repo, tmp_path), RepoPath("shop.py"))
    assert len(story.events) == 5
    assert [(event.step.commit, list(event.mends)) for event in story.events if event.mends] == [(commits["fix"], [commits["tax"]])]
    assert [list(event.mended_by) for event in story.events if event.step.commit == commits["tax"]] == [[commits["fix"]]]


def test_a_story_in_words_keeps_its_budget_and_what_matters(shop, tmp_path):
    """All is told when there is room; with less, links and the first event stay, and no budget is overrun."""
    repo, commits = shop
    story = story_of(graph_of(repo, tmp_path), SymbolId("shop.py:price"))
    whole = "\n".join(line.text for line in tell_story(story))
    assert whole.startswith("shop.py:price (lines 1-5): 5 changes since 2023-11-14\n")
    assert f"{commits['fix'][:12]} edited +1 -1: Fix wrong tax for books (closes #9) [Ada]" in whole
    assert f"    mends what came with {commits['tax'][:12]} (2023-11-15)" in whole
    assert f"    undone by {commits['revert'][:12]} (2023-11-15)" in whole
    assert "    Orders need a total." in whole and "Reviewed-by" not in whole
    assert "moves with\n    rates.txt (together in 2 commits)" in whole and "tests that hold it\n    test_shop.py" in whole
    for tokens in (150, 200, 300):
        short = "\n".join(line.text for line in tell_story(story, tokens=tokens))
        assert len(short) <= tokens * 4 and "Sum up prices" in short


def test_nothing_later_than_the_pin_is_told(shop, tmp_path):
    """Seen from the commit before it was reverted, the discount stands, and the fix is not known before it was made."""
    repo, commits = shop
    graph_of(repo, tmp_path).close()
    story = story_of(graph_of(repo, tmp_path, at=commits["discount"]), SymbolId("shop.py:price"))
    assert len(story.events) == 4 and not story.events[-1].undone_by
    story = story_of(graph_of(repo, tmp_path, at=commits["tax"]), SymbolId("shop.py:price"))
    assert not story.events[-1].mended_by


def test_a_commit_says_which_symbols_it_touched(tmp_path):
    """Added, edited and removed definitions are told with their own lines; a method's lines are not its class's; merges and prose touch none."""
    repo = Repo(tmp_path / "repo")
    first = repo.commit("one", {"a.py": "class Shop:\n    rate = 1\n\n    def price(self):\n        return 1\n\n\ndef old():\n    pass\n"})
    second = repo.commit(
        "two",
        {"a.py": "class Shop:\n    rate = 1\n\n    def price(self):\n        return 2\n\n\ndef new():\n    return 5\n", "notes": "x\n"},
    )
    graph = graph_of(repo, tmp_path)
    touched = graph.symbols_touched([second, first])
    assert [(change.qualname, change.kind, change.added, change.removed) for change in touched[second]] == [
        ("Shop.price", "edited", 1, 1),
        ("new", "added", 2, 0),
        ("old", "removed", 0, 2),
    ]
    assert [(change.qualname, change.kind) for change in touched[first]] == [("Shop", "added"), ("Shop.price", "added"), ("old", "added")]
    assert graph.symbols_touched([first, second]) == touched


def test_symbols_that_change_together_are_coupled(tmp_path):
    """What changed in the same commits as a function is named, most often first; what is gone since is not."""
    repo = Repo(tmp_path / "repo")
    text = "def one():\n    return {0}\n\n\ndef two():\n    return {1}\n\n\ndef three():\n    return {2}\n"
    repo.commit("start", {"a.py": text.format(0, 0, 0)})
    repo.commit("pair", {"a.py": text.format(1, 1, 0)})
    repo.commit("pair again", {"a.py": text.format(2, 2, 0)})
    repo.commit("other", {"a.py": text.format(3, 2, 1), "b.py": "def gone():\n    pass\n"})
    repo.commit("clear", {"b.py": None})
    graph = graph_of(repo, tmp_path)
    edges = graph.symbols_moving_with(graph.history(SymbolId("a.py:one")))
    assert [(edge.dst, edge.evidence) for edge in edges] == [
        ("a.py:two", "together in 3 commits"),
        ("a.py:three", "together in 2 commits"),
    ]


def test_what_moves_with_a_place_has_todays_name(tmp_path):
    """A function that was renamed counts under the name it has today, also for a commit that only took lines out of it; none is parsed for twice."""
    repo = Repo(tmp_path / "repo")
    text = "def one():\n    return {0}\n\n\ndef {1}():\n    first = 1\n{2}    return first\n\n\ndef three():\n    return 3\n"
    repo.commit("start", {"a.py": text.format(0, "two", "    second = 2\n")})
    repo.commit("take out", {"a.py": text.format(1, "two", "")})
    repo.commit("rename", {"a.py": text.format(1, "zwei", "")})
    graph = graph_of(repo, tmp_path)
    edges = graph.symbols_moving_with(graph.history(SymbolId("a.py:one")))
    assert [(edge.dst, edge.evidence) for edge in edges] == [
        ("a.py:zwei", "together in 2 commits"),
        ("a.py:three", "together in 1 commit"),
    ]
    assert graph.store.derived_count(outlines.KIND, outlines.version()) == 1  # of the first version: the code half has read the last one
