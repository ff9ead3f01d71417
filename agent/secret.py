"""A value that must not be seen: a key."""


class Secret:
    """Holds a text that shows nowhere: not when printed, formatted, compared in a failing test, or written as JSON (which raises TypeError).

    >>> print(Secret("sk-12345"))
    Secret(***)
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text, for the one place that sends it."""
        return self._value

    def hidden_in(self, text: str) -> str:
        """Return `text` with the secret, if it stands in it, made unreadable."""
        return text.replace(self._value, "***") if self._value else text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be copied elsewhere")
