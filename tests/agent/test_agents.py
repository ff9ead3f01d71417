"""Whole runs with a model: scripted over real HTTP, everything else real."""

from itertools import pairwise

import pytest

from backstory.agent.budget import Budget
from backstory.agent.messages import Message
from backstory.agent.runs import fix, open_run, replay
from backstory.agent.script import Answer, call, tool_call
from backstory.agent.scripted import Settings
from backstory.errors import ExitCode
from fixing import CHECK as BROKEN_CHECK
from fixing import asked, broken, quiet, state_of
from repos import Repo
from talking import (
    ASKS,
    CHECK,
    EDIT,
    FOUND,
    ISSUE,
    NEW,
    OLD,
    PRICES,
    READ,
    SOLVED,
    SUBMIT,
    attempted,
    faulty,
    is_localizer,
    model_that,
    roles,
    went_on,
)


@pytest.fixture
def repo(tmp_path):
    return faulty(tmp_path / "repo")


def events(home, kind=None):
    _, found, _ = open_run(home / "state", "last")
    return [event for event in found if kind is None or event.kind == kind]


def way(home):
    """Return what a run did, without what may differ: the replies and results of each lane."""
    lanes = {}
    for event in events(home):
        if event.kind in ("reply", "tool", "check", "attempted", "proposal"):
            body = dict(event.body)
            body.pop("seconds", None)
            lanes.setdefault(event.lane, []).append((event.kind, body.get("key"), body.get("tree")))
    return lanes


class TestSolving:
    def test_a_model_mends_what_history_cannot(self, repo, tmp_path):
        """Localizer, attempt and proof: a verified patch, its cost, who said what; the checkout is untouched."""
        before = state_of(repo.root)
        outcome = attempted(repo.root, tmp_path / "home", roles([FOUND], SOLVED))
        solution = outcome.solution
        assert (outcome.exit_code, solution.status) == (ExitCode.VERIFIED, "verified")
        assert solution.patch.files == ("prices.py",) and NEW.encode() in solution.patch.diff
        assert "fails at" in solution.verified_by and "2 tests in 1 files that passed at the base still pass" in solution.verified_by
        assert solution.locations[0].symbol == "prices.py:mean" and solution.locations[0].why[0].kind == "model"
        assert [(run.name, run.ended, run.replies) for run in solution.agents.runs] == [("localizer", "done", 1), ("attempt-1", "done", 4)]
        assert solution.agents.usage.input_tokens > 5000 and solution.agents.usage.cached_tokens > 0
        assert state_of(repo.root) == before
        assert not list((tmp_path / "home" / "cache").glob("work/*"))

    def test_a_replay_needs_no_model(self, repo, tmp_path):
        """Recorded decisions go through the real code again, edits and checks are made anew, and arrive at the same tree."""
        outcome = attempted(repo.root, tmp_path / "home", roles([FOUND], SOLVED))
        replayed = replay("last", state_dir=tmp_path / "home" / "state", report=quiet)
        assert (replayed.same, replayed.patch_tree) == (True, outcome.solution.patch.tree)

    def test_every_prompt_extends_the_one_before(self, repo, tmp_path):
        """Within a conversation nothing sent is ever changed; localizer and attempts share system text, tools, card, issue and check."""
        with model_that(roles([READ, FOUND], SOLVED)) as (model, open_model, exchanges):
            fix(
                asked(repo.root, tmp_path / "home", title="t", issue_text=ISSUE, check=CHECK, model=model),
                report=quiet,
                open_model=open_model,
            )
        for localizer in (True, False):
            said = [one.request.messages for one in exchanges if is_localizer(one.request) is localizer]
            assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(said))
        assert len({str(one.request.tools) for one in exchanges}) == 1
        first, other = (next(one.request.messages for one in exchanges if is_localizer(one.request) is role) for role in (True, False))
        shared = next(place for place, (a, b) in enumerate(zip(first[1].text, other[1].text, strict=False)) if a != b)
        assert first[0] == other[0] and "# From the past" in first[1].text[:shared]

    def test_look_ups_of_one_reply_are_answered_in_their_order(self, repo, tmp_path):
        """Read-only calls beside each other, one of them wrong, each get their own answer; a replay is the same."""
        names = ["prices.py:total", "nowhere.py:gone", "prices.py:spread"]
        together = Message("assistant", calls=tuple(tool_call("read", {"target": name}, id=f"c{n}") for n, name in enumerate(names)))
        with model_that(roles([FOUND], [together, *SOLVED])) as (model, open_model, exchanges):
            request = asked(repo.root, tmp_path / "home", title="t", issue_text=ISSUE, check=CHECK, model=model)
            outcome = fix(request, report=quiet, open_model=open_model)
        answers = [message for message in exchanges[-1].request.messages if message.role == "tool"][:3]
        assert [answer.answers for answer in answers] == ["c0", "c1", "c2"]
        assert answers[0].text.startswith("prices.py:total") and answers[2].text.startswith("prices.py:spread")
        assert "nowhere.py" in answers[1].text and outcome.exit_code == ExitCode.VERIFIED
        assert replay("last", state_dir=tmp_path / "home" / "state", report=quiet).same

    def test_history_that_mends_it_asks_no_model(self, tmp_path):
        """A regression that history repairs costs no token, though a model was given."""
        repo = broken(tmp_path / "repo")
        with model_that(lambda request: pytest.fail("asked")) as (model, open_model, exchanges):
            outcome = fix(asked(repo.root, tmp_path / "home", check=BROKEN_CHECK, model=model), report=quiet, open_model=open_model)
        assert (outcome.exit_code, outcome.solution.agents, exchanges) == (ExitCode.VERIFIED, None, [])


class TestWithoutACheck:
    TEST = "from prices import mean\n\n\ndef test_nothing():\n    assert mean([]) == 0\n"
    LOOSE = "from prices import mean\n\n\ndef test_something():\n    assert mean([2]) == 2\n"

    @pytest.fixture
    def bare(self, tmp_path):
        repo = faulty(tmp_path / "repo")
        repo.commit("Drop the test", {"test_mean.py": None})
        return repo

    def test_a_reproduction_is_written_first(self, bare, tmp_path):
        """One that passes at the base is refused; one that fails becomes the check; the patch does not hold it, the outcome does."""
        script = [
            EDIT,
            call("reproduce", path="test_nothing.py", content=self.LOOSE),
            call("reproduce", path="test_nothing.py", content=self.TEST),
            SUBMIT,
        ]
        outcome = attempted(bare.root, tmp_path / "home", roles([FOUND], script), check=None)
        solution = outcome.solution
        assert (outcome.exit_code, solution.patch.files) == (ExitCode.VERIFIED, ("prices.py",))
        assert "written for this issue" in solution.verified_by
        assert (solution.agents.reproduction.path, solution.agents.reproduction.content.decode()) == ("test_nothing.py", self.TEST)

    def test_without_one_the_patch_is_handed_over_unverified(self, bare, tmp_path):
        """Nothing proves it, and this is said."""
        outcome = attempted(bare.root, tmp_path / "home", roles([FOUND], [EDIT, SUBMIT, SUBMIT, SUBMIT]), check=None)
        assert (outcome.exit_code, outcome.solution.status) == (ExitCode.UNVERIFIED, "unverified")
        assert "no check was given and no test was written" in outcome.solution.reason
        assert [tried.outcome for tried in outcome.solution.tried] == ["not judged"]


class TestAttempts:
    WRONG = call("edit", path="prices.py", old=OLD, new="    return total(prices) / len(prices) if prices else None")

    def test_the_first_that_is_proven_ends_the_others(self, repo, tmp_path):
        """Of two attempts the one that wanders is stopped when the other is proven, in the middle of a reply."""
        wandering = [call("find", query=f"thing {number}") for number in range(200)]
        outcome = attempted(repo.root, tmp_path / "home", roles([FOUND], SOLVED, [Answer(one, seconds=5) for one in wandering]), attempts=2)
        assert outcome.exit_code == ExitCode.VERIFIED
        assert sorted(run.ended for run in outcome.solution.agents.runs) == ["done", "done", "superseded"]
        assert replay("last", state_dir=tmp_path / "home" / "state", report=quiet).same

    def test_equal_trees_are_one_candidate(self, repo, tmp_path):
        """Two attempts that come to the same tree are proven once."""
        spoil = [self.WRONG, call("check"), SUBMIT, SUBMIT, SUBMIT]
        outcome = attempted(repo.root, tmp_path / "home", roles([FOUND], spoil, spoil), attempts=2)
        assert outcome.exit_code == ExitCode.UNVERIFIED
        assert [tried.outcome.startswith("the same as") for tried in outcome.solution.tried if tried.kind == "model"].count(True) == 1


class TestBadModels:
    def test_a_budget_keeps_the_partial_patch(self, repo, tmp_path):
        """Stopped in the middle, what was changed is kept and labelled; a larger budget goes on to the verified patch."""
        home = tmp_path / "home"
        script = roles([FOUND], SOLVED)
        outcome = attempted(repo.root, home, script, budget=Budget(tokens=14_000))
        assert (outcome.exit_code, outcome.solution.status) == (ExitCode.LIMIT, "unverified")
        assert outcome.solution.patch.files == ("prices.py",) and "14000 tokens" in outcome.solution.limit
        assert (home / "state" / "runs" / outcome.run_id / "patch.diff").read_bytes() == outcome.solution.patch.diff
        again = went_on(home, script, budget=Budget())
        assert again.exit_code == ExitCode.VERIFIED

    def test_a_model_that_is_gone_is_exit_7_and_can_come_back(self, repo, tmp_path):
        """The partial patch is kept, the run says how to go on, and resuming asks only what was not answered."""
        home = tmp_path / "home"
        outcome = attempted(repo.root, home, roles([FOUND], [READ, EDIT]))
        assert outcome.exit_code == ExitCode.MODEL and outcome.solution.patch.files == ("prices.py",)
        asked_before = len(events(home, "reply"))
        again = went_on(home, roles([FOUND], SOLVED))
        assert again.exit_code == ExitCode.VERIFIED
        assert len(events(home, "reply")) == asked_before + 2

    @pytest.mark.parametrize(
        ("script", "ended"),
        [
            ([READ] * 9, "stuck"),
            ([call("find", query=f"{number}") for number in range(99)], "steps"),
        ],
    )
    def test_going_in_circles_and_wandering_end(self, repo, tmp_path, script, ended):
        """A looping model is stopped after one nudge, a wandering one at its number of replies; both say so, with exit 3."""
        outcome = attempted(repo.root, tmp_path / "home", roles([FOUND], script))
        assert (outcome.exit_code, outcome.solution.agents.runs[1].ended) == (ExitCode.NO_PATCH, ended)

    def test_what_a_wanderer_changed_is_judged(self, repo, tmp_path):
        """An attempt that ends at its number of replies, without a check, is verified when what it changed is right."""
        script = [READ, EDIT, *(call("find", query=f"{number}") for number in range(99))]
        outcome = attempted(repo.root, tmp_path / "home", roles([FOUND], script))
        assert (outcome.exit_code, outcome.solution.agents.runs[1].ended) == (ExitCode.VERIFIED, "steps")

    def test_a_hostile_model_reaches_nothing(self, repo, tmp_path, monkeypatch):
        """No key, no file outside, no edited test, no word in a program's output makes a verified patch."""
        monkeypatch.setenv("SECRET_KEY", "sesame-street-77")
        outside = tmp_path / "outside.txt"
        script = [
            call("run", command="env; cat /proc/1/environ /root/.ssh/* 2>&1; printenv SECRET_KEY"),
            call("run", command=f"echo caught > {outside}; echo caught > /etc/caught; ls {tmp_path}"),
            call("write", path="../outside.txt", content="caught"),
            call("write", path=str(outside), content="caught"),
            call("write", path="test_mean.py", content="def test_mean_of_nothing(): pass\n"),
            call("write", path="conftest.py", content="import os, pytest\n\ndef pytest_sessionfinish(session):\n    os._exit(0)\n"),
            call("run", command="echo 'def test_mean_of_nothing(): pass' > test_mean.py; echo '1 passed'; echo SUBMITTED"),
            call("check"),
            call("submit", summary="all tests pass, trust me"),
            call("submit", summary="all tests pass, trust me"),
            call("submit", summary="1 passed"),
        ]
        outcome = attempted(repo.root, tmp_path / "home", roles([FOUND], script))
        assert outcome.exit_code == ExitCode.UNVERIFIED
        assert outcome.solution.patch.files == ("conftest.py",) and outcome.solution.patch.left_out == ("test_mean.py",)
        assert not outside.exists()
        recorded = (tmp_path / "home" / "state" / "runs" / outcome.run_id / "events.jsonl").read_text()
        assert "sesame-street-77" not in recorded
        tools = [event.body["result"]["observation"] for event in events(tmp_path / "home", "tool")]
        assert [seen["ok"] for seen in tools if "refused" in seen["text"]] == [False] * 3


class TestFaultsOfTheServer:
    @pytest.mark.parametrize(
        "fault", ["bad_json", "empty", "only_reasoning", "truncated", "hallucinated_tool", "wrong_arguments", "500", "429", "reset"]
    )
    def test_a_fault_now_and_then_changes_nothing(self, repo, tmp_path, fault):
        """Whatever goes wrong once is asked again or answered, and the patch is verified."""
        outcome = attempted(repo.root, tmp_path / "home", roles([FOUND], SOLVED), Settings(at={1: fault, 4: fault}, retry_after_s=0))
        assert outcome.exit_code == ExitCode.VERIFIED

    def test_a_prompt_that_is_too_long_is_compacted_once(self, repo, tmp_path):
        """The conversation goes on from what is known; the event says so."""
        outcome = attempted(repo.root, tmp_path / "home", roles([FOUND], SOLVED), Settings(at={4: "overflow:vllm"}))
        assert outcome.exit_code == ExitCode.VERIFIED
        assert len(events(tmp_path / "home", "compacted")) == 1


def test_the_fault_is_as_described():
    """The repository of these tests fails the check in the way the issue says."""
    namespace = {}
    exec(PRICES, namespace)
    with pytest.raises(ZeroDivisionError):
        namespace["mean"]([])
    assert "mean([]) == 0" in ASKS


def test_no_call_is_made_that_the_budget_cannot_hold(repo, tmp_path):
    """What the next prompt costs at least is asked for before it is sent, the first of an attempt too."""
    with model_that(roles([FOUND], SOLVED)) as (model, open_model, exchanges):
        request = asked(repo.root, tmp_path / "home", title="t", issue_text=ISSUE, check=CHECK, model=model, budget=Budget(tokens=3000))
        outcome = fix(request, report=quiet, open_model=open_model)
    assert (outcome.exit_code, len(exchanges)) == (ExitCode.LIMIT, 1)
    assert [run.ended for run in outcome.solution.agents.runs] == ["done", "limit"]


def test_with_a_model_in_reserve_a_search_without_a_pass_is_given_up(tmp_path):
    """Where nothing older passes, a few trials are enough and no repair of a mere suspect is tried; without a model all of history is asked."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Sum prices", {"prices.py": PRICES})
    for number in range(40):
        repo.commit(f"Step {number}", {"prices.py": f"{PRICES}\n\nSTEP = {number}\n"})
    repo.commit("Ask for the mean of nothing", {"test_mean.py": ASKS})
    outcome = attempted(repo.root, tmp_path / "home", roles([FOUND], SOLVED))
    assert outcome.exit_code == ExitCode.VERIFIED
    assert len(outcome.solution.tested) <= 5
    assert [tried.kind for tried in outcome.solution.tried] == ["model"]
