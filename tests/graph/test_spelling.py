"""Names as they are written, made one."""

import doctest

import pytest

from backstory.graph import spelling
from backstory.graph.languages import language_named
from backstory.graph.spelling import MAX_NAME_CHARS, plain_name, plain_path, plain_type, split_member


def test_the_examples_in_the_documentation_hold():
    """The module's doctests pass."""
    assert doctest.testmod(spelling).failed == 0


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", "name", ("", "name")),
        ("python", "a.b.c", ("a.b", "c")),
        ("python", "make(a, (b)).run", ("make()", "run")),
        ("python", "make(a)(b).run", (None, "run")),
        ("python", "rows[0].run", (None, "run")),
        ("python", "(a or b).run", (None, "run")),
        ("python", "a\n    .b\n    .run", ("a.b", "run")),
        ("typescript", "this.shop!.till?.ring", ("this.shop.till", "ring")),
        ("typescript", "make<Shop>().ring", ("make()", "ring")),
        ("java", "this.<Shop>make().ring", ("this.make()", "ring")),
        ("java", "new Shop<Item>(a, b).ring", ("Shop()", "ring")),
        ("java", "Rate::apply", ("Rate", "apply")),
        ("rust", "crate::till::<T>::open", ("crate.till", "open")),
        ("rust", "self.shop()?.till", ("self.shop()", "till")),
        ("cpp", "ns::Shop<int>::open", ("ns.Shop", "open")),
        ("cpp", "this->till_->ring", ("this.till_", "ring")),
        ("cpp", "make<int>", ("", "make")),
        ("cpp", "(*till).ring", (None, "ring")),
        ("ruby", "@till&.ring", ("self.till", "ring")),
        ("ruby", "Shop::Till.new(1).open?", ("Shop.Till.new()", "open?")),
        ("ruby", "::Shop", ("", "Shop")),
        ("php", "$this->till->ring", ("this.till", "ring")),
        ("php", "$till?->ring", ("till", "ring")),
        ("php", "\\Shop\\Till::open", ("Shop.Till", "open")),
        ("php", "\\strlen", ("", "strlen")),
        ("csharp", "shop?.Till", ("shop", "Till")),
        ("csharp", "shop.Make<Till>", ("shop", "Make")),
        ("python", "x" * 200, (None, "x" * MAX_NAME_CHARS)),
        ("python", "", (None, "")),
    ],
)
def test_a_member_expression_is_split_into_receiver_and_name(language, text, expected):
    """The receiver is dotted when it is simple, "" for a bare name and None for an expression."""
    assert split_member(language_named(language), text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", "Shop", "Shop"),
        ("python", "a.Shop", "a.Shop"),
        ("python", "Optional['Shop']", "Shop"),
        ("python", "typing.Optional[a.Shop]", "a.Shop"),
        ("python", "None | Shop", "Shop"),
        ("python", "Shop | Till", None),
        ("python", "list[Shop]", "list"),
        ("typescript", "Shop<A, B<C>> | undefined", "Shop"),
        ("typescript", "Readonly<Shop<A>>", "Shop"),
        ("typescript", "Shop[]", None),
        ("typescript", "(a: Shop) => Till", None),
        ("java", "Map.Entry<K, List<V>>", "Map.Entry"),
        ("java", "Shop[]", None),
        ("java", "int", None),
        ("java", "Optional<Shop>", "Shop"),
        ("go", "*store.Shop[int]", "store.Shop"),
        ("go", "[]Shop", None),
        ("go", "map[string]Shop", None),
        ("rust", "Option<Box<dyn Shop + 'a>>", None),
        ("rust", "&'a mut Arc<Mutex<shop::Till<'a>>>", "shop.Till"),
        ("rust", "impl Shop", "Shop"),
        ("rust", "Self", "Self"),
        ("c", "const struct shop *", "shop"),
        ("cpp", "const std::unique_ptr<ns::Shop<int>>&", "ns.Shop"),
        ("cpp", "std::vector<Shop>", "std.vector"),
        ("php", "?Shop", "Shop"),
        ("php", "static", "static"),
        ("csharp", "Task<Shop?>", "Shop"),
        ("csharp", "(int, Shop)", None),
    ],
)
def test_a_written_type_is_the_class_whose_members_it_has(language, text, expected):
    """Type arguments, wrappers and absence are left out; an array, a function or a choice is no class."""
    assert plain_type(language_named(language), text) == expected


def test_a_name_defined_outside_its_class_has_an_owner():
    """What stands before the last `::` of a definition is whose it is."""
    assert plain_name(language_named("python"), "name") == ("", "name")
    assert plain_name(language_named("typescript"), "'quoted name'") == ("", "quotedname")
    assert plain_name(language_named("java"), "") == ("", "default")
    assert plain_name(language_named("cpp"), "ns::Shop<T>::~Shop") == ("ns.Shop", "~Shop")
    assert plain_name(language_named("cpp"), "Shop::operator<<") == ("Shop", "operator<<")
    assert plain_name(language_named("cpp"), "operator ns::Till") == ("", "operatorns::Till")
    assert plain_name(language_named("ruby"), "Shop::Till") == ("Shop", "Till")
    assert plain_name(language_named("rust"), "till::Shop<'a, T>") == ("till", "Shop")


def test_nesting_beyond_reason_is_no_name():
    """Brackets within brackets come to an end."""
    assert plain_path(language_named("python"), "f" + "(" * 30 + ")" * 30) is None
    assert plain_type(language_named("java"), "A" + "<B" * 30 + ">" * 30) is None
