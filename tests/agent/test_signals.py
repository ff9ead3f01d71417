"""Signals that come from where a file or a function stands."""

import numpy as np
import pytest
from graphs import graph_of

from backstory.agent.corpus import NAME_WEIGHT, corpus_of
from backstory.agent.signals import Signal, folder_signal, literal_signals, owner_signal, rank_signal
from backstory.graph.types import Evidence
from repos import Repo

PATHS = ["app/a.py", "app/b.py", "app/c.py", "setup.py"]


def test_a_file_gains_by_the_best_other_one_in_its_folder():
    """It is the geometric mean of the two, so a file that nothing else speaks for, or that stands alone, gains nothing."""
    found = folder_signal(PATHS, np.array([0.9, 0.4, 0.0, 0.8]))
    assert found.scores.tolist() == pytest.approx([0.6, 0.6, 0.0, 0.0])
    assert [found.why(number).ref for number in (0, 1)] == ["app/b.py", "app/a.py"]


def test_a_close_second_counts_nearly_as_much_as_the_best():
    """Scaled scores are 1 for the best, more than their share for the others, and 0 where there is nothing."""
    scaled = Signal(np.array([8.0, 4.0, 0.0]), lambda number: Evidence("text", "", "")).scaled
    assert scaled[0] == 1 and 0.5 < scaled[1] < 1 and scaled[2] == 0


def test_a_method_has_what_its_class_has(tmp_path):
    """The score of a class goes to what is defined directly in it, and to nothing else."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Start", {"a.py": "class Box:\n    def open(self):\n        def inner():\n            pass\n\n\ndef open():\n    pass\n"})
    corpus = corpus_of(graph_of(repo, tmp_path / "cache"))
    own = Signal(np.array([float(name == "Box") for name in corpus.code.qualnames]), lambda number: Evidence("title", "", ""))
    found = owner_signal(corpus, own)
    assert [name for name, score in zip(corpus.code.qualnames, found.scores, strict=True) if score] == ["Box.open"]
    assert found.why(corpus.code.qualnames.index("Box.open")).ref == "a.py:Box"


def test_a_name_counts_in_every_symbol_that_has_it(tmp_path):
    """The words of a name count on top of the text, the same in each definition of that name, whatever form the issue has them in."""
    source = "class Box:\n    def parse_rows(self):\n        pass\n\n\nclass Bag:\n    def parse_rows(self):\n        pass\n"
    repo = Repo(tmp_path / "repo")
    repo.commit("Start", {"a.py": source})
    corpus = corpus_of(graph_of(repo, tmp_path / "cache"))
    _, symbols, names = corpus.counted(["pars", "row", "box"])
    found = dict(zip(corpus.code.qualnames, symbols.matrix.toarray().tolist(), strict=True))
    assert found["Bag.parse_rows"] == [1.0 + NAME_WEIGHT, 1.0 + NAME_WEIGHT, 0.0]
    assert found["Box.parse_rows"] == [1.0 + NAME_WEIGHT, 1.0 + NAME_WEIGHT, NAME_WEIGHT]
    own = dict(zip(corpus.code.qualnames, names.matrix.toarray().tolist(), strict=True))
    assert own["Box.parse_rows"] == own["Bag.parse_rows"] == [1.0, 1.0, 0.0] and own["Box"] == [0.0, 0.0, 1.0]
    assert dict(zip(corpus.code.qualnames, names.lengths.tolist(), strict=True)) == {
        "Box": 1,
        "Bag": 1,
        "Box.parse_rows": 3,
        "Bag.parse_rows": 3,
    }


def test_the_first_of_a_file_has_all_of_its_score():
    """Functions are numbered in their file by their own scores, classes apart, and have less the later they come; what nothing speaks for has none."""
    file_of, is_class = np.array([0, 0, 0, 1, 1, 1]), np.array([False, True, False, False, False, False])
    found = rank_signal(file_of, is_class, files=np.array([1.0, 0.5]), symbols=np.array([0.5, 0.4, 0.9, 0.1, 0.2, 0.0]))
    assert found.scaled.tolist() == pytest.approx([2**-0.5, 1, 1, 0.5 * 2**-0.5, 0.5, 0])
    assert found.why(3).note == "ranks 2 in its file"
    none = np.zeros(0)
    assert rank_signal(none.astype(np.int64), none.astype(bool), files=none, symbols=none).scaled.tolist() == []


def test_what_the_issue_repeats_leads_to_who_says_it(tmp_path):
    """A piece of a literal counts by its words, shared by all functions that say the same; what stands outside every function speaks for its file."""
    files = {
        "a.py": 'HELP = "please give a name"\n\n\ndef open(name):\n    raise OSError(f"no such box: {name} is not there at all")\n',
        "b.py": 'def close():\n    """Tell that no such box is known."""\n    print("no such box")\n',
        "tests/test_a.py": 'def test_open():\n    assert "no such box"\n',
        "c.go": 'package c\n\nfunc Shut() string {\n\treturn "IS NOT there at all"\n}\n',
    }
    repo = Repo(tmp_path / "repo")
    repo.commit("Start", files)
    graph = graph_of(repo, tmp_path / "cache")
    corpus = corpus_of(graph)
    of_files, of_symbols = literal_signals(graph, corpus, "It said 'No such box: shoe is not there at all'. Please give a name!")
    names = corpus.code.qualnames
    assert dict(zip(names, of_symbols.scores.tolist(), strict=True)) == {"open": 1.5 + 2.5, "close": 1.5, "test_open": 0, "Shut": 2.5}
    assert dict(zip(corpus.paths, of_files.scores.tolist(), strict=True)) == {"a.py": 4.0, "b.py": 1.5, "c.go": 2.5, "tests/test_a.py": 0}
    assert of_symbols.why(names.index("open")) == Evidence("literal", "a.py:5", "says what the issue repeats: is not there at all")
    assert not literal_signals(graph, corpus, "no such")[1].scores.any()
    again = literal_signals(graph, corpus, "no such box")
    assert again[1].why(names.index("close")).ref == "b.py:3"
