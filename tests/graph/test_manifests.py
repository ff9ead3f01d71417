"""What project files say of the names of modules, and that nothing in one can stop a build."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.graph.manifests import Manifest, is_manifest, read_manifests


def said(path, content):
    return read_manifests({path: content if isinstance(content, bytes) else content.encode()})


def test_project_files_are_told_by_name():
    """Only the names that say something count, wherever they lie."""
    assert [is_manifest(path) for path in ("go.mod", "a/b/Cargo.toml", "package.json", "go.sum", "a.json")] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("go.mod", "// about\nmodule example.org/shop\n\ngo 1.21\n", Manifest("go", "", "example.org/shop")),
        ("a/go.mod", 'module "example.org/shop"\n', Manifest("go", "a", "example.org/shop")),
        ("a/Cargo.toml", '[package]\nname = "shop-core"\n', Manifest("rust", "a", "shop_core")),
        ("Cargo.toml", '[package]\nname = "x"\n[lib]\nname = "y"\npath = "lib/y.rs"\n', Manifest("rust", "", "y", "lib/y.rs")),
        ("p/package.json", '{"name": "@shop/core", "main": "dist/i.js", "source": "i.ts"}', Manifest("script", "p", "@shop/core", "i.ts")),
        (
            "p/tsconfig.json",
            '{ // about\n "compilerOptions": {"baseUrl": "src", "paths": {"@/*": ["*"],}, /* "x" */ }, }',
            Manifest("script", "p", paths={"@/*": ("p/src/*",), "*": ("p/src/*",)}),
        ),
    ],
)
def test_names_and_entries_are_read(path, content, expected):
    """Each kind gives its folder and the name it is imported by; comments and trailing commas are allowed where their tools allow them."""
    assert said(path, content) == [expected]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("Cargo.toml", "[workspace]\nmembers = []\n"),
        ("Cargo.toml", "name = ["),
        ("package.json", '{"private": true}'),
        ("package.json", "[" * 100_000),
        ("package.json", '{"name": 3}'),
        ("package.json", b"\xff\xfe\x00"),
        ("package.json", b" " * 1_000_001),
        ("tsconfig.json", '{"compilerOptions": {"paths": 3}}'),
        ("go.mod", ""),
    ],
)
def test_a_file_that_says_nothing_or_is_broken_is_left_out(path, content):
    """Nothing raises; what cannot be read says nothing."""
    assert said(path, content) == []


@given(content=st.binary(max_size=200), path=st.sampled_from(["go.mod", "Cargo.toml", "package.json", "tsconfig.json"]))
def test_no_bytes_stop_a_reader(content, path):
    """Any bytes under any name give at most one value."""
    assert len(said(path, content)) <= 1
