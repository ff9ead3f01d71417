"""A scheduler for vLLM under which some prompts never find room, as has happened to it with prompts larger than its pool: it waits, and all is well by its word."""

from vllm.v1.core.sched.async_scheduler import AsyncScheduler

LONGEST = 1000  # tokens of a prompt


class NeverFits(AsyncScheduler):
    """vLLM's own, whose cache has no blocks for a prompt that is longer than that."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        allocate = self.kv_cache_manager.allocate_slots

        def allocate_slots(request, *args, **kwargs):
            return None if request.num_prompt_tokens > LONGEST else allocate(request, *args, **kwargs)

        self.kv_cache_manager.allocate_slots = allocate_slots
