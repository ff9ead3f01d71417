"""How many turns a second programs take at a server, and what one more of them would change: by what their turns took so far.

A program goes round: its prompt is computed, its reply written, its tool runs, and it asks again. Replies are written side by side and tools run elsewhere;
prompts are computed one after the other, so that they are what programs wait for each other for. That is a closed network of one queue and one delay,
whose pace is known for any number of programs [1]. Where contexts outgrow the cache, a part of each is computed again at every turn and the queue's
service grows; whether another program is worth that depends on what computing costs beside all the rest, which is what the server's times tell.

[1] M. Reiser and S. Lavenberg, Mean-Value Analysis of Closed Multichain Queuing Networks, Journal of the ACM 27 (2), 1980.
"""

import statistics
from collections import deque
from typing import Final

from backstory.agent.messages import Usage

TURNS_KEPT: Final = 100
# Fewer turns say nothing.
LEAST_TURNS: Final = 10
# Fewer tokens of a prompt that is computed, or of a reply, say nothing about speed.
LEAST_COMPUTED, LEAST_WRITTEN = 64, 8


class Pace:
    """What the newest turns at a server took, in tokens and seconds.

    A turn is slowed by its neighbours, and the more so the more programs were let in, which is what is to be reckoned and must not be measured as if it
    were the server's. So the speed of replies is that of the fastest turn, which makes a wait look shorter, and that of prompts is that of the fastest quarter:
    on a machine that does other things too, no turn shows what the server comes to.
    """

    def __init__(self) -> None:
        self._new: deque[int] = deque(maxlen=TURNS_KEPT)
        self._written: deque[int] = deque(maxlen=TURNS_KEPT)
        self._idle_s: deque[float] = deque(maxlen=TURNS_KEPT)
        self._prompt_speeds: deque[float] = deque(maxlen=TURNS_KEPT)  # tokens a second
        self._reply_speed = 0.0

    def answered(self, usage: Usage) -> None:
        """Note what a turn took; nothing where the server does not tell its times or what it had cached."""
        if usage.cached_tokens is None or usage.reusable_tokens is None or not usage.first_s or usage.queued_s is None:
            return
        self._new.append(max(0, usage.input_tokens - usage.reusable_tokens))
        self._written.append(usage.output_tokens)
        computed, wrote_s = usage.input_tokens - usage.cached_tokens, usage.seconds - usage.queued_s - usage.first_s
        if computed >= LEAST_COMPUTED:
            self._prompt_speeds.append(computed / usage.first_s)
        if usage.output_tokens >= LEAST_WRITTEN and wrote_s > 0:
            self._reply_speed = max(self._reply_speed, usage.output_tokens / wrote_s)

    def came_back(self, idle_s: float) -> None:
        """Note how long a program was away between two turns."""
        self._idle_s.append(idle_s)

    def turns_a_second(self, programs: int, again: float) -> float | None:
        """Return the pace of so many programs, None while too little is known. again: tokens of a prompt that each turn computes once more."""
        if min(len(self._new), len(self._idle_s), len(self._prompt_speeds)) < LEAST_TURNS or not self._reply_speed:
            return None
        compute_s = (statistics.fmean(self._new) + again) / statistics.quantiles(self._prompt_speeds, n=4)[-1]
        elsewhere_s = statistics.fmean(self._idle_s) + statistics.fmean(self._written) / self._reply_speed
        pace = queue = 0.0
        for count in range(1, programs + 1):
            here_s = compute_s * (1 + queue)
            pace = count / (here_s + elsewhere_s)
            queue = pace * here_s
        return pace
