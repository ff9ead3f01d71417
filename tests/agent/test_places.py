"""Finding the file that a written path or a dotted name means."""

import pytest
from graphs import graph_of

from backstory.agent.places import Places
from repos import Repo

FILES = [
    "src/app/core.py",
    "src/app/io/__init__.py",
    "src/app/io/core.py",
    "lib/util.js",
    "a/x.py",
    "b/x.py",
    "c/x.py",
    "d/x.py",
    "setup.py",
]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    graph = boxes(tmp_path_factory.mktemp("places"))
    return Places(graph.files(), graph.code)


def boxes(folder):
    """The graph of files that all hold the same class and function."""
    repo = Repo(folder / "repo")
    repo.commit("Start", dict.fromkeys(FILES, "class Box:\n    def open(self):\n        pass\n\n\ndef open():\n    pass\n"))
    return graph_of(repo, folder / "cache")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("src/app/core.py", ["src/app/core.py"]),
        ("/usr/lib/python3/site-packages/app/core.py", ["src/app/core.py"]),
        ("app/io/core.py", ["src/app/io/core.py"]),
        ("./lib/util.js", ["lib/util.js"]),
        ("util.js", ["lib/util.js"]),
        ("core.py", ["src/app/core.py", "src/app/io/core.py"]),
        ("x.py", []),  # too many to mean one
        ("other/core.py", []),  # another folder, so another file
        ("nothing.py", []),
        ("", []),
    ],
)
def test_a_written_path_means_the_files_that_end_like_it(places, written, found):
    """The longest shared end decides; too many, or a folder that disagrees, mean none."""
    assert list(places.files(written)) == found


@pytest.mark.parametrize(
    ("dotted", "files", "rest"),
    [
        ("app.core.Box.open", ["src/app/core.py"], ("Box", "open")),
        ("app.io", ["src/app/io/__init__.py"], ()),
        ("app.io.core", ["src/app/io/core.py"], ()),
        ("numpy.array", [], ("numpy", "array")),
    ],
)
def test_a_dotted_name_means_the_module_it_starts_with(places, dotted, files, rest):
    """The longest prefix that is a module counts, and what is left names something in it."""
    found, left, _ = places.module(dotted)
    assert (list(found), left) == (files, rest)


def test_members_are_found_by_owner_and_name(tmp_path):
    """`Box.open` means methods of that class, not functions of the same name."""
    graph = boxes(tmp_path)
    found = Places(graph.files(), graph.code).members("x.Box.open")
    assert {graph.code.symbol_numbered(number).qualname for number in found} == {"Box.open"}


def test_a_frame_is_found_by_name_before_line(places):
    """A frame's function decides even where its line belongs to another version of the file."""
    symbol = places.symbol_in("lib/util.js", "nothing", 1000)
    assert symbol is None
    assert places.symbol_in("src/app/core.py", "open", 7).qualname == "open"
    assert places.symbol_in("src/app/core.py", "Box.open", 2).qualname == "Box.open"
