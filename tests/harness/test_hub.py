"""Data sets of the hub, from a server on this machine that answers as the hub does."""

import contextlib
import json
from pathlib import Path

import pytest
from github_like import server

COMMIT = "5" * 40
ROW = {
    "instance_id": "octo__cat-1",
    "repo": "octo/cat",
    "base_commit": "b" * 40,
    "problem_statement": "It purrs.",
    "patch": "",
    "test_patch": "",
    "FAIL_TO_PASS": ["t"],
    "PASS_TO_PASS": [],
}
FILES = {
    "data/test-00000-of-00001.jsonl": json.dumps(ROW).encode(),
    "data/dev.jsonl": json.dumps({**ROW, "instance_id": "octo__cat-2"}).encode(),
    "dataset_infos.json": b'{"no": "instance"}',
    "README.md": b"# Cats",
}


@contextlib.contextmanager
def hub():
    """Serve one data set, `octo/cats`; yields the address and the requests seen."""

    def answer(root: str, path: str) -> tuple[int, dict[str, str], object]:
        path = path.partition("?")[0]
        if path.startswith("/api/datasets/octo/cats/tree/"):
            return 200, {}, [{"type": "file", "path": name, "size": len(body), "oid": "e" * 40} for name, body in FILES.items()]
        if path in ("/api/datasets/octo/cats", "/api/datasets/octo/cats/revision/main", f"/api/datasets/octo/cats/revision/{COMMIT}"):
            return 200, {}, {"id": "octo/cats", "sha": COMMIT}
        if path.startswith("/api/datasets/octo/cats/"):
            return 404, {"X-Error-Code": "RevisionNotFound"}, {"error": "no such revision"}
        _, found, name = path.partition(f"/datasets/octo/cats/resolve/{COMMIT}/")
        if found:
            return 200, {"ETag": f'"{len(name):040}"', "X-Repo-Commit": COMMIT}, FILES[name]
        return 404, {"X-Error-Code": "RepoNotFound"}, {"error": "no such data set"}

    with server(answer) as (root, seen):
        yield root, seen


def asked(cli, data: str, endpoint: str, *more: str):
    """Ask for an instance that no data set has, which names it once the data is there."""
    arguments = ("bench", "run", "--data", data, "--repos", "/none/{owner}+{name}", "--gold", "--out", "out", "--ids", "octo__cat-9", *more)
    return cli(*arguments, HF_ENDPOINT=endpoint)


def test_a_data_set_of_the_hub_is_fetched_once_and_serves_without_network(cli):
    """Only files of instances are fetched, a split can be chosen, and what was fetched is used when nobody answers any more."""
    with hub() as (root, seen):
        assert asked(cli, "hub:octo/cats", root, "--split", "test").error == "the data holds no instance 'octo__cat-9'"
        bodies = [path for path, _ in seen if "/resolve/" in path]
        assert {Path(path).name for path in bodies} == {"test-00000-of-00001.jsonl", "dev.jsonl"}
        asked(cli, f"hub:octo/cats@{COMMIT}", root)
        assert [path for path, _ in seen if "/resolve/" in path] == bodies
    assert asked(cli, "hub:octo/cats", root).error == "the data holds no instance 'octo__cat-9'"
    kept = json.loads(cli("cache", "list", "--json").out)
    assert [item["kind"] for item in kept["kept"]] == ["data set"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("hub:cats", "names no data set of the hub; write hub:OWNER/NAME or hub:OWNER/NAME@REVISION"),
        ("hub:octo/dogs", "the hub has no data set 'octo/dogs', or shows it only to who has a token (HF_TOKEN)"),
        ("hub:octo/cats@old", "the data set 'octo/cats' has no revision 'old'"),
    ],
)
def test_what_cannot_be_had_is_told_in_a_line(cli, data, said):
    """A wrong name, a data set that is not there and a revision that is not there."""
    with hub() as (root, _):
        ended = asked(cli, data, root)
    assert ended.exit_code == 2 and said in ended.error


def test_nobody_answers(cli):
    """Without network and with nothing fetched, the line says what to do."""
    ended = asked(cli, "hub:octo/cats", "http://127.0.0.1:9")
    assert ended.exit_code == 2 and "download its files and give their folder" in ended.error
