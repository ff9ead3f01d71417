"""What every test process needs."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from command import CommandLine
from engine import private_engine, why_none

# A shell that starts the suite in the background has Ctrl-C ignored, and what a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples that are slow because the machine is busy are no failure: no test measures time.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture
def cli(tmp_path):
    """The command line, with an empty home."""
    return CommandLine(tmp_path / "home")


@pytest.fixture(scope="session")
def engine():
    """The address of a container engine. Skips where none can be started, and fails there when CI=true."""
    why = why_none()
    if why and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why:
        pytest.skip(why)
    with private_engine() as address:
        yield address
