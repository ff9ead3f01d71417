"""Predictions: the patches somebody proposes for instances, in the official form.

One JSON object a line with `instance_id`, `model_name_or_path` and `model_patch`; a JSON list of them, or an object by id, is read as well. An empty or
absent patch is a prediction that nothing should be changed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from backstory.errors import UserError


@dataclass(frozen=True)
class Prediction:
    """What somebody proposes for an instance. patch: a unified diff, "" for none."""

    id: str
    model: str
    patch: str

    def to_line(self) -> str:
        """Return the prediction as one line of the official form, newline included."""
        return json.dumps({"instance_id": self.id, "model_name_or_path": self.model, "model_patch": self.patch}) + "\n"


def read_predictions(path: Path, *, known: Iterable[str]) -> dict[str, Prediction]:
    """Return the predictions of a file by instance. known: ids of the instances there are.

    Raises UserError for a file that cannot be read, for what is no prediction, for an instance that is not known or stands twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the predictions in {str(path)!r}: {error}") from error
    known = set(known)
    found: dict[str, Prediction] = {}
    for place, row in _rows(text, path):
        prediction = _prediction(row, f"{place} of {str(path)!r}")
        if prediction.id not in known:
            raise UserError(
                f"{place} of {str(path)!r} is for {prediction.id!r}, which the data does not hold; name the data it was made for"
            )
        if prediction.id in found:
            raise UserError(f"{str(path)!r} has two predictions for {prediction.id!r}; keep one")
        found[prediction.id] = prediction
    return found


def _rows(text: str, path: Path) -> Iterator[tuple[str, object]]:
    try:
        whole = json.loads(text)
    except ValueError:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    yield f"line {number}", json.loads(line)
                except ValueError as error:
                    raise UserError(f"line {number} of {str(path)!r} is no JSON: {error}") from error
        return
    if isinstance(whole, Mapping) and "instance_id" not in whole:
        whole = list(whole.values())
    for number, row in enumerate(whole if isinstance(whole, list) else [whole], 1):
        yield f"item {number}", row


def _prediction(row: object, where: str) -> Prediction:
    if not isinstance(row, Mapping) or not isinstance(row.get("instance_id"), str):
        raise UserError(f"{where} is no prediction; each has instance_id, model_name_or_path and model_patch")
    patch, model = row.get("model_patch"), row.get("model_name_or_path")
    if patch is not None and not isinstance(patch, str):
        raise UserError(f"{where}: 'model_patch' is a {type(patch).__name__}, not text")
    return Prediction(row["instance_id"], str(model or "unknown"), patch or "")
