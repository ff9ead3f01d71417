"""What tests of agents share: a repository with a fault that no commit brought, a model that says what it is told over real HTTP, and whole runs."""

from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

from backstory.agent.messages import Message
from backstory.agent.model import RemoteModel
from backstory.agent.runs import ModelSettings, Outcome, fix, resume
from backstory.agent.script import Answer, Request, call
from backstory.agent.scripted import Settings, serve
from fixing import asked, quiet
from repos import Repo
from serving import remote

TITLE = "mean([]) raises ZeroDivisionError"
ISSUE = f"{TITLE}\n\nmean() in prices.py should be 0 when there are no prices."
CHECK = "python -m pytest -q test_mean.py"

PRICES = """def total(prices):
    result = 0
    for price in prices:
        result += price
    return result


def mean(prices):
    return total(prices) / len(prices)


def spread(prices):
    return max(prices) - min(prices)
"""
OLD = "    return total(prices) / len(prices)"
NEW = "    return total(prices) / len(prices) if prices else 0"
TESTS = "from prices import spread, total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n\n\ndef test_spread():\n    assert spread([1, 3]) == 2\n"
ASKS = "from prices import mean\n\n\ndef test_mean_of_nothing():\n    assert mean([]) == 0\n"

FOUND = call("found", places=["prices.py:mean — divides by the number of prices"], diagnosis="the mean of nothing divides by zero")
READ = call("read", target="prices.py:mean")
EDIT = call("edit", path="prices.py", old=OLD, new=NEW)
CHECKED = call("check")
SUBMIT = call("submit", summary="The mean of no prices is 0.")
SOLVED = (READ, EDIT, CHECKED, SUBMIT)


def faulty(root: Path, **files: str) -> Repo:
    """Return a repository whose fault is as old as the code, so that history has no repair. files: more of them."""
    repo = Repo(root)
    repo.commit("Sum prices", {"prices.py": PRICES, "test_prices.py": TESTS, **files})
    repo.commit("Say what this is", {"README": "prices\n"})
    repo.commit("Ask for the mean of nothing", {"test_mean.py": ASKS})
    return repo


def is_localizer(request: Request) -> bool:
    """Return whether a request comes from the localizer."""
    task = next(message.text for message in reversed(request.messages) if message.role == "user" and "# Your task" in message.text)
    return "find where the code must change" in task


def roles(localizer: Iterable[Message | Answer], *attempts: Iterable[Message | Answer]):
    """Return what answers the localizer with one list and attempts with others, in the order in which they begin."""
    from backstory.agent.script import Script

    found = Script(localizer)
    scripts, places = [Script(attempt) for attempt in attempts], {}

    def answer(request: Request):
        if is_localizer(request):
            return found(request)
        place = places.setdefault((request.messages[1].text, request.sampling.temperature, request.sampling.seed), len(places))
        return scripts[min(place, len(scripts) - 1)](request)

    return answer


@contextmanager
def model_that(answers, settings: Settings | None = None):
    """Yield how a run asks a model that answers so: its settings and what opens it; and the list of exchanges as they happen."""
    exchanges: list = []
    with serve(answers, settings, on_exchange=exchanges.append) as server:

        def open_model(chosen: ModelSettings) -> RemoteModel:
            return remote(chosen.api_base, model=chosen.name)

        yield ModelSettings("hosted_vllm/scripted", server.api_base, None, None, 30.0), open_model, exchanges


def attempted(root: Path, home: Path, answers, settings: Settings | None = None, **changes) -> Outcome:
    """Return the outcome of a fix of `faulty` with a model that answers so."""
    with model_that(answers, settings) as (model, open_model, _):
        request = asked(root, home, **{"title": TITLE, "issue_text": ISSUE, "check": CHECK, "model": model, **changes})
        return fix(request, report=quiet, open_model=open_model)


def went_on(home: Path, answers, settings: Settings | None = None, **changes) -> Outcome:
    """Return the outcome of the last run, resumed with a model that answers so (at another address, as after a restart)."""
    with model_that(answers, settings) as (model, open_model, _):
        return resume(
            "last",
            state_dir=home / "state",
            report=quiet,
            open_model=lambda recorded: open_model(model),
            **changes,
        )
