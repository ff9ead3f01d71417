"""Whole runs, recorded: killed anywhere they go on to the same patch, stopped by a budget they can be resumed, and replayed they say what differs."""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from backstory.agent.budget import Budget
from backstory.agent.runs import events_path, fix, list_runs, open_run, replay, resume
from backstory.agent.trace import still_valid
from backstory.errors import StorageError, UserError
from backstory.graph.lock import clearing_cache
from command import CommandLine
from fixing import CHECK, CULPRIT, ISSUE, asked, broken, quiet, solved, state_of

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """The broken repository; no test changes it."""
    return broken(tmp_path_factory.mktemp("broken") / "repo")


@pytest.fixture(scope="module")
def undisturbed(repo, tmp_path_factory):
    """The events of a run that nothing disturbed."""
    home = tmp_path_factory.mktemp("undisturbed")
    solved(repo.root, home)
    return open_run(home / "state", "last")[1]


@pytest.fixture(scope="module")
def steps(undisturbed):
    """How many checks that run made."""
    return sum(event.kind == "check" for event in undisturbed)


def way(events):
    """What a run did, step by step, without times and output."""
    return [(event.kind, event.body.get("key"), event.body.get("tree")) for event in events]


def left_behind(home):
    """What a run should have removed at its end: work trees, what the mirror knows of them, temporary files."""
    places = [home / "cache" / "work", home / "tmp", *(home / "cache" / "repos").glob("*/mirror.git/worktrees")]
    return [path for place in places if place.is_dir() for path in place.iterdir()]


def survivors(home):
    """The living processes whose command line or folder names `home`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + os.fsencode(os.readlink(process / "cwd"))  # noqa: PTH115 (may end in " (deleted)")
            state = (process / "stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if os.fsencode(home) in words and state != b"Z" and int(process.name) != os.getpid():
            found.append(words)
    return found


class TestReplays:
    """A finished run walked again."""

    @pytest.fixture
    def run(self, repo, tmp_path):
        outcome = solved(repo.root, tmp_path)
        assert (outcome.exit_code, outcome.solution.blamed.status, outcome.solution.blamed.subject) == (0, "confirmed", CULPRIT)
        return outcome

    def test_the_same_patch(self, run, tmp_path):
        """Nothing changed: the same tree, nothing recorded, nothing left behind."""
        before = events_path(tmp_path / "state", run.run_id).read_bytes()
        again = replay("last", state_dir=tmp_path / "state", report=quiet)
        assert (again.same, again.divergence, again.patch_tree) == (True, None, run.solution.patch.tree)
        assert events_path(tmp_path / "state", run.run_id).read_bytes() == before
        assert left_behind(tmp_path) == []

    def test_another_verdict_or_patch_is_named(self, run, tmp_path):
        """A verdict that was changed, a proposal that was, and a patch that was, are each the first divergence."""
        path = events_path(tmp_path / "state", run.run_id)
        lines = path.read_bytes().splitlines(keepends=True)
        bad = next(seq for seq, line in enumerate(lines) if b'"role":"history"' in line and b'"status":"failed"' in line)
        proposed = next(seq for seq, line in enumerate(lines) if b'"kind":"proposal"' in line)
        for seq, old, new, said in (
            (bad, b'"status":"failed"', b'"status":"passed"', f"event {bad} (check): recorded"),
            (proposed, b'"size":2', b'"size":3', f"event {proposed} (proposal): recorded"),
            (len(lines) - 1, run.solution.patch.tree.encode(), b"0" * 40, "recorded was " + "0" * 40),
        ):
            changed = lines.copy()
            assert old in changed[seq]
            changed[seq] = changed[seq].replace(old, new)
            path.write_bytes(b"".join(changed))
            again = replay("last", state_dir=tmp_path / "state", report=quiet)
            assert not again.same and said in again.divergence

    def test_another_past_is_a_divergence(self, run, repo, tmp_path):
        """A check that answers otherwise now is found out, although the answer was remembered."""
        path = events_path(tmp_path / "state", run.run_id)
        path.write_bytes(path.read_bytes().replace(b'"command":"python check.py"', b'"command":"python other.py"'))
        assert not replay("last", state_dir=tmp_path / "state", report=quiet).same

    def test_an_unfinished_run_is_resumed_first(self, run, tmp_path):
        """What has no end cannot be compared."""
        path = events_path(tmp_path / "state", run.run_id)
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))
        with pytest.raises(UserError, match="has not finished; go on with `backstory resume"):
            replay("last", state_dir=tmp_path / "state", report=quiet)

    def test_a_damaged_run_is_one_line(self, run, tmp_path):
        """Events that no run wrote are damage, told in one line, and the list of runs still works."""
        path = events_path(tmp_path / "state", run.run_id)
        lines = path.read_bytes().splitlines(keepends=True)
        checks = [seq for seq, line in enumerate(lines) if b'"kind":"check"' in line]
        for seq, old, new in (
            (0, b'"request"', b'"requests"'),
            (checks[0], b'"status":"failed"', b'"status":"fallen"'),
            (len(lines) - 1, b'"solution"', b'"salvation"'),
            (3, b'"kind"', b"kind"),
        ):
            changed = lines.copy()
            changed[seq] = changed[seq].replace(old, new, 1)
            assert changed != lines
            path.write_bytes(b"".join(changed))
            for use in (replay, resume):
                if use is resume and seq in (0, checks[0]):
                    continue  # it has finished: its outcome is given again
                with pytest.raises(StorageError, match="is damaged") as caught:
                    use("last", state_dir=tmp_path / "state", report=quiet)
                assert "\n" not in str(caught.value)
            assert [summary.id for summary in list_runs(tmp_path / "state")] == [run.run_id]


class TestKilled:
    """A run that ends from one moment to the next."""

    def start(self, repo, home, *arguments):
        (home / "tmp").mkdir(parents=True)
        cli = CommandLine(home, VIRTUAL_ENV=sys.prefix, TMPDIR=str(home / "tmp"))
        words = cli.argv("fix", ISSUE, "--repo", repo.root, "--check", CHECK, *arguments)
        return subprocess.Popen(
            words,
            cwd=home,
            env=cli.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def recorded(self, home):
        """The bytes of whole events on disk."""
        found = [path.read_bytes() for path in (home / "state" / "runs").glob("*/events.jsonl")]
        return found[0][: found[0].rfind(b"\n") + 1] if found else b""

    def kill(self, process):
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def goes_on(self, repo, home, undisturbed, monkeypatch):
        """Resume and hold that to the run which nothing disturbed."""
        monkeypatch.setenv("TMPDIR", str(home / "tmp"))
        before = self.recorded(home)
        for remembered in (home / "cache" / "repos").glob("*/verdicts.db*"):
            remembered.unlink()  # so that only the trace can know an answer
        outcome = resume("last", state_dir=home / "state", report=quiet)
        after = self.recorded(home)
        assert (outcome.exit_code, outcome.solution.patch.tree) == (0, undisturbed[-1].body["solution"]["patch"]["tree"])
        assert after.startswith(before)
        assert way(open_run(home / "state", "last")[1]) == way(undisturbed)
        assert left_behind(home) == []
        assert survivors(home) == []

    @pytest.mark.parametrize("moment", range(1, 10))
    def test_at_every_event(self, repo, undisturbed, tmp_path, monkeypatch, moment):
        """Killed when its k-th event is on disk, a run resumes to the same patch, repeats no recorded check and leaves nothing."""
        home, state = tmp_path / "home", state_of(repo.root)
        process = self.start(repo, home)
        while self.recorded(home).count(b"\n") < moment and process.poll() is None:
            time.sleep(0.002)
        time.sleep(0.04 * (moment % 3))  # between two steps, or within the next
        self.kill(process)
        self.goes_on(repo, home, undisturbed, monkeypatch)
        assert state_of(repo.root) == state

    @pytest.mark.slow
    def test_at_any_time(self, repo, undisturbed, tmp_path, monkeypatch):
        """Killed again and again at times drawn by chance, even while it resumes, a run ends like one that nothing disturbed."""
        chance = random.Random(2)
        for number in range(4):
            home = tmp_path / str(number)
            process = self.start(repo, home)
            time.sleep(chance.uniform(0.3, 2.5))
            self.kill(process)
            if not self.recorded(home):
                continue  # nothing had begun
            cli = CommandLine(home, VIRTUAL_ENV=sys.prefix, TMPDIR=str(home / "tmp"))
            process = subprocess.Popen(
                cli.argv("resume", "last"), env=cli.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
            )
            time.sleep(chance.uniform(0.3, 1.5))
            self.kill(process)
            self.goes_on(repo, home, undisturbed, monkeypatch)

    def test_control_c_is_130_and_leaves_a_run_to_resume(self, repo, undisturbed, tmp_path, monkeypatch):
        """SIGINT ends a run with 130 and one line, removes its work trees and its processes, and keeps what was recorded."""
        for number in itertools.count():
            home = tmp_path / str(number)
            process = self.start(repo, home)
            while self.recorded(home).count(b"\n") < 4 and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGINT)
            said = process.communicate()[1].decode()
            if process.returncode != 0:
                break  # otherwise it had ended before we looked again
        assert process.returncode == 130, said
        assert (
            "Traceback" not in said and said.splitlines()[-1] == "backstory: error: interrupted; `backstory runs` shows what can be resumed"
        )
        assert left_behind(home) == [] and survivors(home) == []
        assert [summary.state for summary in list_runs(home / "state")] == ["interrupted"]
        self.goes_on(repo, home, undisturbed, monkeypatch)

    def test_two_at_once(self, repo, undisturbed, tmp_path):
        """Two runs on one repository share its mirror and its verdicts, and both end verified."""
        home = tmp_path / "home"
        first = self.start(repo, home)
        second = subprocess.Popen(first.args, cwd=home, env=CommandLine(home, TMPDIR=str(home / "tmp")).environ, stdout=subprocess.DEVNULL)
        assert (first.wait(), second.wait()) == (0, 0)
        first.communicate()
        assert [summary.state for summary in list_runs(home / "state")] == ["verified"] * 2
        assert left_behind(home) == []


class TestBudgets:
    """A run that may spend only so much."""

    def test_steps(self, repo, undisturbed, steps, tmp_path):
        """Every budget short of enough ends with 5, suspects and places, and a larger one goes on to the same patch, which replays."""
        for budget in range(1, steps + 1):
            home = tmp_path / str(budget)
            outcome = solved(repo.root, home, budget=Budget(steps=budget))
            events = open_run(home / "state", "last")[1]
            assert sum(event.kind == "check" for event in events) == budget
            assert outcome.solution.suspects and outcome.solution.locations
            if budget == steps:
                assert (outcome.exit_code, outcome.solution.status) == (0, "verified")  # even at its limit
                continue
            assert (outcome.exit_code, outcome.solution.limit) == (5, f"the budget of {budget} steps is spent")
            assert [summary.state for summary in list_runs(home / "state")] == ["limit"]
            assert resume("last", state_dir=home / "state", report=quiet) == outcome
            assert replay("last", state_dir=home / "state", report=quiet).same
            on = resume("last", state_dir=home / "state", report=quiet, budget=Budget(steps=steps))
            assert (on.exit_code, on.solution.patch.tree) == (0, undisturbed[-1].body["solution"]["patch"]["tree"])
            counted = [event for event in still_valid(open_run(home / "state", "last")[1]) if event.kind == "check"]
            assert len(counted) == steps  # no check was made twice
            assert replay("last", state_dir=home / "state", report=quiet).same

    def test_a_patch_that_could_not_be_judged_is_kept_and_labelled(self, repo, steps, tmp_path):
        """One step short, the repair that passes the check is delivered as not verified."""
        outcome = solved(repo.root, tmp_path, budget=Budget(steps=steps - 1))
        assert (outcome.exit_code, outcome.solution.status) == (5, "unverified")
        assert b"+    return sum(prices)" in outcome.solution.patch.diff
        assert (events_path(tmp_path / "state", outcome.run_id).parent / "patch.diff").read_bytes() == outcome.solution.patch.diff

    @pytest.mark.slow
    def test_seconds(self, repo, tmp_path):
        """A slow check is cut off when the time is up, which is no verdict: with more time it is asked again."""
        outcome = solved(repo.root, tmp_path, check=f"sleep 1; {CHECK}", budget=Budget(seconds=1.2))
        assert (outcome.exit_code, outcome.solution.limit) == (5, "the budget of 1.2 seconds is spent")
        assert all(
            event.body["result"]["status"] != "timed_out" for event in open_run(tmp_path / "state", "last")[1] if event.kind == "check"
        )
        on = resume("last", state_dir=tmp_path / "state", report=quiet, budget=Budget(seconds=300))
        assert (on.exit_code, on.solution.limit) == (0, None)
        assert replay("last", state_dir=tmp_path / "state", report=quiet).same

    def test_killed_at_its_limit(self, repo, tmp_path):
        """A run that was killed after its limit was recorded stops there again."""
        outcome = solved(repo.root, tmp_path, budget=Budget(steps=2))
        path = events_path(tmp_path / "state", outcome.run_id)
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
        again = resume("last", state_dir=tmp_path / "state", report=quiet)
        assert replace(again, phases={}) == replace(outcome, phases={})


class TestChecksThatMisbehave:
    """What a check does to itself it does not do to the run."""

    @pytest.mark.parametrize(
        ("check", "timeout_s", "said"),
        [
            ("sleep 1000", 2, "did not end in time"),
            ("sleep 1000 & sleep 1000 & (setsid sleep 1000 &); wait", 2, "did not end in time"),
            ("yes", 60, "printed more than allowed"),
            ("f() { f | f & f; }; f", 60, "more processes than allowed"),
            ("dd if=/dev/zero of=big bs=1 count=1 seek=4G", 60, "larger than allowed"),
            ("kill -9 $$", 60, "killed from outside"),
        ],
    )
    def test_no_answer_at_the_base(self, repo, tmp_path, check, timeout_s, said):
        """It ends with 3, says why there is no answer, delivers places, and leaves nothing running."""
        outcome = solved(repo.root, tmp_path, check=check, check_timeout_s=timeout_s)
        assert outcome.exit_code == 3 and said in outcome.solution.reason, outcome.solution.reason
        assert outcome.solution.suspects and outcome.solution.locations
        assert left_behind(tmp_path) == [] and survivors(tmp_path) == []

    @pytest.mark.slow
    def test_memory(self, repo, tmp_path):
        """A check that eats memory fails; since it does so in every commit, nothing is blamed."""
        outcome = solved(repo.root, tmp_path, check="python -c 'all = [bytearray(1 << 30) for _ in range(64)]'", check_timeout_s=20)
        assert outcome.exit_code == 3 and outcome.solution.blamed is None, outcome.solution

    def test_standard_input_is_closed(self, repo, tmp_path):
        """A check that reads its input gets its end at once."""
        assert solved(repo.root, tmp_path, check=f"cat && {CHECK}").exit_code == 0

    @pytest.mark.slow
    def test_in_the_middle_of_history(self, tmp_path):
        """A commit on which the check hangs is no witness, and the search goes round it."""
        repo = broken(tmp_path / "repo")
        repo.commit("Wait for ever", {"prices.py": "while True:\n    pass\n"})
        repo.git("revert", "--no-edit", "HEAD")
        outcome = solved(repo.root, tmp_path, check_timeout_s=10, base="HEAD")
        assert (outcome.exit_code, outcome.solution.blamed.subject, outcome.solution.blamed.status) == (0, CULPRIT, "confirmed")


def test_without_a_sandbox_when_asked(repo, tmp_path):
    """`none` runs the checks on the machine itself, and the outcome says so."""
    outcome = solved(repo.root, tmp_path, sandbox="none")
    assert (outcome.exit_code, outcome.sandbox) == (0, "none")
    assert left_behind(tmp_path) == []


def test_several_attempts_give_the_same_patch(repo, undisturbed, tmp_path):
    """Proposals tried side by side are chosen by their order, not by which was ready first."""
    outcome = solved(repo.root, tmp_path, attempts=3)
    assert outcome.solution.patch.tree == undisturbed[-1].body["solution"]["patch"]["tree"]
    assert replay("last", state_dir=tmp_path / "state", report=quiet).same


def test_events_are_told_as_they_are_recorded(repo, tmp_path):
    """Whoever listens hears each event once, in order, after it is on disk."""
    heard = []

    def listen(event):
        on_disk = events_path(tmp_path / "state", event.run).read_bytes().splitlines()
        heard.append(event.seq)
        assert len(on_disk) == len(heard)
        assert json.loads(on_disk[-1])["kind"] == event.kind

    fix(asked(repo.root, tmp_path), report=quiet, on_event=listen)
    assert heard == list(range(len(heard)))


def test_a_run_that_another_process_holds_is_not_resumed(repo, tmp_path):
    """Two processes do not write one run."""
    seen = []

    def try_to_resume(event):
        if event.kind == "check" and not seen:
            with pytest.raises(UserError, match="in progress in another process") as caught:
                resume("last", state_dir=tmp_path / "state", report=quiet)
            seen.append(caught.value)
            assert [summary.state for summary in list_runs(tmp_path / "state")] == ["running"]

    fix(asked(repo.root, tmp_path), report=quiet, on_event=try_to_resume)
    assert seen


def test_the_cache_is_not_cleared_under_a_run(repo, tmp_path):
    """While a run is in progress, clearing its cache is refused."""
    refused = []

    def try_to_clear(event):
        if event.kind == "check" and not refused:
            with pytest.raises(UserError, match="another command is using") as caught, clearing_cache(tmp_path / "cache"):
                pass
            refused.append(caught.value)

    outcome = fix(asked(repo.root, tmp_path), report=quiet, on_event=try_to_clear)
    assert refused and outcome.exit_code == 0
    with clearing_cache(tmp_path / "cache"):
        pass


def test_a_repository_that_moved_is_said(tmp_path):
    """Resuming a run whose repository is gone says where it was."""
    repo = broken(tmp_path / "repo")
    outcome = solved(repo.root, tmp_path, budget=Budget(steps=1))
    shutil.rmtree(repo.root)
    with pytest.raises(UserError, match="there is no"):
        resume(outcome.run_id, state_dir=tmp_path / "state", report=quiet, budget=Budget(steps=9))
