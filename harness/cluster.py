"""Instances spread over a Ray cluster that is there already: each is one task, and rows come back as they do from threads.

The folder of the batch, the cache, the repositories and the interpreters have to be at the same paths on every machine of the cluster (a shared file
system). What a task has written is there for a resumption, wherever it ran; a machine that is lost ends the batch, which goes
on when it is run again. Keys of models travel to the machines that ask them.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backstory.errors import UserError
from backstory.harness.instances import Instance
from backstory.harness.run import Bench, Perform, Row, Stage, perform

_ANSWER_S = 10


@contextmanager
def on_cluster(address: str) -> Iterator[Perform]:
    """Yield what works on an instance somewhere in the cluster at `address`: `auto` for the one that runs here, `local` for one of this process alone.

    Raises UserError when Ray is not installed or no cluster answers.
    """
    try:
        import ray  # an optional extra: it weighs 240 MB
    except ImportError as error:
        raise UserError("spreading instances over a cluster needs Ray; pip install 'backstory[ray]'") from error
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if host and port.isdigit():  # Ray itself goes on trying for minutes
            socket.create_connection((host, int(port)), _ANSWER_S).close()
        ray.init(address=address, log_to_driver=False, include_dashboard=False if address == "local" else None)
    except (OSError, ValueError, RuntimeError) as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(
            f"no Ray cluster answers at {address!r} ({line}); start one with `ray start`, or name it with RAY_ADDRESS"
        ) from error
    # A task is never tried again by Ray: what it began is gone on with by the next run of the batch.
    task = ray.remote(max_retries=0)(perform)

    def at_work(bench: Bench, instance: Instance, stage: Stage) -> Row:
        stage("on the cluster")
        try:
            row: Any = ray.get(task.remote(bench, instance))
        except ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from error
        except ray.exceptions.RayError as error:
            raise UserError(f"the cluster lost {instance.id}: {' '.join(str(error).split())[:200]}; run the batch again") from error
        assert isinstance(row, Row)
        return row

    try:
        yield at_work
    finally:
        ray.shutdown()
