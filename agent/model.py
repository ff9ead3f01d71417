"""The model: sends a history to wherever the user's model is served and returns the reply, through litellm, which speaks every provider's API.

litellm is imported when the first reply is asked for, never before: it takes seconds. Everything that decides how a run behaves is done here and
not by litellm: how long a call may take, what is asked again and when, what a failure means. A call runs on an event loop in a thread of its own, so
that it ends when it is told to, or when its time is over, however slowly the server drips; nothing is streamed, because a tool call is of no use
before it is whole, and servers parse whole replies more reliably than streamed ones.

Three ways to fail, three fates. What passes by itself (busy, restarting, a lost connection) is asked again, a bounded number of times, with full
jitter [1]; a server that stands still is asked once more, since a request that is taken back may be what it stands still on. A prompt that does not fit the model's window is a reply with stop "overflow", which the caller can act on. Anything else is a ModelError:
one line that says what is wrong and what to do, without the key.

[1] M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015.
"""

import asyncio
import atexit
import concurrent.futures
import importlib
import logging
import random
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from backstory.agent.failures import Failure, is_overflow, is_unreachable, read_retry_after, remedy
from backstory.agent.messages import Message, Prompt, Reply, Route, Usage
from backstory.agent.prefix_cache import BLOCK_TOKENS, PrefixCache, count_tokens
from backstory.agent.secret import Secret
from backstory.agent.stall import Stall
from backstory.agent.wire import prompt_bytes, read_reply, read_stop, read_usage, write_messages, write_tools
from backstory.errors import ModelError, UnreachableError

log = logging.getLogger(__name__)
Jitter: TypeAlias = Callable[[], float]
T = TypeVar("T")

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
LONGEST_RETRY_AFTER_S: Final = 120.0  # a provider's window is a minute; one that says hours has run out of quota
_LOOK_S: Final = 0.05  # how soon a cancellation is seen
_WIND_UP_S: Final = 2.0  # for closing connections when the process ends
_BELOW_V1: Final = ("hosted_vllm", "openai", "llamafile", "lm_studio")  # their servers have the API below /v1
_NO_KEY: Final = "none"  # sent where there is no key: local servers ignore it, and litellm would look into the environment for one


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers. model: litellm's name for it (`hosted_vllm/NAME`, `openai/NAME`, `anthropic/NAME`, ...); api_base: the address, None
    for the provider's own. key: None where none is needed.
    """

    model: str
    api_base: str | None = None
    key: Secret | None = None


class RemoteModel:
    """The `Model` behind an endpoint. Serves many threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        before_import: Callable[[], None],
        jitter: Jitter = random.random,
        stall: Callable[[str], Stall] = Stall,
    ) -> None:
        """before_import: called before litellm is imported, to keep it offline and quiet (`backstory.config.keep_litellm_quiet`): it reads the
        environment when it is imported, which nothing in this folder may touch. jitter: a number in [0, 1) per wait. stall: what watches that the
        server at an address gets on, for one call.
        """
        self._endpoint = endpoint
        self._before_import = before_import
        self._jitter = jitter
        self._stall = stall
        self._targets: dict[str | None, _Target] = {}
        self._asked = PrefixCache(BLOCK_TOKENS)

    @property
    def name(self) -> str:
        """What litellm calls the model."""
        return self._endpoint.model

    def reply(self, prompt: Prompt) -> Reply:
        """Return the next message; see `Model`. Importing litellm, once in a process, does not count as the model's time."""
        engine = _engine(self._before_import)
        base = prompt.route.base if prompt.route is not None else self._endpoint.api_base
        target = self._targets.get(base)
        if target is None:
            target = self._targets.setdefault(base, _target(replace(self._endpoint, api_base=base), engine.litellm))
        sent = prompt_bytes(prompt.messages, prompt.tools)
        known = self._asked.admit(sent) / count_tokens(sent)
        started = time.monotonic()
        call = _Call(engine.litellm, target, prompt, self._jitter)
        outcome = self._outcome(engine, call, base, prompt.cancel)
        if isinstance(outcome, Failure):
            said = remedy(outcome, self._endpoint.model, base, self._endpoint.key)
            raise UnreachableError(said, failing=outcome.status is not None) if is_unreachable(outcome) else ModelError(said)
        if outcome is None:
            return Reply(Message("assistant"), "cancelled", Usage(seconds=time.monotonic() - started), call.retries)
        self._asked.keep(prompt_bytes((*prompt.messages, outcome.message), prompt.tools))
        return replace(outcome, usage=replace(outcome.usage, reusable_tokens=int(known * outcome.usage.input_tokens)))

    def _outcome(self, engine: "_Engine", call: "_Call", base: str | None, cancel: threading.Event) -> Reply | Failure | None:
        """Return what a call came to, None when it was cancelled or its time was over. One on which the server stands still is made once more."""
        for _ in range(2):
            stall = self._stall(base) if base is not None else None
            future = engine.start(call.run())
            while not cancel.is_set() and not (stall is not None and stall.stands_still()):
                done, _ = concurrent.futures.wait((future,), timeout=_LOOK_S)
                if done:
                    return future.result()
            future.cancel()
            if cancel.is_set():
                return None
            log.info("model.stall base=%s", base)
            call.retries += 1
        raise ModelError(f"{base} stands still: requests wait and none is worked on; restart it, and `backstory resume` the run")


class _Call:
    """One reply being asked for. run: gives it, or the last failure, or None when the time is over."""

    def __init__(self, litellm: Any, target: "_Target", prompt: Prompt, jitter: Jitter) -> None:
        self.retries = 0
        self._litellm = litellm
        self._target, self._request, self._route = target, _request(target, prompt), prompt.route
        self._jitter = jitter
        self._deadline = time.monotonic() + prompt.timeout_s
        self._turn = len(prompt.messages)

    async def run(self) -> Reply | Failure | None:
        while True:
            started = time.monotonic()
            left = self._deadline - started
            if left <= 0:
                return None
            answer = await _within(left, self._ask(left))
            if answer is None:
                return None
            if not isinstance(answer, Failure):
                return self._read(answer, time.monotonic() - started)
            if is_overflow(answer):
                return Reply(Message("assistant"), "overflow", Usage(seconds=time.monotonic() - started), self.retries)
            if refused := answer.refuses(self._target.routed(self._route).get("extra_body", ())):
                self._target.refused.update(refused)
                continue
            tries = answer.tries(known=self._route is not None and self._route.known)
            if tries is not None and self.retries >= tries:
                return answer
            wait_s = self._wait_s(answer)
            self.retries += 1
            log.info("model.retry retries=%d status=%s wait_s=%.2f", self.retries, answer.status, wait_s)
            await asyncio.sleep(min(wait_s, self._deadline - time.monotonic()))

    async def _ask(self, left_s: float) -> Mapping[str, Any] | Failure:
        """Return what the server answered, as JSON. Foreign exceptions end here; their text may hold the key, so none of them goes on."""
        try:
            response = await self._litellm.acompletion(**self._request, **self._target.routed(self._route), timeout=left_s)
            answer = response.model_dump()
        except self._litellm.exceptions.UnsupportedParamsError as error:
            return Failure(400, str(error))
        except self._litellm.openai.APIError as error:  # what all of litellm's are made of
            return _failure(error)
        if not isinstance(answer, dict) or not answer.get("choices"):
            return Failure(None, "the answer holds no reply")
        return answer

    def _read(self, answer: Mapping[str, Any], seconds: float) -> Reply:
        choice = answer["choices"][0]
        message = read_reply(choice.get("message") or {}, turn=self._turn)
        usage = read_usage(answer.get("usage"), answer.get("metrics"), seconds)
        return Reply(message, read_stop(choice.get("finish_reason"), message), usage, self.retries)

    def _wait_s(self, failure: Failure) -> float:
        """Return how long to wait: what the server asks for and up to a second more, so that not everyone is back at once; else full jitter."""
        if failure.retry_after_s is not None:
            return min(failure.retry_after_s, LONGEST_RETRY_AFTER_S) + self._jitter()
        return self._jitter() * min(LONGEST_WAIT_S, FIRST_WAIT_S * float(2**self.retries))


def _failure(error: Any) -> Failure:
    """Return what one of litellm's exceptions says. A connection that failed has a status too, 500, but no headers of an answer.

    litellm keeps the headers in one place for some providers and in another for the rest.
    """
    headers = getattr(error, "litellm_response_headers", None) or getattr(getattr(error, "response", None), "headers", None) or {}
    status = getattr(error, "status_code", None)
    return Failure(
        status if headers and isinstance(status, int) else None, str(error), read_retry_after(headers.get("retry-after"), time.time())
    )


async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what `work` gives, or None when it takes longer; it is then cancelled, its connection closed."""
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:
        return None


@dataclass(frozen=True)
class _Target:
    """What is the same in every call to an endpoint. arguments: for litellm, holding the key; supported: parameters that the provider takes;
    reasoning_fields: under which names it looks for past reasoning; refused: those of our extra fields that it has refused.
    """

    arguments: Mapping[str, Any] = field(repr=False)
    model: str
    supported: frozenset[str]
    reasoning_fields: tuple[str, ...]
    refused: set[str] = field(default_factory=set)

    def routed(self, route: Route | None) -> dict[str, Any]:
        """Return what tells a server the way of a turn: the headers that routers and vLLM's data parallelism read, and vLLM's priority."""
        if route is None:
            return {}
        headers = {"X-Session-ID": route.session}
        if route.rank is not None:
            headers["X-data-parallel-rank"] = str(route.rank)
        routed: dict[str, Any] = {"extra_headers": headers}
        if route.priority is not None and "priority" not in self.refused:
            routed["extra_body"] = {"priority": route.priority}
        return routed


def _target(endpoint: Endpoint, litellm: Any) -> _Target:
    """Return how litellm is to reach the endpoint. Raises ModelError for a name that says nothing about whose model it is."""
    provider, _, name = endpoint.model.partition("/")
    model, base = endpoint.model, endpoint.api_base
    known = {getattr(one, "value", one) for one in litellm.provider_list}
    if base is not None and (not name or provider not in known):
        # `Qwen/Qwen3-Coder` and `qwen3` are names of weights, which whoever serves them at an address of their own goes by.
        model = f"hosted_vllm/{endpoint.model}"
    try:
        bare, provider, _, _ = litellm.get_llm_provider(model=model, api_base=base)
    except litellm.exceptions.BadRequestError:
        bare = ""
    if not bare:
        raise ModelError(
            f"nobody knows whose model {endpoint.model!r} is; name it PROVIDER/NAME, or give the address it is served at with --api-base"
        )
    if base is not None and provider in _BELOW_V1 and urlsplit(base).path in ("", "/"):
        base = base.rstrip("/") + "/v1"
    arguments = {
        "model": model,
        "api_base": base,
        "api_key": endpoint.key.reveal() if endpoint.key else _NO_KEY if base is not None else None,
        "max_retries": 0,
        "num_retries": 0,
        "no-log": True,
    }
    supported = litellm.get_supported_openai_params(model=bare, custom_llm_provider=provider) or ()
    # vLLM up to 0.31 reads `reasoning` alone, templates and other servers `reasoning_content`.
    fields = ("reasoning_content", "reasoning") if provider == "hosted_vllm" else ("reasoning_content",)
    return _Target(arguments, endpoint.model, frozenset(supported), fields)


def _request(target: "_Target", prompt: Prompt) -> dict[str, Any]:
    """Return the arguments of litellm's call. Raises ModelError where the provider takes no tools."""
    if prompt.tools and "tools" not in target.supported:
        raise ModelError(f"{target.model!r} takes no tools through litellm; name a model that can call tools")
    chosen = {"temperature": prompt.sampling.temperature, "seed": prompt.sampling.seed}
    return {
        **target.arguments,
        "messages": write_messages(prompt.messages, reasoning_fields=target.reasoning_fields),
        **({"tools": write_tools(prompt.tools)} if prompt.tools else {}),
        "max_tokens": prompt.sampling.output_tokens,
        # Not every provider has a seed or lets the temperature be chosen; what is left out is left to the provider.
        **{name: value for name, value in chosen.items() if value is not None and name in target.supported},
    }


class _Engine:
    """litellm and the event loop its calls run on: one in a process, because litellm keeps its connections by process and by loop."""

    def __init__(self) -> None:
        self.litellm = _import_litellm()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()
        atexit.register(self._close)

    def start(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Begin `work` on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _close(self) -> None:
        """End what runs and close the connections in the thread they belong to, so that the interpreter has nothing to complain of."""
        with suppress(concurrent.futures.TimeoutError):
            self.start(self._wind_up()).result(timeout=_WIND_UP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=_WIND_UP_S)

    async def _wind_up(self) -> None:
        await self.litellm.close_litellm_async_clients()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


_ENGINE_LOCK: Final = threading.Lock()
_ENGINES: Final[list[_Engine]] = []  # none before the first reply, then one


def _engine(before_import: Callable[[], None]) -> _Engine:
    with _ENGINE_LOCK:
        if not _ENGINES:
            before_import()
            _ENGINES.append(_Engine())
        return _ENGINES[0]


def _import_litellm() -> Any:
    """Return litellm, with everything switched off that prints, phones or decides by itself."""
    started = time.monotonic()
    try:
        litellm: Any = importlib.import_module("litellm")  # by name: mypy would read all of it
    except ImportError as error:
        raise ModelError(f"litellm cannot be imported ({error}); install it again: pip install --force-reinstall litellm") from error
    litellm.suppress_debug_info = True  # "Give Feedback / Get Help" on standard output with every failure
    litellm.telemetry = False
    litellm.drop_params = False  # a parameter left out in silence is a run that is not what it says
    litellm.num_retries = 0
    litellm.callbacks = []
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # requests and exceptions are logged with what they hold
    # A call that is cancelled while litellm prepares it leaves a coroutine behind that nobody wants any more.
    warnings.filterwarnings("ignore", message="coroutine '.*' was never awaited", category=RuntimeWarning)
    # Of litellm's own types, when it first comes to a provider that has some.
    warnings.filterwarnings("ignore", message=".*using the `ReadOnly` qualifier", category=UserWarning)
    log.info("model.import seconds=%.1f", time.monotonic() - started)
    return litellm
