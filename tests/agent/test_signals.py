"""Signals that come from where a file or a function stands."""

import numpy as np
import pytest
from graphs import graph_of

from backstory.agent.corpus import NAME_WEIGHT, corpus_of
from backstory.agent.signals import Signal, folder_signal, owner_signal
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
    _, symbols = corpus.counted(["pars", "row"])
    found = dict(zip(corpus.code.qualnames, symbols.matrix.toarray().tolist(), strict=True))
    assert found["Box.parse_rows"] == found["Bag.parse_rows"] == [1.0 + NAME_WEIGHT, 1.0 + NAME_WEIGHT]
    assert found["Box"] == [0.0, 0.0]
