"""Text cut to what a reader can hold, saying that it was cut."""


def bounded(text: str, limit: int, *, more: str = "") -> tuple[str, int]:
    """Return `text` with at most about `limit` characters, whole lines of its head and tail, and how many characters were left out.

    more: how to get the rest, said in the line that stands for it.
    """
    if len(text) <= limit:
        return text, 0
    half = limit // 2
    head = text[:half]
    tail = text[len(text) - half :]
    head = head[: head.rfind("\n") + 1] or head
    tail = tail[tail.find("\n") + 1 :] or tail
    dropped = len(text) - len(head) - len(tail)
    said = f"[... {dropped} characters left out{'; ' + more if more else ''} ...]"
    return f"{head}{'' if head.endswith(chr(10)) else chr(10)}{said}\n{tail}", dropped
