"""Chapter two: orders, and two branches that bring discounts and shipping."""

from history.steps import JON, MINA, PRIYA, TOMAS, Step

STEPS = [
    Step(
        PRIYA,
        "Add orders and their totals",
        write={
            "stockroom/orders.py": '''\
"""What customers ask for."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Line:
    """One product of an order."""

    sku: str
    quantity: int


@dataclass
class Order:
    """An order. lines: in the order they were added."""

    number: int
    lines: list = field(default_factory=list)

    def add(self, sku, quantity):
        self.lines.append(Line(sku, quantity))

    def total(self, catalog):
        """Return the price of all lines in cents."""
        return sum(catalog.get(line.sku).price * line.quantity for line in self.lines)
''',
            "tests/test_orders.py": """\
import pytest

from stockroom import Catalog, Inventory, OutOfStock, Product
from stockroom.orders import Order

CATALOG = Catalog([Product("TEA-01", "Green tea", 450, weight=120), Product("CUP-07", "Stoneware cup", 1290, weight=310)])


@pytest.fixture
def inventory():
    inventory = Inventory()
    inventory.receive("TEA-01", 10)
    inventory.receive("CUP-07", 3)
    return inventory


def order(*lines):
    order = Order(1)
    for sku, quantity in lines:
        order.add(sku, quantity)
    return order


def test_the_total_counts_every_line():
    assert order(("TEA-01", 2), ("CUP-07", 1)).total(CATALOG) == 2190


def test_an_empty_order_costs_nothing():
    assert order().total(CATALOG) == 0
""",
        },
    ),
    Step(
        PRIYA,
        "Place an order by reserving its lines (#8)",
        edit={
            "stockroom/orders.py": [
                (
                    "    def total(self, catalog):",
                    '''\
    def place(self, inventory):
        """Reserve every line."""
        for line in self.lines:
            inventory.reserve(line.sku, line.quantity)

    def total(self, catalog):''',
                )
            ],
            "tests/test_orders.py": [
                (
                    "def test_an_empty_order",
                    """\
def test_a_placed_order_holds_its_pieces(inventory):
    order(("TEA-01", 2), ("CUP-07", 1)).place(inventory)
    assert inventory.available("TEA-01") == 8
    assert inventory.available("CUP-07") == 2


def test_an_empty_order""",
                )
            ],
        },
    ),
    Step(
        JON,
        "Export orders from the package",
        edit={
            "stockroom/__init__.py": [
                ("import Inventory, OutOfStock\n", "import Inventory, OutOfStock\nfrom stockroom.orders import Order\n"),
                ('"Inventory", "OutOfStock", "Product"', '"Inventory", "Order", "OutOfStock", "Product"'),
            ],
        },
    ),
    Step(
        TOMAS,
        "Add price breaks for larger quantities",
        branch="discounts",
        write={
            "stockroom/discounts.py": '''\
"""Lower prices for those who buy more."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Break:
    """From `minimum` pieces on, `percent` off."""

    minimum: int
    percent: int


def percent_off(breaks, quantity):
    """Return the largest discount that `quantity` pieces reach, in percent."""
    return max((each.percent for each in breaks if quantity >= each.minimum), default=0)
''',
            "tests/test_discounts.py": """\
from stockroom.discounts import Break, percent_off

BREAKS = [Break(10, 5), Break(50, 12)]


def test_a_break_counts_from_its_minimum_on():
    assert percent_off(BREAKS, 9) == 0
    assert percent_off(BREAKS, 10) == 5
    assert percent_off(BREAKS, 49) == 5
    assert percent_off(BREAKS, 50) == 12


def test_without_breaks_nothing_is_off():
    assert percent_off([], 1000) == 0
""",
        },
    ),
    Step(
        TOMAS,
        "Round discounts in the customer's favour (#11)",
        branch="discounts",
        edit={
            "stockroom/discounts.py": [
                (
                    "each.minimum), default=0)\n",
                    '''\
each.minimum), default=0)


def discounted(cents, percent):
    """Return a price with `percent` off, rounded down."""
    return cents * (100 - percent) // 100
''',
                )
            ],
            "tests/test_discounts.py": [
                ("import Break, percent_off", "import Break, discounted, percent_off"),
                (
                    "def test_without_breaks",
                    "def test_a_discounted_price_is_rounded_down():\n    assert discounted(999, 5) == 949\n\n\ndef test_without_breaks",
                ),
            ],
        },
    ),
    Step(
        MINA,
        "Add shipping by weight bands",
        branch="shipping",
        write={
            "stockroom/shipping.py": '''\
"""What it costs to send an order."""

# (grams up to and including, cents)
BANDS = [(500, 290), (2000, 490), (10000, 990)]


class TooHeavy(Exception):
    """No parcel takes it."""


def cost(grams):
    """Return what a parcel of this weight costs, in cents."""
    for limit, cents in BANDS:
        if grams <= limit:
            return cents
    raise TooHeavy(f"{grams} g is more than a parcel takes")
''',
            "tests/test_shipping.py": """\
import pytest

from stockroom import shipping


def test_a_band_includes_its_limit():
    assert shipping.cost(500) == 290
    assert shipping.cost(501) == 490


def test_no_parcel_takes_a_piano():
    with pytest.raises(shipping.TooHeavy):
        shipping.cost(240_000)
""",
        },
    ),
    Step(
        JON,
        "Give reservations back when a later line cannot be met\n\nplace() left the first lines reserved when the third was out of stock. Fixes #9.",
        edit={
            "stockroom/orders.py": [
                (
                    '''\
        """Reserve every line."""
        for line in self.lines:
            inventory.reserve(line.sku, line.quantity)
''',
                    '''\
        """Reserve every line, or none when one cannot be met."""
        done = []
        try:
            for line in self.lines:
                inventory.reserve(line.sku, line.quantity)
                done.append(line)
        except Exception:
            for line in done:
                inventory.release(line.sku, line.quantity)
            raise
''',
                )
            ],
            "tests/test_orders.py": [
                (
                    "def test_an_empty_order",
                    """\
def test_an_order_that_cannot_be_met_holds_nothing(inventory):
    with pytest.raises(OutOfStock):
        order(("TEA-01", 2), ("CUP-07", 4)).place(inventory)
    assert inventory.available("TEA-01") == 10


def test_an_empty_order""",
                )
            ],
        },
    ),
    Step(MINA, "Merge branch 'shipping'", merge="shipping"),
    Step(
        MINA,
        "Weigh orders",
        edit={
            "stockroom/orders.py": [
                (
                    "    def total(self, catalog):",
                    '''\
    def weight(self, catalog):
        """Return the weight of all lines in grams."""
        return sum(catalog.get(line.sku).weight * line.quantity for line in self.lines)

    def total(self, catalog):''',
                )
            ],
            "tests/test_orders.py": [
                (
                    "def test_an_empty_order",
                    'def test_the_weight_counts_every_line():\n    assert order(("TEA-01", 2), ("CUP-07", 1)).weight(CATALOG) == 550\n\n\ndef test_an_empty_order',
                )
            ],
        },
    ),
    Step(
        TOMAS,
        "Stack a coupon on a price break",
        branch="discounts",
        edit={
            "stockroom/discounts.py": [
                (
                    "def discounted(",
                    '''\
def combined(first, second):
    """Return what two discounts come to when the second is taken off the rest, in percent, rounded down."""
    return 100 - -(-(100 - first) * (100 - second) // 100)


def discounted(''',
                )
            ],
            "tests/test_discounts.py": [
                ("import Break, discounted, percent_off", "import Break, combined, discounted, percent_off"),
                (
                    "def test_without_breaks",
                    "def test_a_coupon_counts_on_the_rest():\n    assert combined(10, 10) == 19\n    assert combined(0, 15) == 15\n\n\ndef test_without_breaks",
                ),
            ],
        },
    ),
    Step(TOMAS, "Merge branch 'discounts'", merge="discounts"),
    Step(
        TOMAS,
        "Take price breaks into account in the total (#12)",
        edit={
            "stockroom/orders.py": [
                (
                    "from dataclasses import dataclass, field\n",
                    "from dataclasses import dataclass, field\n\nfrom stockroom.discounts import discounted, percent_off\n",
                ),
                (
                    '''\
    def total(self, catalog):
        """Return the price of all lines in cents."""
        return sum(catalog.get(line.sku).price * line.quantity for line in self.lines)
''',
                    '''\
    def total(self, catalog, breaks=()):
        """Return the price of all lines in cents, less what each line's quantity earns."""
        total = 0
        for line in self.lines:
            price = catalog.get(line.sku).price * line.quantity
            total += discounted(price, percent_off(breaks, line.quantity))
        return total
''',
                ),
            ],
            "tests/test_orders.py": [
                ("from stockroom.orders import Order\n", "from stockroom.discounts import Break\nfrom stockroom.orders import Order\n"),
                (
                    "def test_the_weight_counts",
                    'def test_a_break_counts_for_its_line_alone():\n    assert order(("TEA-01", 10), ("CUP-07", 1)).total(CATALOG, [Break(10, 10)]) == 4050 + 1290\n\n\n'
                    "def test_the_weight_counts",
                ),
            ],
        },
    ),
    Step(
        PRIYA,
        "Cancel a placed order",
        edit={
            "stockroom/orders.py": [
                (
                    "    def weight(self, catalog):",
                    '''\
    def cancel(self, inventory):
        """Give back what placing the order reserved."""
        for line in self.lines:
            inventory.release(line.sku, line.quantity)

    def weight(self, catalog):''',
                )
            ],
            "tests/test_orders.py": [
                (
                    "def test_the_weight_counts",
                    """\
def test_a_cancelled_order_gives_its_pieces_back(inventory):
    placed = order(("TEA-01", 2))
    placed.place(inventory)
    placed.cancel(inventory)
    assert inventory.available("TEA-01") == 10


def test_the_weight_counts""",
                )
            ],
        },
    ),
    Step(
        MINA,
        "Release 0.2.0",
        edit={
            "pyproject.toml": [('version = "0.1.0"', 'version = "0.2.0"')],
            "CHANGES.md": [("## 0.1.0", "## 0.2.0\n\n- Orders, price breaks, coupons and shipping.\n\n## 0.1.0")],
        },
        tag="v0.2.0",
    ),
]
