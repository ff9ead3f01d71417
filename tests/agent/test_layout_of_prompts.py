"""Two hundred prompts of mixed programs, as a server receives them: each shares with those before it all that it can."""

import json
from collections import defaultdict
from dataclasses import replace
from itertools import combinations, pairwise

import pytest

from backstory.agent.runs import ModelSettings, fix, replay
from backstory.agent.script import call
from backstory.agent.scripted import Settings, serve
from backstory.agent.wire import prompt_bytes
from fixing import asked, quiet
from serving import remote
from talking import CHECK, CHECKED, EDIT, FOUND, ISSUE, OLD, SOLVED, SUBMIT, TITLE, faulty, is_localizer, model_that, roles

BLOCK = 16
LOOKS = 45  # replies of an attempt that only look around
OTHER = "total([None]) raises TypeError\n\ntotal() in prices.py should say which price is missing."
MANY = "".join(f"def price_{number}(quantity):\n    return quantity * {number}\n\n\n" for number in range(60))


def looks(first, count):
    """Return replies that open one function after another."""
    return [call("read", target=f"many.py:price_{(first + number) % 60}") for number in range(count)]


def plays(request):
    """Look around, each agent elsewhere, then do what is due; nobody's patch passes, so that all attempts go on to their ends."""
    seed = request.sampling.seed or 0
    if is_localizer(request):
        script = [*looks(0, 18), FOUND]
    else:
        wrong = call("edit", path="prices.py", old=OLD, new="    return 1")
        script = [*looks(20 * (1 + seed), LOOKS), wrong, CHECKED, *[SUBMIT] * 4]
    return script[len(request.turns)] if len(request.turns) < len(script) else SUBMIT


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Two issues of one repository, two attempts each, one after the other: the exchanges, and how many conversations were compacted."""
    root = tmp_path_factory.mktemp("layout")
    repo, exchanges = faulty(root / "repo", **{"many.py": MANY}), []
    with serve(plays, Settings(), on_exchange=exchanges.append) as server:
        model = ModelSettings("hosted_vllm/scripted", server.api_base, None, None, 60.0)
        for title, text in ((TITLE, ISSUE), (OTHER.partition("\n")[0], OTHER)):
            request = asked(repo.root, root / "home", title=title, issue_text=text, check=CHECK, model=model, attempts=2)
            fix(request, report=quiet, open_model=lambda chosen: remote(chosen.api_base, model=chosen.name))
    return exchanges


def conversations(exchanges):
    """Return the exchanges of each conversation, in order: they have their second message and the seed in common."""
    found = defaultdict(list)
    for exchange in exchanges:
        found[exchange.request.messages[1].text, exchange.request.sampling.seed].append(exchange)
    return list(found.values())


def shown(exchange, *more):
    return prompt_bytes((*exchange.request.messages, *more), exchange.request.tools)


def test_every_prompt_begins_with_the_one_before_and_its_reply(told):
    """Byte for byte, in every conversation, over two hundred prompts."""
    assert len(told) >= 200 and len(conversations(told)) == 6
    for exchanges in conversations(told):
        for before, after in pairwise(exchanges):
            assert shown(after).startswith(shown(before, before.outcome.message))


def test_a_cache_that_forgets_nothing_has_all_of_it(told):
    """The server's own account: whole blocks of the prompt before, of its reply too but for the turn's own marks."""
    for exchanges in conversations(told):
        for before, after in pairwise(exchanges):
            assert after.cached_tokens >= (before.prompt_tokens + before.output_tokens) // BLOCK * BLOCK - 2 * BLOCK
    whole = sum(exchange.prompt_tokens for exchange in told)
    assert sum(exchange.cached_tokens for exchange in told) >= 0.95 * whole


def test_all_programs_share_what_is_the_same_for_them(told):
    """System text, tools and card are one beginning for two issues of a repository; issue, check and past too for the agents on one issue."""
    openings = [exchanges[0] for exchanges in conversations(told)]
    for one, other in combinations(openings, 2):
        mine, theirs = one.request.messages[1].text, other.request.messages[1].text
        same_issue = (ISSUE in mine) == (ISSUE in theirs)
        shared = mine[: mine.index("# Your task" if same_issue else "# Issue")]
        written = json.dumps(shared, ensure_ascii=False)[1:-1].encode()
        end = shown(one).index(written) + len(written)
        assert theirs.startswith(shared) and shown(one)[:end] == shown(other)[:end]


def test_tools_are_the_same_bytes_for_everyone_and_sorted(told):
    """One list for all agents and phases; what a phase may not do is refused when it is called."""
    lists = {str(exchange.request.tools) for exchange in told}
    names = [tool.name for tool in told[0].request.tools]
    assert len(lists) == 1 and names == sorted(names)


@pytest.mark.parametrize("handover", ["findings", "transcript"])
def test_what_is_handed_over(tmp_path, handover):
    """With its transcript an attempt goes on where the search ended, and its first prompt is in the cache but for the task; with findings it begins anew."""
    repo = faulty(tmp_path / "repo")
    with model_that(roles([call("read", target="prices.py:spread"), FOUND], SOLVED)) as (model, open_model, exchanges):
        request = asked(repo.root, tmp_path / "home", title=TITLE, issue_text=ISSUE, check=CHECK, model=replace(model, handover=handover))
        outcome = fix(request, report=quiet, open_model=open_model)
    assert outcome.solution.status == "verified" and len(exchanges) == 6
    search, attempt = exchanges[1], exchanges[2]
    goes_on = shown(attempt).startswith(shown(search, search.outcome.message))
    assert goes_on == (handover == "transcript")
    assert (attempt.cached_tokens > search.prompt_tokens - BLOCK) == goes_on
    assert "# Your task: solve the issue" in attempt.request.messages[-1].text
    assert replay(outcome.run_id, state_dir=request.state_dir, report=quiet).same


@pytest.mark.parametrize(("window", "most"), [(None, 4096), (131_072, 4096), (1024, 512)])
def test_a_reply_is_never_allowed_more_than_half_the_window(window, most):
    """A server refuses a request whose reply might be longer than its window, whatever the prompt."""
    settings = ModelSettings("hosted_vllm/scripted", "http://127.0.0.1:9/v1", None, window, 60.0)
    assert settings.asking(None).sampling.output_tokens == most


def test_a_transcript_is_left_behind_when_the_conversation_is_compacted(tmp_path):
    """What no longer fits is the search and the work so far; the attempt goes on after its own opening, with what is known."""
    repo = faulty(tmp_path / "repo", **{"many.py": MANY})
    attempt = [*looks(0, 12), EDIT, CHECKED, SUBMIT]
    with model_that(roles([*looks(30, 3), FOUND], attempt)) as (model, open_model, exchanges):
        settings = replace(model, handover="transcript", context_tokens=4600)
        request = asked(repo.root, tmp_path / "home", title=TITLE, issue_text=ISSUE, check=CHECK, model=settings)
        outcome = fix(request, report=quiet, open_model=open_model)
    assert outcome.solution.status == "verified"
    lengths = [len(exchange.request.messages) for exchange in exchanges]
    shortened = next(place for place, (before, after) in enumerate(pairwise(lengths), start=1) if after < before and place > 4)
    after = exchanges[shortened].request.messages
    assert len(after) == 3 and "# Your task: solve the issue" in after[1].text and "# Your task: find" not in after[1].text
