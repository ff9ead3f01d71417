"""Two servers that the tests of this folder share: a small real model, and a tiny one of random weights whose cache holds a few conversations."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from real_vllm import RealServer, plain_vllm


def pytest_collection_modifyitems(items):
    """Mark what is here, so that `pytest` alone leaves it out."""
    for item in items:
        if "served" in item.path.parts:
            item.add_marker(pytest.mark.serving)
            item.add_marker(pytest.mark.slow)


@contextmanager
def kept(server):
    """Yield a server that is stopped at the end, whoever started it and whatever became of it."""
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def small_server(tmp_path_factory):
    # Replies are short: at a CPU's speed their tokens are what takes time.
    flags = ("--override-generation-config", '{"max_new_tokens": 48}')
    with kept(RealServer(tmp_path_factory.mktemp("small"), "small", flags=flags)) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_server(tmp_path_factory):
    # A parser without a grammar of its own: under that of others, blanks are allowed, and random weights write nothing else.
    options = ("--context", "4352", "--tool-parser", "pythonic")
    flags = (
        *("--load-format", "dummy", "--num-gpu-blocks-override", "160", "--watermark", "0", "--max-num-queued-reqs", "8"),
        *("--override-generation-config", '{"max_new_tokens": 512}'),
    )
    with kept(RealServer(tmp_path_factory.mktemp("tiny"), "tiny", *options, flags=flags)) as server:
        yield server


@pytest.fixture
def small(small_server):
    """SmolLM2-135M-Instruct, which says something but calls no tools."""
    small_server.start()
    return small_server


@pytest.fixture
def tiny(tiny_server):
    """A Llama of random weights with a cache of 5,120 tokens, which turns away whoever finds eight there."""
    tiny_server.start()
    return tiny_server


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The address of the tiny model's cache behind a vLLM with its own flags alone, under a scheduler that lets long prompts wait for ever."""
    flags = (
        "--load-format",
        "dummy",
        "--enforce-eager",
        "--max-model-len",
        "4352",
        "--block-size",
        "32",
        "--num-gpu-blocks-override",
        "160",
    )
    scheduler = ("--scheduler-cls", "never_fits.NeverFits")
    with plain_vllm(tmp_path_factory.mktemp("plain"), "tiny", *flags, *scheduler, modules=Path(__file__).parent) as api_base:
        yield api_base
