"""Names that a mistyped one may have meant."""

from hypothesis import given
from hypothesis import strategies as st

from backstory.tools.near import NearNames

NAMES = ["Blueprint", "register", "register_blueprint", "dispatch_request", "Request", "request", "url_for", "__init__"]


def test_the_nearest_name_is_first():
    """One letter left out, two swapped, and another case still lead to the name."""
    near = NearNames(NAMES)
    assert near.nearest("Blueprnt", 3) == ["Blueprint"]
    assert near.nearest("dispatch_reqeust", 1) == ["dispatch_request"]
    assert near.nearest("REQUEST", 2) == ["Request", "request"]


def test_nothing_near_is_nothing():
    """A word that resembles no name gives none, and so does an empty one."""
    assert NearNames(NAMES).nearest("zebra", 3) == []
    assert NearNames(NAMES).nearest("", 3) == [] == NearNames([]).nearest("a", 3)


@given(st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=30), st.data())
def test_a_name_is_nearest_to_itself(names, data):
    """Asking for a name gives that name first, in whatever order the names came."""
    if names:
        name = data.draw(st.sampled_from(names))
        first = NearNames(names).nearest(name, 5)
        assert first[0].lower() == name.lower()
        assert first == NearNames(reversed(names)).nearest(name, 5)
