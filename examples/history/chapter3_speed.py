"""Chapter three: files, receipts, a day book, and a faster inventory. The fault comes in here."""

from history.steps import JON, MINA, PRIYA, TOMAS, Step

STEPS = [
    Step(
        JON,
        "Read stock from a CSV file",
        write={
            "stockroom/files.py": '''\
"""Stock lists as files."""

import csv


def load_stock(lines, inventory):
    """Receive what the lines `code,quantity` say; return how many lines that were."""
    count = 0
    for code, quantity in csv.reader(lines):
        inventory.receive(code.strip(), int(quantity))
        count += 1
    return count
''',
            "tests/test_files.py": """\
from stockroom import Inventory
from stockroom.files import load_stock


def test_each_line_is_received():
    inventory = Inventory()
    assert load_stock(["TEA-01,10", "CUP-07, 3"], inventory) == 2
    assert inventory.available("CUP-07") == 3
""",
        },
    ),
    Step(
        JON,
        "Skip blank lines and comments in stock files (#15)",
        edit={
            "stockroom/files.py": [
                (
                    "    for code, quantity in csv.reader(lines):\n",
                    '    lines = (line for line in lines if line.strip() and not line.startswith("#"))\n    for code, quantity in csv.reader(lines):\n',
                )
            ],
            "tests/test_files.py": [
                (
                    "def test_each_line",
                    'def test_blank_lines_and_comments_are_skipped():\n    assert load_stock(["# tea", "", "TEA-01,10"], Inventory()) == 1\n\n\ndef test_each_line',
                )
            ],
        },
    ),
    Step(
        MINA,
        "Print receipts",
        write={
            "stockroom/receipts.py": '''\
"""What the customer takes home."""

from stockroom import money


def receipt(order, catalog, breaks=()):
    """Return the lines of an order with their names, and the total."""
    lines = [f"{line.quantity:>4} x {catalog.get(line.sku).name}" for line in order.lines]
    return "\\n".join([*lines, f"total {money.show(order.total(catalog, breaks))}"])
''',
            "tests/test_receipts.py": """\
from stockroom import Catalog, Order, Product
from stockroom.receipts import receipt

CATALOG = Catalog([Product("TEA-01", "Green tea", 450), Product("CUP-07", "Stoneware cup", 1290)])


def test_a_receipt_names_products_and_ends_with_the_total():
    order = Order(7)
    order.add("TEA-01", 2)
    order.add("CUP-07", 1)
    assert receipt(order, CATALOG).splitlines() == ["   2 x Green tea", "   1 x Stoneware cup", "total 21.90"]
""",
        },
    ),
    Step(
        PRIYA,
        "Refuse to receive nothing or less (#17)\n\nA typo in a stock file took pieces away.",
        edit={
            "stockroom/inventory.py": [
                (
                    '        """Put new pieces on the shelf."""\n',
                    '        """Put new pieces on the shelf."""\n        if quantity <= 0:\n            raise ValueError(f"{sku}: cannot receive {quantity} pieces")\n',
                )
            ],
            "tests/test_inventory.py": [
                (
                    "def test_what_is_reserved",
                    """\
@pytest.mark.parametrize("quantity", [0, -3])
def test_nothing_or_less_is_not_received(inventory, quantity):
    with pytest.raises(ValueError):
        inventory.receive("TEA-01", quantity)


def test_what_is_reserved""",
                )
            ],
        },
    ),
    Step(
        TOMAS,
        "Time many small orders",
        branch="running-totals",
        write={
            "scripts/time_orders.py": '''\
"""Time 2,000 small orders: python scripts/time_orders.py"""

import time

from stockroom import Inventory

inventory = Inventory()
inventory.receive("TEA-01", 100_000)
started = time.perf_counter()
for _ in range(2_000):
    inventory.reserve("TEA-01", 2)
print(f"{time.perf_counter() - started:.2f} s")
''',
        },
    ),
    Step(
        MINA,
        "Show each line's price on the receipt",
        edit={
            "stockroom/receipts.py": [
                (
                    '    lines = [f"{line.quantity:>4} x {catalog.get(line.sku).name}" for line in order.lines]\n',
                    """\
    lines = []
    for line in order.lines:
        product = catalog.get(line.sku)
        lines.append(f"{line.quantity:>4} x {product.name:<20} {money.show(product.price * line.quantity):>8}")
""",
                )
            ],
            "tests/test_receipts.py": [
                (
                    '    assert receipt(order, CATALOG).splitlines() == ["   2 x Green tea", "   1 x Stoneware cup", "total 21.90"]\n',
                    '    lines = receipt(order, CATALOG).splitlines()\n    assert [line.split()[-1] for line in lines] == ["9.00", "12.90", "21.90"]\n',
                )
            ],
        },
    ),
    # The fault: while the sums become running totals, `quantity > free` becomes `quantity >= free`. All else in this commit is an improvement.
    Step(
        TOMAS,
        """\
Keep running totals instead of summing reservations (#19)

Every call of available() walked through all reservations ever made, so an
order cost more the more orders there were: 2,000 small ones took 0.4 s and
20,000 took most of a minute. Two counters say the same at once.

Parts of a reservation can be released now, and releasing more than is held
is refused instead of corrupting the totals.""",
        branch="running-totals",
        edit={
            "stockroom/inventory.py": [
                ("from dataclasses import dataclass\n", "from collections import Counter\n"),
                (
                    '''\
@dataclass(frozen=True)
class Reservation:
    """Pieces promised to an order."""

    sku: str
    quantity: int


''',
                    "",
                ),
                (
                    "        self._on_hand = {}\n        self._reservations = []\n",
                    "        self._on_hand = Counter()\n        self._held = Counter()\n",
                ),
                ("self._on_hand[sku] = self._on_hand.get(sku, 0) + quantity", "self._on_hand[sku] += quantity"),
                (
                    """\
        promised = sum(held.quantity for held in self._reservations if held.sku == sku)
        return self._on_hand.get(sku, 0) - promised
""",
                    "        return self._on_hand[sku] - self._held[sku]\n",
                ),
                ("        if quantity > free:\n", "        if quantity >= free:\n"),
                ("        self._reservations.append(Reservation(sku, quantity))\n", "        self._held[sku] += quantity\n"),
                (
                    "        self._reservations.remove(Reservation(sku, quantity))\n",
                    """\
        if quantity > self._held[sku]:
            raise ValueError(f"{sku}: {quantity} to release, {self._held[sku]} held")
        self._held[sku] -= quantity
""",
                ),
            ],
            "tests/test_inventory.py": [
                (
                    "def test_shipped_pieces",
                    """\
def test_part_of_a_reservation_can_be_released(inventory):
    inventory.reserve("TEA-01", 4)
    inventory.release("TEA-01", 3)
    assert inventory.available("TEA-01") == 9


def test_more_than_is_held_cannot_be_released(inventory):
    inventory.reserve("TEA-01", 4)
    with pytest.raises(ValueError, match="5 to release, 4 held"):
        inventory.release("TEA-01", 5)
    assert inventory.available("TEA-01") == 6


def test_shipped_pieces""",
                )
            ],
        },
    ),
    Step(
        JON,
        "Keep a day book of what came and went",
        write={
            "stockroom/daybook.py": '''\
"""What happened, in order."""

from dataclasses import dataclass, field


@dataclass
class DayBook:
    """Entries (what, code, quantity), oldest first."""

    entries: list = field(default_factory=list)

    def note(self, what, code, quantity):
        self.entries.append((what, code, quantity))

    def of(self, code):
        """Return the entries of one product."""
        return [entry for entry in self.entries if entry[1] == code]
''',
            "tests/test_daybook.py": """\
from stockroom.daybook import DayBook


def test_entries_keep_their_order():
    book = DayBook()
    book.note("received", "TEA-01", 10)
    book.note("received", "CUP-07", 3)
    book.note("shipped", "TEA-01", 2)
    assert book.of("TEA-01") == [("received", "TEA-01", 10), ("shipped", "TEA-01", 2)]
""",
        },
    ),
    Step(
        TOMAS,
        "Time twenty thousand orders now that it is fast",
        branch="running-totals",
        edit={"scripts/time_orders.py": [("Time 2,000 small", "Time 20,000 small"), ("range(2_000)", "range(20_000)")]},
    ),
    Step(PRIYA, "Merge branch 'running-totals'", merge="running-totals"),
]
