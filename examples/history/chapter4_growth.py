"""Chapter four: what was built upon the faster inventory, much of it in the lines around the fault."""

from history.steps import JON, MINA, PRIYA, TOMAS, Step

STEPS = [
    Step(
        MINA,
        "Report what is held beside what is free (#21)",
        edit={
            "stockroom/inventory.py": [
                (
                    "    def reserve(self, sku, quantity):",
                    '''\
    def held(self, sku):
        """Return how many pieces are promised."""
        return self._held[sku]

    def reserve(self, sku, quantity):''',
                )
            ],
            "stockroom/reports.py": [
                (
                    '''\
    """Return one line for each product: code, name, free pieces."""
    return "\\n".join(f"{product.sku:<8} {product.name:<20} {inventory.available(product.sku):>5}" for product in catalog)
''',
                    '''\
    """Return one line for each product: code, name, held pieces, free pieces."""
    return "\\n".join(
        f"{product.sku:<8} {product.name:<20} {inventory.held(product.sku):>5} {inventory.available(product.sku):>5}" for product in catalog
    )
''',
                )
            ],
            "tests/test_reports.py": [
                (
                    "def test_stock_levels_has",
                    """\
def test_stock_levels_tells_held_pieces():
    inventory = stocked()
    inventory.reserve("TEA-01", 4)
    assert reports.stock_levels(CATALOG, inventory).splitlines()[1].split()[-2:] == ["4", "6"]


def test_stock_levels_has""",
                )
            ],
        },
    ),
    Step(
        JON,
        "Find products by name",
        edit={
            "stockroom/catalog.py": [
                (
                    "    def __contains__",
                    '''\
    def find(self, text):
        """Return the products whose name holds `text`, whatever the case."""
        return [product for product in self if text.casefold() in product.name.casefold()]

    def __contains__''',
                )
            ],
            "tests/test_catalog.py": [
                (
                    "def test_a_code_is",
                    'def test_products_are_found_by_part_of_their_name():\n    assert Catalog([TEA, CUP]).find("STONE") == [CUP]\n\n\ndef test_a_code_is',
                )
            ],
        },
    ),
    Step(
        PRIYA,
        "Call it a code in the inventory, as everywhere else (#22)",
        reword={"stockroom/inventory.py": ("sku", "code")},
        edit={"stockroom/inventory.py": [("        self.sku = sku\n", "        self.sku = sku\n        self.wanted = wanted\n")]},
    ),
    Step(
        TOMAS,
        "Send parcels for nothing above a limit",
        edit={
            "stockroom/shipping.py": [
                (
                    'def cost(grams):\n    """Return what a parcel of this weight costs, in cents."""\n',
                    "FREE_FROM = 10000  # cents\n\n\n"
                    "def cost(grams, worth=0):\n"
                    '    """Return what a parcel of this weight costs, in cents; nothing when its contents are worth enough."""\n'
                    "    if worth >= FREE_FROM:\n"
                    "        return 0\n",
                )
            ],
            "tests/test_shipping.py": [
                (
                    "def test_no_parcel",
                    "def test_a_large_order_is_sent_for_nothing():\n    assert shipping.cost(900, worth=10000) == 0\n    assert shipping.cost(900, worth=9999) == 490\n\n\n"
                    "def test_no_parcel",
                )
            ],
        },
    ),
    Step(
        PRIYA,
        "Note every movement in the day book",
        edit={
            "stockroom/inventory.py": [
                ("from collections import Counter\n", "from collections import Counter\n\nfrom stockroom.daybook import DayBook\n"),
                ("        self._held = Counter()\n", "        self._held = Counter()\n        self.daybook = DayBook()\n"),
                (
                    "        self._on_hand[code] += quantity\n",
                    '        self._on_hand[code] += quantity\n        self.daybook.note("received", code, quantity)\n',
                ),
                (
                    "        self._held[code] += quantity\n",
                    '        self._held[code] += quantity\n        self.daybook.note("reserved", code, quantity)\n',
                ),
                (
                    "        self._on_hand[code] -= quantity\n",
                    '        self._on_hand[code] -= quantity\n        self.daybook.note("shipped", code, quantity)\n',
                ),
            ],
            "tests/test_inventory.py": [
                (
                    "def test_more_than_there_is",
                    """\
def test_movements_are_in_the_day_book(inventory):
    inventory.reserve("TEA-01", 4)
    inventory.ship("TEA-01", 4)
    assert [entry[0] for entry in inventory.daybook.of("TEA-01")] == ["received", "reserved", "shipped"]


def test_more_than_there_is""",
                )
            ],
        },
    ),
    Step(
        JON,
        "Say available where we said free\n\nThe report, the error and the method now use one word. Closes #24.",
        edit={
            "stockroom/inventory.py": [
                ('    """More was asked for than is free."""\n', '    """More was asked for than is available."""\n'),
                (
                    '    def __init__(self, code, wanted, free):\n        super().__init__(f"{code}: {wanted} wanted, {free} free")\n',
                    '    def __init__(self, code, wanted, available):\n        super().__init__(f"{code}: {wanted} wanted, {available} available")\n',
                ),
                ("        free = self.available(code)\n", "        available = self.available(code)\n"),
                ("        if quantity >= free:\n", "        if quantity >= available:\n"),
                ("raise OutOfStock(code, quantity, free)", "raise OutOfStock(code, quantity, available)"),
            ],
            "stockroom/reports.py": [("held pieces, free pieces", "held pieces, available pieces")],
            "tests/test_inventory.py": [("7 wanted, 6 free", "7 wanted, 6 available")],
        },
    ),
    Step(
        MINA,
        "Add value-added tax",
        branch="tax",
        write={
            "stockroom/tax.py": '''\
"""Value-added tax."""

RATES = {"standard": 19, "reduced": 7}


def contained(cents, rate="standard"):
    """Return the tax contained in a gross price, rounded half up."""
    percent = RATES[rate]
    return (2 * cents * percent + 100 + percent) // (2 * (100 + percent))
''',
            "tests/test_tax.py": """\
from stockroom import tax


def test_the_tax_is_contained_in_the_price():
    assert tax.contained(11900) == 1900
    assert tax.contained(10700, "reduced") == 700


def test_half_a_cent_is_rounded_up():
    assert tax.contained(3) == 0
    assert tax.contained(4) == 1
""",
        },
    ),
    Step(
        TOMAS,
        "Share an amount without losing a cent (#25)",
        edit={
            "stockroom/money.py": [
                (
                    "def show(cents):",
                    '''\
def share(cents, parts):
    """Return `parts` amounts that differ by a cent at most and sum to `cents`, larger ones first."""
    each, rest = divmod(cents, parts)
    return [each + 1] * rest + [each] * (parts - rest)


def show(cents):''',
                )
            ],
            "tests/test_money.py": [
                (
                    "def test_show_always",
                    "def test_shares_sum_to_the_whole():\n    assert money.share(100, 3) == [34, 33, 33]\n\n\ndef test_show_always",
                )
            ],
        },
    ),
    Step(
        PRIYA,
        "Move the inventory to stock.py\n\nThe shelves, the reorder levels to come and the returns belong together. Refs #26.",
        move={"stockroom/inventory.py": "stockroom/stock.py", "tests/test_inventory.py": "tests/test_stock.py"},
        edit={
            "stockroom/__init__.py": [
                (
                    "from stockroom.inventory import Inventory, OutOfStock\nfrom stockroom.orders import Order\n",
                    "from stockroom.orders import Order\nfrom stockroom.stock import Inventory, OutOfStock\n",
                ),
            ],
            "tests/test_stock.py": [("from stockroom.inventory import", "from stockroom.stock import")],
        },
    ),
    Step(
        MINA,
        "Print the tax on receipts",
        branch="tax",
        edit={
            "stockroom/receipts.py": [
                ("from stockroom import money\n", "from stockroom import money, tax\n"),
                (
                    '    return "\\n".join([*lines, f"total {money.show(order.total(catalog, breaks))}"])\n',
                    "    total = order.total(catalog, breaks)\n"
                    '    return "\\n".join([*lines, f"of which tax {money.show(tax.contained(total))}", f"total {money.show(total)}"])\n',
                ),
            ],
            "tests/test_receipts.py": [('["9.00", "12.90", "21.90"]', '["9.00", "12.90", "3.50", "21.90"]')],
        },
    ),
    Step(
        JON,
        "Take returned pieces back onto the shelf (#26)",
        edit={
            "stockroom/stock.py": [
                (
                    "    def ship(self, code, quantity):",
                    '''\
    def take_back(self, code, quantity):
        """Put returned pieces back on the shelf."""
        self._on_hand[code] += quantity
        self.daybook.note("returned", code, quantity)

    def ship(self, code, quantity):''',
                )
            ],
            "tests/test_stock.py": [
                (
                    "def test_movements_are",
                    """\
def test_returned_pieces_are_available(inventory):
    inventory.reserve("TEA-01", 4)
    inventory.ship("TEA-01", 4)
    inventory.take_back("TEA-01", 1)
    assert inventory.available("TEA-01") == 7


def test_movements_are""",
                )
            ],
        },
    ),
    Step(MINA, "Merge branch 'tax'", merge="tax"),
    Step(
        TOMAS,
        "Let pieces be promised that are still to come (#27)",
        edit={
            "stockroom/stock.py": [
                ("    def reserve(self, code, quantity):\n", "    def reserve(self, code, quantity, backorder=False):\n"),
                ("        if quantity >= available:\n", "        if quantity >= available and not backorder:\n"),
            ],
            "tests/test_stock.py": [
                (
                    "def test_released_pieces",
                    """\
def test_a_backorder_may_go_below_nothing(inventory):
    inventory.reserve("TEA-01", 12, backorder=True)
    assert inventory.available("TEA-01") == -2


def test_released_pieces""",
                )
            ],
        },
    ),
    Step(
        TOMAS,
        "Place orders as backorders",
        edit={
            "stockroom/orders.py": [
                ("    def place(self, inventory):\n", "    def place(self, inventory, backorder=False):\n"),
                (
                    "                inventory.reserve(line.sku, line.quantity)\n",
                    "                inventory.reserve(line.sku, line.quantity, backorder=backorder)\n",
                ),
            ],
            "tests/test_orders.py": [
                (
                    "def test_a_cancelled_order",
                    """\
def test_a_backorder_is_placed_all_the_same(inventory):
    order(("CUP-07", 5)).place(inventory, backorder=True)
    assert inventory.available("CUP-07") == -2


def test_a_cancelled_order""",
                )
            ],
        },
    ),
    Step(
        MINA,
        "Release 0.3.0",
        edit={
            "pyproject.toml": [('version = "0.2.0"', 'version = "0.3.0"')],
            "CHANGES.md": [
                ("## 0.2.0", "## 0.3.0\n\n- Receipts with tax, a day book, returns and backorders; the inventory is fast.\n\n## 0.2.0")
            ],
        },
        tag="v0.3.0",
    ),
]
