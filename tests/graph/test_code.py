"""The view of a tree's code: its questions, and that nothing is done twice."""

import multiprocessing

import pytest
from crashing import DEADLY, parse_or_die
from hypothesis import given
from hypothesis import strategies as st

from backstory.errors import StorageError
from backstory.graph.code import code_view, cut_lines
from backstory.graph.mirror import open_mirror, open_source
from backstory.graph.pack import unpack
from backstory.graph.parallel import BATCH_BYTES, CRASHED, Job, parse_batch, parse_jobs
from backstory.graph.store import Store
from repos import Repo

FILES = {
    "shop/__init__.py": "",
    "shop/cart.py": "class Cart:\n    def sum(self):\n        return total(self)\n\n\ndef total(cart):\n    # adding prices\n    return 0\n",
    "shop/view.py": "from shop.cart import Cart\n\n\ndef show():\n    return Cart().sum()\n",
    "tests/test_cart.py": "from shop.cart import Cart, total\n\n\ndef test_total():\n    assert total(Cart()) == 0\n",
    "tests/test_view.py": "from shop.view import show\n\n\ndef test_show():\n    show()\n",
    "static/big.js": "x" * 60_000,
    "README.md": "not code",
}


class Past:
    """A repository with its mirror and store, and what was asked of the store."""

    def __init__(self, folder):
        self.repo = Repo(folder / "repo")
        self.cache = folder / "cache"
        self.store = Store(folder / "graph.db")
        self.phases = []

    def view(self, **options):
        source = open_source(self.repo.root)
        mirror = open_mirror(source, source.head, cache_dir=self.cache)
        self.phases = []
        return code_view(mirror, source.head, self.store, report=lambda *progress: self.phases.append(progress), **options)


@pytest.fixture
def past(tmp_path):
    past = Past(tmp_path)
    past.repo.commit("start", FILES)
    return past


def test_users_of_a_definition_are_other_files_that_are_no_tests(past):
    """A file counts once however often it uses something; its own uses and those of tests do not."""
    code = past.view()
    users = dict(zip(code.nodes, code.users().tolist(), strict=True))
    assert (users["shop/cart.py:Cart"], users["shop/cart.py:total"], users["shop/view.py:show"]) == (1, 0, 0)
    assert users["shop/cart.py"] == 1


def test_symbols_come_in_order_and_by_id(past):
    """Symbols are in order of file and position, are found by id, and carry the blob they were read from."""
    code = past.view()
    assert code.files() == ["shop/__init__.py", "shop/cart.py", "shop/view.py", "tests/test_cart.py", "tests/test_view.py"]
    assert [symbol.id for symbol in code.symbols("shop/cart.py")] == ["shop/cart.py:Cart", "shop/cart.py:Cart.sum", "shop/cart.py:total"]
    assert len(code.symbols()) == 6
    total = code.symbol("shop/cart.py:total")
    assert (total.kind, total.span.first, total.span.last, total.signature) == ("function", 6, 8, "def total(cart)")
    assert total.blob == past.repo.git("rev-parse", "HEAD:shop/cart.py")
    assert code.symbol("shop/cart.py") is code.symbol("nowhere:f") is None
    assert code.symbols("README.md") == ()
    assert [symbol.id for symbol in code.definitions("sum")] == ["shop/cart.py:Cart.sum"]
    assert code.definitions("Cart.sum") == []


def test_skipped_files_are_named_with_the_reason(past):
    """A minified file is no part of the view but is told."""
    assert list(past.view().skipped()) == ["static/big.js"]
    assert "longer" in past.view().skipped()["static/big.js"]


def test_the_innermost_symbol_holds_a_line(past):
    """A line belongs to the innermost definition around it, and to none between definitions or outside the file."""
    code = past.view()
    found = [code.symbol_at("shop/cart.py", line) for line in range(10)]
    assert [symbol and symbol.qualname for symbol in found] == [
        None,
        "Cart",
        "Cart.sum",
        "Cart.sum",
        None,
        None,
        "total",
        "total",
        "total",
        None,
    ]
    assert code.symbol_at("README.md", 1) is None


def test_neighbours_go_out_and_in(past):
    """Out is what a node uses, in is what uses it; kinds narrow both; an unknown node has none."""
    code = past.view()
    out = code.neighbours("shop/view.py:show", ["calls"], "out")
    assert [(edge.dst, edge.weight) for edge in out] == [("shop/cart.py:Cart", 1.0), ("shop/cart.py:Cart.sum", 1.0)]
    assert {edge.src for edge in code.neighbours("shop/cart.py:total", ["calls"], "in")} == {
        "shop/cart.py:Cart.sum",
        "tests/test_cart.py:test_total",
    }
    assert {edge.kind for edge in code.neighbours("shop/cart.py:total", None, "in")} == {"calls", "contains", "tests"}
    assert code.neighbours("gone.py", ["calls"], "in") == ()


def test_neighbours_and_counts_agree_with_all_edges(past):
    """Every edge is found from both of its ends, and the counts are those of all edges."""
    code = past.view()
    edges = code.edges()
    assert sum(code.edge_counts().values()) == len(edges)
    assert code.edges(["imports"]) == [edge for edge in edges if edge.kind == "imports"]
    for node in code.nodes:
        assert sorted(map(repr, code.neighbours(node))) == sorted(repr(edge) for edge in edges if edge.src == node)
        assert sorted(map(repr, code.neighbours(node, None, "in"))) == sorted(repr(edge) for edge in edges if edge.dst == node)


def test_tests_are_found_for_files_and_symbols_surest_first(past):
    """A test that reaches the very thing comes before one that reaches its file; a test is a test of itself."""
    code = past.view()
    assert code.tests_of(["shop/cart.py:total"]) == ["tests/test_cart.py"]
    assert code.tests_of(["shop/view.py"]) == ["tests/test_view.py"]
    assert code.tests_of(["shop/view.py:show", "shop/cart.py"]) == ["tests/test_cart.py", "tests/test_view.py"]
    assert code.tests_of(["tests/test_view.py"])[0] == "tests/test_view.py"
    assert code.tests_of(["gone.py"]) == []


def test_words_of_files_are_the_sum_of_their_parts(past):
    """A file's words are its own and those of its symbols; a symbol's are those of its own lines."""
    code = past.view()
    assert code.symbol_words("shop/cart.py:total")["prices"] == 1
    assert "prices" not in code.symbol_words("shop/cart.py:Cart")
    assert code.words("shop/cart.py")["total"] == 2
    assert code.words("README.md") == code.symbol_words("gone") == {}
    table = code.word_table
    assert len(table.starts) == len(code.nodes) + 1


def test_a_second_look_neither_parses_nor_links(past):
    """The same tree is loaded whole, also after a commit that changes no source, and is equal to the first view."""
    first = past.view()
    assert {phase for phase, *_ in past.phases} == {"parsing", "linking"}
    past.repo.commit("words only", {"README.md": "other words"})
    second = past.view()
    assert past.phases == []
    assert first.symbols() == second.symbols()
    assert first.edges() == second.edges()
    assert [first.words(path) for path in first.files()] == [second.words(path) for path in second.files()]


def test_a_changed_file_alone_is_parsed_again(past):
    """After a change one blob is parsed, and the view is that of a fresh store."""
    past.view()
    past.repo.commit("change", {"shop/view.py": "from shop.cart import total\n\n\ndef show():\n    return total(1)\n"})
    changed = past.view()
    assert past.phases == [("parsing", 1, 1), ("linking", 0, None)]
    past.store = Store(past.cache / "fresh.db")
    assert past.view().edges() == changed.edges()


def test_one_blob_may_be_two_languages(past):
    """The same bytes under two extensions are read as each."""
    source = "export function f(a) { return a; }\n"
    past.repo.commit("twice", {"a.js": source, "a.ts": source, "b.jsx": source})
    assert [symbol.id for symbol in past.view().definitions("f")] == ["a.js:f", "a.ts:f", "b.jsx:f"]


def test_links_and_odd_paths(past):
    """A symbolic link is no source file; paths with spaces, colons and bytes that are not UTF-8 are."""
    past.repo.write({"a:b c.py": "def f(): pass\n"})
    (past.repo.root / "link.py").symlink_to("shop/cart.py")
    odd = past.repo.root / "caf\udce9.py"
    odd.write_text("def g():\n    f()\n")
    past.repo.commit("odd")
    for code in (past.view(), past.view()):
        assert "link.py" not in code.files()
        assert code.symbol("a:b c.py:f").qualname == "f"
        assert code.definitions("g")[0].path == "caf\udce9.py"
        assert code.neighbours("caf\udce9.py:g", ["calls"])[0].dst == "a:b c.py:f"


def test_a_tree_without_code_is_an_empty_view(tmp_path):
    """No source files, no symbols, no edges, and no error."""
    past = Past(tmp_path)
    past.repo.commit("prose", {"README.md": "hello"})
    for code in (past.view(), past.view()):
        assert (code.files(), code.symbols(), code.edges(), code.edge_counts()) == ([], [], [], {})
        assert code.tests_of(["README.md"]) == []


def test_a_damaged_snapshot_is_said(past):
    """Bytes that are no snapshot end in an error that names the remedy."""
    past.view()
    with past.store.transaction():
        past.store.write("UPDATE snapshots SET payload = substr(payload, 1, 50)", [()])
    with pytest.raises(StorageError, match="cache clear"):
        past.view()


# --- workers --------------------------------------------------------------------------------------------------------------------------


def jobs_of(count, deadly=()):
    """Return work in several batches, with sources that kill a worker at some places."""
    body = b"def f(x):\n    return f(x)\n" + b"value = 'a long line that is quick to parse'\n" * (4 * BATCH_BYTES // count // 46)
    return [Job(f"{number:040x}", "python", (DEADLY if number in deadly else b"# fine\n") + body) for number in range(count)]


def by_blob(batches):
    return {done.blob: done.payload for batch in batches for done in batch}


def test_workers_find_what_one_process_finds():
    """Parsing in workers gives the same payloads as parsing here."""
    jobs = jobs_of(30)
    assert by_blob(parse_jobs(iter(jobs), workers=2, in_process_bytes=0)) == by_blob([parse_batch(jobs)])


def test_a_file_that_kills_the_parser_is_marked_and_the_rest_is_parsed():
    """Workers that die cost only the files they die of."""
    deadly = {3, 17}
    jobs = jobs_of(30, deadly)
    found = by_blob(parse_jobs(iter(jobs), workers=2, work=parse_or_die, in_process_bytes=0))
    skipped = {blob for blob, payload in found.items() if unpack(payload).skipped == CRASHED}
    assert set(found) == {job.blob for job in jobs}
    assert skipped == {jobs[number].blob for number in deadly}


def test_few_files_are_parsed_here():
    """Below the size that pays for workers none is started: a function no worker could import is enough."""
    batches = list(parse_jobs([Job("0" * 40, "python", b"x = 1\n")], work=lambda batch: parse_batch(batch)))
    assert len(batches) == 1


def test_reading_can_stop_early():
    """A caller that stops, as at an interrupt, leaves no worker behind to wait for."""
    batches = parse_jobs(iter(jobs_of(30)), workers=2, in_process_bytes=0)
    assert next(batches)
    batches.close()
    assert not multiprocessing.active_children()


def test_jobs_are_taken_in_batches():
    """Sources are read as they are needed, not all at once."""
    taken = []

    def jobs():
        for number in range(20):
            taken.append(number)
            yield Job(f"{number:040x}", "python", b"'" + b"x" * 40_000 + b"'\n")

    batches = parse_jobs(jobs(), workers=1, in_process_bytes=0)
    in_a_batch = -(-BATCH_BYTES // 40_003)
    assert len(next(batches)) == len(taken) == in_a_batch
    assert sum(map(len, batches)) == 20 - in_a_batch


# --- lines ----------------------------------------------------------------------------------------------------------------------------


def nested(draw, first, last, depth):
    """Draw spans that nest between two lines, in order of position, outer before inner."""
    found = []
    line = first
    while line <= last and depth:
        begin = draw(st.integers(line, last))
        end = draw(st.integers(begin, last))
        found.append((begin, end))
        found += nested(draw, begin, end, depth - 1)
        line = end + 1
        if draw(st.booleans()):
            break
    return found


@given(st.composite(lambda draw: nested(draw, 1, 30, 3))())
def test_cutting_lines_agrees_with_looking_at_every_span(spans):
    """The piece a line falls in names the last of the spans around it, which is the innermost."""
    begins, owners = cut_lines([first for first, _ in spans], [last for _, last in spans])
    assert begins == sorted(set(begins))
    for line in range(1, 33):
        plain = max((number for number, (first, last) in enumerate(spans) if first <= line <= last), default=-1)
        assert owners[max(number for number, begin in enumerate(begins) if begin <= line)] == plain


def test_spans_that_share_a_line_give_it_to_the_later():
    """Two definitions on one line: the later one has it, and lines after both belong to what is around."""
    assert cut_lines([1, 2, 3], [9, 3, 4]) == ([0, 1, 2, 3, 5, 10], [-1, 0, 1, 2, 0, -1])
