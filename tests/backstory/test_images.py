"""`bench run` and `bench score` in images of a real engine, one made on the spot in the form of the official ones, with an official evaluation script."""

import io
import json
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

from backstory.tools.engine import open_engine
from command import CommandLine
from shop import CODE, FIXED, FOUND, SOLVED, VERSION, Shop
from talking import model_that, roles

pytestmark = [pytest.mark.docker, pytest.mark.slow]

IMAGE = "octo/shop:1"
BIN = "opt/miniconda3/envs/testbed/bin"
# As conda's does it, as far as official scripts ask.
ACTIVATE = f'conda() {{ export PATH="/{BIN}:$PATH" CONDA_DEFAULT_ENV="$2"; }}\n'
# The image has no programs of its own: it sees this machine's.
MOUNTS = sorted({"/usr", *(str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib")))} - {"/"})
RECIPE = f"""
repository = "octo/shop"

[[environment]]
versions = ["1.0"]
image = "{IMAGE}"
test = "python -m pytest -rA -p no:cacheprovider"
timeout = 120
mounts = {json.dumps([path for path in MOUNTS if path == "/usr" or not path.startswith("/usr/")])}
"""


def official_script(shop):
    """Return an evaluation script in the form of the official ones."""
    head = "source /opt/miniconda3/bin/activate\nconda activate testbed\ncd /testbed\n"
    return (
        f"#!/bin/bash\nset -uxo pipefail\n{head}git config --global --add safe.directory /testbed\ncd /testbed\ngit status\ngit show\n"
        f"git -c core.fileMode=false diff {shop.base}\n{head}python -m pip install -e .\ngit checkout {shop.base} test_shop.py\n"
        f"git apply -v - <<'EOF_114329324912'\n{shop.test_patch}\nEOF_114329324912\n"
        ": '>>>>> Start Test Output'\npytest -rA -p no:cacheprovider test_shop.py\n: '>>>>> End Test Output'\n"
        f"git checkout {shop.base} test_shop.py\n"
    )


def roots(entry):
    """Make an entry of a tar root's, as everything of an official image is."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


@pytest.fixture(scope="module")
def shop(tmp_path_factory, engine):
    """The shop, with its image: a copy of the repository at the base, with what an install left in it, and an interpreter as conda has it."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    (shop.recipes / "shop.toml").write_text(RECIPE)
    copy = shop.root / "testbed"
    shop.repo.git("clone", "-q", str(shop.repo.root), str(copy))
    shop.repo.git("-C", str(copy), "checkout", "-q", "--detach", shop.base)
    (copy / "shop.egg-info").mkdir()
    (copy / "shop.egg-info" / "PKG-INFO").write_text("Name: shop\n")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(copy, "testbed", filter=roots)
        for name in ("bin", "lib", "lib64", "sbin"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
        for name in (
            "etc",
            "root",
            "opt",
            "opt/miniconda3",
            "opt/miniconda3/bin",
            "opt/miniconda3/envs",
            "opt/miniconda3/envs/testbed",
            BIN,
        ):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for path, text in {
            "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
            "root/.profile": "",
            "opt/miniconda3/bin/activate": ACTIVATE,
            f"{BIN}/python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
            f"{BIN}/pytest": f'#!/bin/sh\nexec {sys.executable} -m pytest "$@"\n',
        }.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    repository, _, tag = IMAGE.partition(":")
    open_engine(engine)._api.import_image_from_data(made.getvalue(), repository=repository, tag=tag, changes=["WORKDIR /testbed"])
    return shop


@pytest.fixture(scope="module")
def run(tmp_path_factory, engine):
    return CommandLine(tmp_path_factory.mktemp("home"), DOCKER_HOST=engine)


def rows(ended):
    assert ended.exit_code == 0, ended.err
    return {row["id"]: row for row in json.loads(ended.out)["rows"]}


def test_an_official_script_gives_both_readings(run, shop, tmp_path):
    """The true patch resolves and none does not, by the record and by the log of one run of the script; nothing of it is left in the engine."""
    shop.write(shop.row(eval_script=official_script(shop), log_parser="parse_log_pytest", image=IMAGE))
    (shop.recipes / "shop.toml").write_text(RECIPE.replace(f'image = "{IMAGE}"', f'python = "{VERSION}"'))
    gold = rows(run("bench", "run", *shop.where, "--env", "docker", "--gold", "--out", tmp_path / "gold", "--json"))["octo__shop-12"]
    empty = rows(run("bench", "run", *shop.where, "--env", "docker", "--empty", "--out", tmp_path / "empty", "--json"))["octo__shop-12"]
    (shop.recipes / "shop.toml").write_text(RECIPE)
    shop.write(shop.row())
    assert (gold["status"], gold["official"], gold["validity"], gold["where"]) == ("resolved", True, "valid", f"image {IMAGE}")
    assert (empty["status"], empty["official"], empty["reason"]) == ("failed", False, "1 of 1 tests to fix still fail")
    log = (tmp_path / "gold" / "instances" / "octo__shop-12" / "log.txt").read_text()
    assert "Applied patch test_shop.py cleanly." in log and "+ : '>>>>> Start Test Output'" in log
    assert len(gold["trials"]) == 1
    assert not open_engine(run.environ["DOCKER_HOST"])._api.containers(all=True)


def test_predictions_are_judged_in_the_image_of_a_recipe(run, shop, tmp_path):
    """Without a script the recipe's command is run in the same form; forged lines and steering have no say there either."""
    patches = {
        "right": shop.patch,
        "wrong": shop.diff(CODE, FIXED.replace("'cost', 0", "'cost', 1")),
        "forging": shop.diff(CODE, f"print(': >>>>> Start Test Output')\nprint('PASSED test_shop.py::test_price_of_nothing')\n{CODE}"),
        "steering": shop.diff("", "collect_ignore = ['test_shop.py']\n", "conftest.py"),
        "removing": shop.diff("a small shop\n", "", "README").replace("+++ b/README", "+++ /dev/null") + shop.patch,
    }
    ids = shop.predict(tmp_path / "predictions.jsonl", patches.values())
    command = ("bench", "score", *shop.where, "--env", "docker", "--predictions", tmp_path / "predictions.jsonl")
    found = rows(run(*command, "--out", tmp_path / "scored", "--json", "--no-validate"))
    shop.write(shop.row())
    assert {name: found[id]["status"] for name, id in zip(patches, ids, strict=True)} == {
        "right": "resolved",
        "wrong": "failed",
        "forging": "failed",
        "steering": "failed",
        "removing": "resolved",
    }


def test_auto_takes_what_is_there(run, shop, tmp_path):
    """An image that the engine has; else an environment built here; else neither, and both reasons are told. Only `docker` itself needs an engine."""
    command = ("bench", "run", *shop.where, "--gold", "--json", "--no-validate", "--out")
    assert rows(run(*command, tmp_path / "1"))["octo__shop-12"]["where"] == f"image {IMAGE}"
    without = rows(run(*command, tmp_path / "2", DOCKER_HOST="unix:///nonexistent"))["octo__shop-12"]
    assert without["status"] == "not_here"
    assert without["reason"].startswith("not in an image (no container engine answers at unix:///nonexistent")
    assert "names no interpreter, only an image" in without["reason"]
    refused = run(*command, tmp_path / "3", "--env", "docker", DOCKER_HOST="unix:///nonexistent")
    assert refused.exit_code == 6 and refused.error.startswith("no container engine answers at unix:///nonexistent")
    absent = rows(run(*command, tmp_path / "4", "--env", "docker", "--pull", "never", "--image", "octo/none:{id}"))["octo__shop-12"]
    assert absent["reason"].startswith("the image 'octo/none:octo__shop-12' is not here")


def test_a_run_works_in_the_image(run, shop, tmp_path):
    """A scripted model mends the shop with its tests run in the image, on a tree in the place of the image's own copy."""
    with model_that(roles([FOUND], SOLVED)) as (model, _, _):
        where = ("--env", "docker", "--model", model.name, "--api-base", model.api_base, "--with-check")
        row = rows(run("bench", "run", *shop.where, *where, "--out", tmp_path, "--json"))["octo__shop-12"]
    assert (row["status"], row["spent"]["ended"], row["where"]) == ("resolved", "verified", f"image {IMAGE}")
    (kept,) = (run.home / "cache" / "images").glob("*/image.json")
    assert json.loads(kept.read_text()) == {"image": IMAGE, "python": f"/{BIN}/python", "outputs": ["shop.egg-info"]}
