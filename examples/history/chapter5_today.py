"""Chapter five: suppliers, limits, one word for a product's code, and the test that fails today."""

from history.steps import JON, MINA, PRIYA, TOMAS, Step

STEPS = [
    Step(
        JON,
        "List products that run low",
        edit={
            "stockroom/reports.py": [
                (
                    '"""Plain-text reports."""\n',
                    '''\
"""Plain-text reports."""


def running_low(catalog, inventory, level=5):
    """Return the products with at most `level` pieces available."""
    return [product for product in catalog if inventory.available(product.sku) <= level]
''',
                )
            ],
            "tests/test_reports.py": [
                (
                    "def test_stock_levels_has",
                    'def test_a_product_at_the_level_runs_low():\n    assert [product.sku for product in reports.running_low(CATALOG, stocked(), level=3)] == ["CUP-07"]\n\n\n'
                    "def test_stock_levels_has",
                )
            ],
        },
    ),
    Step(
        PRIYA,
        "Suggest what to order from suppliers",
        branch="suppliers",
        write={
            "stockroom/suppliers.py": '''\
"""What to order, and from whom."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Supply:
    """A product's supplier. pack: pieces come in multiples of this. target: pieces that should be available."""

    code: str
    supplier: str
    pack: int
    target: int


def suggestions(supplies, inventory):
    """Return (supplier, code, pieces) for each product below its target, in whole packs."""
    found = []
    for supply in supplies:
        missing = supply.target - inventory.available(supply.code)
        if missing > 0:
            packs = -(-missing // supply.pack)
            found.append((supply.supplier, supply.code, packs * supply.pack))
    return sorted(found)
''',
            "tests/test_suppliers.py": """\
from stockroom import Inventory
from stockroom.suppliers import Supply, suggestions

TEA = Supply("TEA-01", "Leaf & Sons", pack=12, target=20)


def test_missing_pieces_are_ordered_in_whole_packs():
    inventory = Inventory()
    inventory.receive("TEA-01", 7)
    assert suggestions([TEA], inventory) == [("Leaf & Sons", "TEA-01", 24)]


def test_nothing_is_ordered_at_the_target():
    inventory = Inventory()
    inventory.receive("TEA-01", 20)
    assert suggestions([TEA], inventory) == []
""",
        },
    ),
    Step(
        TOMAS,
        "Keep the order number in a backorder's day book entry\n\nThe office could not tell whose pieces were still to come. Fixes #31.",
        edit={
            "stockroom/stock.py": [
                (
                    "    def reserve(self, code, quantity, backorder=False):\n",
                    '    def reserve(self, code, quantity, backorder=False, reference=""):\n',
                ),
                (
                    '        self.daybook.note("reserved", code, quantity)\n',
                    '        self.daybook.note("reserved", code, quantity, reference)\n',
                ),
            ],
            "stockroom/daybook.py": [
                (
                    "    def note(self, what, code, quantity):\n        self.entries.append((what, code, quantity))\n",
                    '    def note(self, what, code, quantity, reference=""):\n        self.entries.append((what, code, quantity, reference))\n',
                ),
                (
                    '    """Entries (what, code, quantity), oldest first."""\n',
                    '    """Entries (what, code, quantity, reference), oldest first."""\n',
                ),
            ],
            "stockroom/orders.py": [("backorder=backorder)\n", 'backorder=backorder, reference=f"order {self.number}")\n')],
            "tests/test_daybook.py": [
                ('book.note("shipped", "TEA-01", 2)\n', 'book.note("shipped", "TEA-01", 2, "order 7")\n'),
                (
                    '[("received", "TEA-01", 10), ("shipped", "TEA-01", 2)]',
                    '[("received", "TEA-01", 10, ""), ("shipped", "TEA-01", 2, "order 7")]',
                ),
            ],
            "tests/test_orders.py": [
                (
                    "def test_a_cancelled_order",
                    """\
def test_the_day_book_names_the_order(inventory):
    order(("CUP-07", 2)).place(inventory)
    assert inventory.daybook.of("CUP-07")[-1] == ("reserved", "CUP-07", 2, "order 1")


def test_a_cancelled_order""",
                )
            ],
        },
    ),
    Step(
        PRIYA,
        "Order ahead for pieces that are promised (#33)",
        branch="suppliers",
        edit={
            "stockroom/suppliers.py": [("pieces that should be available.", "pieces that should be available when all promises are kept.")],
            "tests/test_suppliers.py": [
                (
                    "def test_nothing_is_ordered",
                    """\
def test_promised_pieces_are_ordered_again():
    inventory = Inventory()
    inventory.receive("TEA-01", 20)
    inventory.reserve("TEA-01", 5)
    assert suggestions([TEA], inventory) == [("Leaf & Sons", "TEA-01", 12)]


def test_nothing_is_ordered""",
                )
            ],
        },
    ),
    Step(
        JON,
        "Show the reference in the day book report",
        edit={
            "stockroom/reports.py": [
                (
                    "def running_low(",
                    '''\
def day(inventory):
    """Return the day book, one movement a line."""
    return "\\n".join(f"{what:<9} {code:<8} {quantity:>5} {reference}".rstrip() for what, code, quantity, reference in inventory.daybook.entries)


def running_low(''',
                )
            ],
            "tests/test_reports.py": [
                (
                    "def test_stock_levels_has",
                    """\
def test_the_day_has_a_line_for_each_movement():
    inventory = stocked()
    inventory.reserve("TEA-01", 4, reference="order 9")
    assert reports.day(inventory).splitlines()[-1].split() == ["reserved", "TEA-01", "4", "order", "9"]


def test_stock_levels_has""",
                )
            ],
        },
    ),
    Step(PRIYA, "Merge branch 'suppliers'", merge="suppliers"),
    Step(
        MINA,
        "Call a product's code a code in orders and receipts, too (#22)",
        reword={
            "stockroom/catalog.py": ("sku", "code"),
            "stockroom/orders.py": ("sku", "code"),
            "stockroom/receipts.py": ("sku", "code"),
            "stockroom/reports.py": ("sku", "code"),
            "tests/test_orders.py": ("sku", "code"),
            "tests/test_reports.py": ("sku", "code"),
        },
    ),
    Step(
        JON,
        "Correct the stock after counting the shelves (#36)",
        edit={
            "stockroom/stock.py": [
                (
                    "    def take_back(self, code, quantity):",
                    '''\
    def count(self, code, pieces):
        """Set what lies on the shelf to what was counted; return by how much that differs."""
        difference = pieces - self._on_hand[code]
        self._on_hand[code] = pieces
        if difference:
            self.daybook.note("counted", code, difference)
        return difference

    def take_back(self, code, quantity):''',
                )
            ],
            "tests/test_stock.py": [
                (
                    "def test_movements_are",
                    """\
def test_a_count_corrects_the_shelf(inventory):
    assert inventory.count("TEA-01", 8) == -2
    assert inventory.available("TEA-01") == 8
    assert inventory.daybook.entries[-1] == ("counted", "TEA-01", -2, "")


def test_movements_are""",
                )
            ],
        },
    ),
    Step(
        TOMAS,
        "Charge nothing for shipping an empty parcel (#38)",
        edit={
            "stockroom/shipping.py": [("    if worth >= FREE_FROM:\n", "    if not grams or worth >= FREE_FROM:\n")],
            "tests/test_shipping.py": [
                (
                    "def test_no_parcel",
                    "def test_an_empty_parcel_costs_nothing():\n    assert shipping.cost(0) == 0\n\n\ndef test_no_parcel",
                )
            ],
        },
    ),
    Step(
        PRIYA,
        "Refuse to reserve nothing or less (#41)",
        edit={
            "stockroom/stock.py": [
                (
                    "        available = self.available(code)\n",
                    """\
        if quantity <= 0:
            raise ValueError(f"{code}: cannot reserve {quantity} pieces")
        available = self.available(code)
""",
                )
            ],
            "tests/test_stock.py": [
                (
                    "def test_a_backorder_may",
                    """\
def test_nothing_is_not_reserved(inventory):
    with pytest.raises(ValueError):
        inventory.reserve("TEA-01", 0)


def test_a_backorder_may""",
                )
            ],
        },
    ),
    Step(
        MINA,
        "Write stock lists, too",
        edit={
            "stockroom/files.py": [
                (
                    "def load_stock(",
                    '''\
def save_stock(catalog, inventory):
    """Return the lines that `load_stock` reads, for what is available."""
    return [f"{product.code},{inventory.available(product.code)}" for product in catalog]


def load_stock(''',
                )
            ],
            "tests/test_files.py": [
                (
                    "from stockroom import Inventory\nfrom stockroom.files import load_stock\n",
                    "from stockroom import Catalog, Inventory, Product\nfrom stockroom.files import load_stock, save_stock\n",
                ),
                (
                    "def test_each_line",
                    """\
def test_what_is_saved_can_be_loaded():
    inventory = Inventory()
    inventory.receive("TEA-01", 10)
    assert save_stock(Catalog([Product("TEA-01", "Green tea", 450)]), inventory) == ["TEA-01,10"]


def test_each_line""",
                ),
            ],
        },
    ),
    Step(
        JON,
        "Count what each customer may still order\n\nWholesale customers asked for a limit they can see. Closes #44.",
        branch="limits",
        write={
            "stockroom/limits.py": '''\
"""How much one customer may take."""

from collections import Counter


class Limits:
    """Pieces of each product a customer may order in all; products without a limit are free."""

    def __init__(self, limits):
        self._limits = dict(limits)
        self._taken = Counter()

    def left(self, code):
        """Return how many pieces may still be ordered, None without a limit."""
        if code not in self._limits:
            return None
        return self._limits[code] - self._taken[code]

    def take(self, code, quantity):
        left = self.left(code)
        if left is not None and quantity > left:
            raise ValueError(f"{code}: {left} of {self._limits[code]} left")
        self._taken[code] += quantity
''',
            "tests/test_limits.py": """\
import pytest

from stockroom.limits import Limits


def test_the_limit_can_be_used_up():
    limits = Limits({"TEA-01": 5})
    limits.take("TEA-01", 3)
    limits.take("TEA-01", 2)
    assert limits.left("TEA-01") == 0
    with pytest.raises(ValueError):
        limits.take("TEA-01", 1)


def test_without_a_limit_anything_goes():
    limits = Limits({})
    limits.take("CUP-07", 1000)
    assert limits.left("CUP-07") is None
""",
        },
    ),
    Step(
        PRIYA,
        "Tell the wanted pieces of OutOfStock to callers",
        edit={
            "stockroom/stock.py": [
                ("        self.code = code\n", "        self.code = code\n        self.available = available\n"),
            ],
            "tests/test_stock.py": [
                (
                    "def test_more_than_there_is_cannot",
                    """\
def test_the_error_carries_the_figures(inventory):
    with pytest.raises(OutOfStock) as caught:
        inventory.reserve("TEA-01", 30)
    assert (caught.value.code, caught.value.wanted, caught.value.available) == ("TEA-01", 30, 10)


def test_more_than_there_is_cannot""",
                )
            ],
        },
    ),
    Step(JON, "Merge branch 'limits'", merge="limits"),
    Step(
        TOMAS,
        "Say in the README what there is",
        edit={
            "README.md": [
                (
                    "    python -m pytest\n",
                    """\
    from stockroom import Inventory

    inventory = Inventory()
    inventory.receive("TEA-01", 10)
    inventory.reserve("TEA-01", 2)

Run the tests with `python -m pytest`.
""",
                )
            ],
        },
    ),
    Step(
        MINA,
        "Release 0.4.0",
        edit={
            "pyproject.toml": [('version = "0.3.0"', 'version = "0.4.0"')],
            "CHANGES.md": [
                ("## 0.3.0", "## 0.4.0\n\n- Suppliers, customer limits, counting the shelves, stock lists as files.\n\n## 0.3.0")
            ],
        },
        tag="v0.4.0",
    ),
    Step(
        JON,
        "Round the tax of each rate once",
        edit={
            "stockroom/tax.py": [
                (
                    "def contained(",
                    '''\
def contained_by_rate(amounts):
    """Return the tax contained in gross amounts by rate; each rate's sum is rounded once, as the tax office does."""
    return {rate: contained(sum(cents), rate) for rate, cents in amounts.items()}


def contained(''',
                )
            ],
            "tests/test_tax.py": [
                (
                    "def test_half_a_cent",
                    'def test_each_rate_is_rounded_once():\n    assert tax.contained_by_rate({"standard": [3, 3, 3], "reduced": [10700]}) == {"standard": 1, "reduced": 700}\n\n\ndef test_half_a_cent',
                )
            ],
        },
    ),
    Step(
        PRIYA,
        "Name the tests of the stock after what they show",
        edit={
            "tests/test_stock.py": [
                (
                    "def test_more_than_there_is_cannot_be_reserved",
                    "def test_reserving_more_than_is_available_is_refused_and_changes_nothing",
                ),
                ("def test_nothing_is_not_reserved", "def test_reserving_nothing_is_refused"),
            ],
        },
    ),
    Step(
        MINA,
        "Add a failing test for #57\n\nThe warehouse cannot sell the last pieces of anything.",
        write={
            "tests/test_last_pieces.py": '''\
"""The last pieces on a shelf can be sold (#57)."""

from stockroom import Inventory


def stocked(pieces):
    inventory = Inventory()
    inventory.receive("TEA-01", pieces)
    return inventory


def test_everything_on_the_shelf_can_be_reserved():
    inventory = stocked(3)
    inventory.reserve("TEA-01", 3)
    assert inventory.available("TEA-01") == 0


def test_the_last_piece_can_be_reserved():
    inventory = stocked(3)
    inventory.reserve("TEA-01", 2)
    inventory.reserve("TEA-01", 1)
    assert inventory.available("TEA-01") == 0
''',
        },
    ),
]
