"""Predictions in the official form: what is written is read again, and what is none is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.errors import UserError
from backstory.harness.predictions import Prediction, read_predictions


@given(st.text(), st.text(min_size=1))
def test_a_line_is_read_as_it_was_written(tmp_path_factory, patch, model):
    """Any patch and any model's name survive, line separators of every kind in them."""
    path = tmp_path_factory.mktemp("predictions") / "p.jsonl"
    prediction = Prediction("a", model, patch)
    path.write_text(prediction.to_line(), encoding="utf-8")
    assert read_predictions(path, known=["a"]) == {"a": prediction}


def test_every_official_layout_is_read(tmp_path):
    """Lines, a list, and an object by id; no patch is an empty one."""
    rows = [{"instance_id": "a", "model_name_or_path": "m", "model_patch": None}, {"instance_id": "b", "model_patch": "x"}]
    wanted = {"a": Prediction("a", "m", ""), "b": Prediction("b", "unknown", "x")}
    for text in ("\n".join(map(json.dumps, rows)), json.dumps(rows), json.dumps({row["instance_id"]: row for row in rows})):
        (tmp_path / "p").write_text(text)
        assert read_predictions(tmp_path / "p", known=["a", "b", "c"]) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"instance_id": "z", "model_patch": ""}', "'z', which the data does not hold"),
        ('{"instance_id": "a"}\n{"instance_id": "a"}', "two predictions for 'a'"),
        ('{"instance_id": "a", "model_patch": 3}', "item 1 .*'model_patch' is a int"),
        ('{"instance_id": "a"}\n{', "line 2 .* no JSON"),
        ("[3]", "item 1 .* is no prediction"),
    ],
)
def test_what_is_no_prediction_is_named(tmp_path, text, said):
    """An unknown instance, two predictions for one, and what has another shape are errors."""
    (tmp_path / "p").write_text(text)
    with pytest.raises(UserError, match=said):
        read_predictions(tmp_path / "p", known=["a"])
