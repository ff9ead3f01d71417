"""A run as an append-only list of events, from which it resumes after a crash and replays without a model.

The agent is written as ordinary deterministic code whose effects (a check that ran, later a model's reply) pass through `Trace.step`. Live, a
step runs its effect and the event is on disk before the next step begins. After a crash the same code runs again from the top: as long as
recorded events last, a step returns what was recorded instead of running anything; then it goes on live. A replay runs every effect again and
compares, so it arrives at the same patch or names the first event that differs. The idea is that of durable execution: state is never saved,
it is derived from the events. What comes from outside and cannot be had again (`decide`: a model's reply, which of several attempts was first)
is taken from the record in a replay as well.

Attempts run side by side, and how their events interleave is chance. Each writes into a lane of its own: the order within a lane is what
resumes and replays, the order between lanes is not.

A torn last line (power loss, `kill -9`, disk full) is dropped on opening: it is the one event that was never whole.
"""

import json
import os
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from backstory.errors import StorageError, UserError
from backstory.graph.lock import PATIENCE_S, lock_within

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
R = TypeVar("R")

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Event:
    """One line of a trace. seq: 0, 1, 2, ... without gaps; at: UTC, ISO 8601; lane: which of the parallel ways it belongs to, "" for the main one."""

    run: str
    seq: int
    at: str
    kind: str
    body: Mapping[str, Json]
    lane: str = ""

    def to_line(self) -> bytes:
        """Return the event as one line of JSON, newline included."""
        lane = {"lane": self.lane} if self.lane else {}
        fields = {"v": SCHEMA_VERSION, "run": self.run, "seq": self.seq, "at": self.at, **lane, "kind": self.kind, "body": self.body}
        return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True)
class Codec(Generic[R]):
    """How the result of a step is written down.

    stable: the part of what was written that must recur when the step runs again (no times, no paths of the machine).
    """

    encode: Callable[[R], Json]
    decode: Callable[[Json], R]
    stable: Callable[[Json], Json]


class Divergence(Exception):
    """A replayed run left the recorded way; `seq` is the first event that differs."""

    def __init__(self, seq: int, message: str) -> None:
        super().__init__(message)
        self.seq = seq


class Trace(Protocol):
    """What the agent writes its way into."""

    def note(self, kind: str, **body: Json) -> None:
        """Record a fact that follows from the code and what was recorded before."""

    def step(self, kind: str, key: Json, effect: Callable[[], R], codec: Codec[R]) -> R:
        """Return the result of `effect`, recorded under `kind` and `key`."""

    def decide(self, kind: str, key: Json, effect: Callable[[], R], codec: Codec[R]) -> R:
        """Return the result of `effect` as `step` does; a replay takes the recorded one, since what comes from outside cannot be had again."""

    def limit(self, reason: Callable[[], str | None], *, kind: str = "limit") -> str | None:
        """Return why the run has to stop here, or None: what was recorded as long as recorded events last, then what `reason` says, recorded.

        kind: "limit" for a budget and "share" for a part of it, which a resumption may raise; another one for what only this lane stops for.
        """

    def lane(self, name: str) -> "Trace":
        """Return the trace of one of several ways that are gone side by side; each name once."""


class RecordedTrace:
    """A trace on disk: resumes what is recorded, then records what is new. A context manager that holds the run's lock."""

    def __init__(self, path: Path, run: str, *, on_event: Callable[[Event], None] | None = None, past_limit: bool = False) -> None:
        """Open `path`, made if it is missing. Raises UserError if another process holds the run, StorageError if it cannot be written.

        past_limit: go on where a limit stopped the run, with another budget; what was recorded from the limit on no longer applies.
        """
        self._journal = _Journal(path, run, on_event, past_limit=past_limit)
        self._main = _RecordedLane(self._journal, "")

    def __enter__(self) -> "RecordedTrace":
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()

    def note(self, kind: str, **body: Json) -> None:
        """Record `body` unless it is already recorded as the next event."""
        self._main.note(kind, **body)

    def step(self, kind: str, key: Json, effect: Callable[[], R], codec: Codec[R]) -> R:
        """Return the recorded result of the next step if it is this one; otherwise run `effect` and record what it gave."""
        return self._main.step(kind, key, effect, codec)

    def decide(self, kind: str, key: Json, effect: Callable[[], R], codec: Codec[R]) -> R:
        """The same as `step`: only a replay tells them apart."""
        return self._main.step(kind, key, effect, codec)

    def limit(self, reason: Callable[[], str | None], *, kind: str = "limit") -> str | None:
        """Return the recorded limit if it is the next event; decide only when nothing recorded lies ahead."""
        return self._main.limit(reason, kind=kind)

    def lane(self, name: str) -> Trace:
        """Return the lane `name` of this trace."""
        return self._main.lane(name)


class _Journal:
    """The file of a trace, and what is recorded in it that no lane has come to yet. For several threads at once."""

    def __init__(self, path: Path, run: str, on_event: Callable[[Event], None] | None, *, past_limit: bool) -> None:
        self._run = run
        self._on_event = on_event
        self._lock = threading.Lock()
        self._file = _open_locked(path, run)
        events, whole_bytes = whole_events(path)
        os.ftruncate(self._file, whole_bytes)
        self._seq = len(events)
        valid = [event for event in still_valid(events) if event.kind != "finished"]
        limit = next((event.seq for event in valid if event.kind in ("limit", "share")), None)
        if past_limit and limit is not None:
            self.append("", "resumed", {"at": limit})
            valid = [event for event in valid if event.seq < limit]
        self._ahead = _by_lane(valid)

    def ahead(self, lane: str) -> deque[Event]:
        """Return the recorded events that a lane has before it."""
        with self._lock:
            return self._ahead[lane]

    def append(self, lane: str, kind: str, body: Mapping[str, Json]) -> None:
        """Write an event to the disk."""
        with self._lock:
            event = Event(self._run, self._seq, datetime.now(UTC).isoformat(timespec="milliseconds"), kind, body, lane)
            try:
                line = event.to_line()
                if os.write(self._file, line) != len(line):
                    raise OSError("short write")
                os.fsync(self._file)
            except OSError as error:
                raise StorageError(
                    f"cannot record run {self._run}: {error.strerror or error}; free some room and `backstory resume {self._run}`"
                ) from error
            self._seq += 1
            if self._on_event is not None:
                self._on_event(event)

    def close(self) -> None:
        """Give the run's lock back."""
        os.close(self._file)


class _RecordedLane:
    """One lane of a trace on disk, for one thread at a time."""

    def __init__(self, journal: _Journal, name: str) -> None:
        self._journal = journal
        self._name = name
        self._ahead = journal.ahead(name)

    def note(self, kind: str, **body: Json) -> None:
        written = _as_written(body)
        if self._take(kind, lambda event: event.body == written) is None:
            self._journal.append(self._name, kind, written)

    def step(self, kind: str, key: Json, effect: Callable[[], R], codec: Codec[R]) -> R:
        key = _as_written(key)
        recorded = self._take(kind, lambda event: event.body.get("key") == key)
        if recorded is not None:
            return _decoded(codec, recorded)
        started = datetime.now(UTC)
        result = effect()
        seconds = (datetime.now(UTC) - started).total_seconds()
        self._journal.append(self._name, kind, {"key": key, "result": codec.encode(result), "seconds": round(seconds, 4)})
        return result

    decide = step

    def limit(self, reason: Callable[[], str | None], *, kind: str = "limit") -> str | None:
        if self._ahead:
            return str(self._ahead.popleft().body["reason"]) if self._ahead[0].kind == kind else None
        said = reason()
        if said is not None:
            self._journal.append(self._name, kind, {"reason": said})
        return said

    def lane(self, name: str) -> Trace:
        return _RecordedLane(self._journal, _lane_name(self._name, name))

    def _take(self, kind: str, matches: Callable[[Event], bool]) -> Event | None:
        if not self._ahead:
            return None
        if self._ahead[0].kind == kind and matches(self._ahead[0]):
            return self._ahead.popleft()
        # The code or the environment has changed since: what was recorded from here on no longer applies.
        left = self._ahead[0]
        self._ahead.clear()
        self._journal.append(self._name, "diverged", {"at": left.seq, "recorded": left.kind, "now": kind})
        return None


class Unrecorded:
    """A trace of what is over when it has been said: every effect runs, nothing is written."""

    def note(self, kind: str, **body: Json) -> None:
        """Forget it."""

    def step(self, kind: str, key: Json, effect: Callable[[], R], codec: Codec[R]) -> R:
        """Run `effect`."""
        return effect()

    decide = step

    def limit(self, reason: Callable[[], str | None], *, kind: str = "limit") -> str | None:
        """Return what `reason` says."""
        return reason()

    def lane(self, name: str) -> Trace:
        """Return itself: nothing is in the way of anything."""
        return self


class ReplayedTrace:
    """A trace that runs every step again and compares it with what was recorded; writes nothing."""

    def __init__(self, events: list[Event], *, on_event: Callable[[Event], None] | None = None, lane: str = "") -> None:
        self._lanes = _by_lane(event for event in still_valid(events) if event.kind not in ("started", "finished"))
        self._on_event = on_event
        self._name = lane
        self._ahead = self._lanes[lane]

    def note(self, kind: str, **body: Json) -> None:
        """Raise Divergence unless the next recorded event says the same."""
        event = self._next(kind)
        body = _as_written(body)
        if event.body != body:
            raise Divergence(event.seq, f"event {event.seq} ({kind}): recorded {_short(event.body)}, now {_short(body)}")

    def step(self, kind: str, key: Json, effect: Callable[[], R], codec: Codec[R]) -> R:
        """Run `effect`; raise Divergence unless the key and the stable part of the result are the recorded ones.

        Returns what was recorded: what may differ (times, a program's output) was part of what was decided on.
        """
        event = self._keyed(kind, key)
        result = _decoded(codec, event)
        recorded, now = codec.stable(event.body["result"]), codec.stable(_as_written(codec.encode(effect())))
        if recorded != now:
            raise Divergence(event.seq, f"event {event.seq} ({kind}): recorded {_short(recorded)}, now {_short(now)}")
        return result

    def decide(self, kind: str, key: Json, effect: Callable[[], R], codec: Codec[R]) -> R:
        """Return the recorded result; raise Divergence unless the key is the recorded one."""
        return _decoded(codec, self._keyed(kind, key))

    def limit(self, reason: Callable[[], str | None], *, kind: str = "limit") -> str | None:
        """Return the recorded limit if it is the next event; a replay has no budget of its own."""
        return str(self._next(kind).body["reason"]) if self._ahead and self._ahead[0].kind == kind else None

    def lane(self, name: str) -> Trace:
        """Return the lane `name` of this trace."""
        lane = ReplayedTrace([], on_event=self._on_event)
        lane._name = _lane_name(self._name, name)
        lane._lanes = self._lanes
        lane._ahead = self._lanes[lane._name]
        return lane

    def finish(self) -> None:
        """Raise Divergence if events were recorded that the replay never came to."""
        left = sorted((lane[0] for lane in self._lanes.values() if lane), key=lambda event: event.seq)
        if left:
            raise Divergence(left[0].seq, f"event {left[0].seq} ({left[0].kind}) was recorded and did not come again")

    def _keyed(self, kind: str, key: Json) -> Event:
        event = self._next(kind)
        key = _as_written(key)
        if event.body.get("key") != key:
            raise Divergence(event.seq, f"event {event.seq} ({kind}): recorded for {_short(event.body.get('key'))}, now for {_short(key)}")
        return event

    def _next(self, kind: str) -> Event:
        if not self._ahead:
            raise Divergence(-1, f"the recorded run had ended where {kind!r} came now")
        event = self._ahead.popleft()
        if event.kind != kind:
            raise Divergence(event.seq, f"event {event.seq}: recorded {event.kind!r}, now {kind!r}")
        if self._on_event is not None:
            self._on_event(event)
        return event


def read_events(path: Path) -> list[Event]:
    """Return the whole events of a trace, in order. Raises UserError if there is none, StorageError if the file is not a trace."""
    if not path.exists():
        raise UserError(f"no run is recorded in {str(path.parent)!r}; `backstory runs` lists them")
    return whole_events(path)[0]


def is_held(path: Path) -> bool:
    """Return whether some process is writing this trace now."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not lock_within(file, 0)
    finally:
        os.close(file)


def _open_locked(path: Path, run: str) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(
            f"cannot record runs below {str(path.parent)!r}: {error.strerror}; set BACKSTORY_STATE_DIR to a writable folder"
        ) from error
    if not lock_within(file, PATIENCE_S):
        os.close(file)
        raise UserError(f"run {run} is in progress in another process; wait for it or stop it first")
    return file


def whole_events(path: Path) -> tuple[list[Event], int]:
    """Return the events up to the first torn line, and how many bytes they take."""
    content = path.read_bytes()
    events: list[Event] = []
    whole = 0
    for line in _lines(content):
        try:
            fields = json.loads(line)
            event = Event(fields["run"], fields["seq"], fields["at"], fields["kind"], fields["body"], fields.get("lane", ""))
        except (ValueError, KeyError, TypeError) as error:
            if whole + len(line) == len(content):
                break  # the last line was torn although its newline was written
            raise StorageError(f"{str(path)!r} is damaged at event {len(events)}; its run cannot be used, remove the folder") from error
        if event.seq != len(events):
            raise StorageError(f"{str(path)!r} is damaged: event {event.seq} stands where {len(events)} belongs; remove the folder")
        events.append(event)
        whole += len(line)
    return events, whole


def still_valid(events: list[Event]) -> list[Event]:
    """Return the events that no resumption overruled: one that went past a limit takes back those from its `at` on, and itself.

    One that went another way takes back those of its own lane; the others did not depend on it, or will go another way themselves.
    """
    valid: list[Event] = []
    for event in events:
        if event.kind in ("diverged", "resumed"):
            taken_back_from = event.body["at"]
            assert isinstance(taken_back_from, int)
            all_lanes = event.kind == "resumed"
            valid = [earlier for earlier in valid if earlier.seq < taken_back_from or not (all_lanes or earlier.lane == event.lane)]
        else:
            valid.append(event)
    return valid


def _by_lane(events: Iterable[Event]) -> defaultdict[str, deque[Event]]:
    lanes: defaultdict[str, deque[Event]] = defaultdict(deque)
    for event in events:
        lanes[event.lane].append(event)
    return lanes


def _lane_name(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


def _decoded(codec: Codec[R], event: Event) -> R:
    try:
        return codec.decode(event.body["result"])
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"run {event.run} is damaged at event {event.seq} ({event.kind}: {error!r}); remove its folder") from error


def _as_written(value: Any) -> Any:
    """Return `value` as reading it back gives it, so that tuples and lists compare equal."""
    return json.loads(json.dumps(value))


def _lines(content: bytes) -> Iterator[bytes]:
    """Yield whole lines with their newline; a tail without one is no line."""
    at = 0
    while (end := content.find(b"\n", at)) >= 0:
        yield content[at : end + 1]
        at = end + 1


def _short(value: object, limit: int = 160) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= limit else text[: limit - 1] + "…"
