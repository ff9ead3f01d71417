"""Who is suspected of having introduced a fault."""

import math

import pytest
from graphs import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.agent.localize import localize
from backstory.agent.suspects import rank_suspects
from repos import Repo

PARSER = "def parse(text):\n    fields = text.split('-')\n    if not fields:\n        return None\n    return fields\n"
BROKEN = PARSER.replace("    if not fields:\n        return None\n", "    fields.pop()\n")
OUTPUT = """
    def test_parse():
>       assert parse("a-b") == ["a", "b"]

tests/test_parser.py:5:
_ _ _
app/parser.py:3: in parse
    fields.pop()
E   IndexError
"""


class Past:
    """A repository whose parser was broken in the middle, and its graph."""

    def __init__(self, root):
        repo = Repo(root / "repo")
        self.start = repo.commit("Start", {"app/__init__.py": "", "app/parser.py": PARSER, "app/mix.py": "def mix():\n    return 1\n"})
        for number in range(5):
            repo.commit(f"Mix better, step {number}", {"app/mix.py": f"def mix():\n    return {number}\n"})
        self.guilty = repo.commit("Make parsing faster", {"app/parser.py": BROKEN})
        for number in range(5):
            repo.commit(f"Mix again, step {number}", {"app/mix.py": f"def mix():\n    return {number} + 1\n"})
        self.docs = repo.commit("Explain how to parse", {"README.md": "parse(text)\n"})
        repo.git("switch", "-q", "-c", "side", "HEAD~2")
        repo.commit("Start a side line", {"app/side.py": "def side():\n    return 0\n"})
        repo.git("switch", "-q", "main")
        self.merge = repo.merge("side", "Merge the side line")
        test = "from app.parser import parse\n\n\ndef test_parse():\n    assert parse('a-b') == ['a', 'b']\n"
        self.test = repo.commit("Test parse", {"tests/test_parser.py": test})
        self.graph = graph_of(repo, root / "cache")

    def suspects(self, text="parse loses a field", **options):
        return rank_suspects(self.graph, text=text, localization=localize(self.graph, text, limit=20), **options)


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    return Past(tmp_path_factory.mktemp("suspects"))


def test_the_commit_that_wrote_the_failing_lines_comes_first(past):
    """With the traceback of the failing check, the commit behind its innermost frame leads, and the reason says so."""
    first = past.suspects(failing_output=OUTPUT, check_files=("tests/test_parser.py",))[0]
    assert first.commit == past.guilty
    assert "traceback" in {evidence.kind for evidence in first.why}


def test_the_issue_alone_points_at_the_history_of_the_place(past):
    """Without a check, the last change of the code found is suspected first."""
    assert past.suspects()[0].commit == past.guilty


def test_every_ancestor_keeps_some_mass(past):
    """All ancestors are there once, none at 0, and probabilities sum to 1."""
    suspects = past.suspects(failing_output=OUTPUT)
    assert {suspect.commit for suspect in suspects} == set(past.graph.order())
    assert len(suspects) == len(past.graph.order())
    assert all(suspect.probability > 0 for suspect in suspects)
    assert math.fsum(suspect.probability for suspect in suspects) == pytest.approx(1)


def test_what_cannot_change_behaviour_is_damped(past):
    """A merge, a change of documentation and one of tests alone are suspected less than the average commit, however well they match."""
    probability = {suspect.commit: suspect.probability for suspect in past.suspects(text="Explain how to parse")}
    average = 1 / len(probability)
    assert max(probability[past.docs], probability[past.merge], probability[past.test]) < average


def test_no_evidence_at_all_prefers_the_newer(past):
    """When neither text nor output says anything, newer changes of code are likelier than older ones."""
    probability = {suspect.commit: suspect.probability for suspect in past.suspects(text="???")}
    assert probability[past.guilty] > probability[past.start]


@settings(max_examples=15, deadline=None)
@given(
    st.text(max_size=60),
    st.sampled_from(["", OUTPUT, 'File "app/parser.py", line 999, in nowhere\n', "\0"]),
    st.sampled_from(["tests/test_parser.py", "tests/new.py"]),
)
def test_any_evidence_gives_a_distribution(past, text, output, check_file):
    """Odd texts, lines that do not exist and check files newer than the base still give probabilities, the same each time."""
    suspects = past.suspects(text=text, failing_output=output, check_files=(check_file,))
    assert math.fsum(suspect.probability for suspect in suspects) == pytest.approx(1)
    chances = [suspect.probability for suspect in suspects]
    assert chances == sorted(chances, reverse=True)
    assert suspects == past.suspects(text=text, failing_output=output, check_files=(check_file,))
