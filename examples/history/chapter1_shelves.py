"""Chapter one: money, products, shelves, and the first report."""

from history.steps import JON, MINA, PRIYA, Step

STEPS = [
    Step(
        MINA,
        "Start the stockroom with money in whole cents",
        write={
            "README.md": """\
# Stockroom

A small library for a shop with shelves: products, stock, orders, prices and reports. Pure Python, no dependencies.

    python -m pytest
""",
            "pyproject.toml": """\
[project]
name = "stockroom"
version = "0.0.1"
requires-python = ">=3.9"

[tool.pytest.ini_options]
testpaths = ["tests"]
""",
            ".gitignore": "__pycache__/\n.pytest_cache/\n*.egg-info/\n",
            "stockroom/__init__.py": '"""A small library for a shop with shelves."""\n',
            "stockroom/money.py": '''\
"""Money is whole cents, so that sums are exact."""


def parse(text):
    """Return the cents in an amount such as "12.50" or "3"."""
    whole, _, fraction = text.strip().partition(".")
    return int(whole) * 100 + int((fraction + "00")[:2])


def show(cents):
    """Return an amount for people, with two digits after the point."""
    return f"{cents // 100}.{cents % 100:02d}"
''',
            "tests/test_money.py": """\
from stockroom import money


def test_parse_reads_whole_and_fractional_amounts():
    assert money.parse("12.50") == 1250
    assert money.parse("3") == 300
    assert money.parse(" 0.5 ") == 50


def test_show_always_has_two_digits():
    assert money.show(1205) == "12.05"
    assert money.show(7) == "0.07"
""",
        },
    ),
    Step(
        MINA,
        "Read amounts with a thousands separator (#2)",
        edit={
            "stockroom/money.py": [('text.strip().partition(".")', 'text.strip().replace(",", "").partition(".")')],
            "tests/test_money.py": [
                (
                    'assert money.parse(" 0.5 ") == 50\n',
                    'assert money.parse(" 0.5 ") == 50\n    assert money.parse("1,200.00") == 120000\n',
                )
            ],
        },
    ),
    Step(
        JON,
        "Show negative amounts with the sign in front\n\nshow(-5) printed -1.95, because // rounds down. Fixes #3.",
        edit={
            "stockroom/money.py": [
                (
                    '    return f"{cents // 100}.{cents % 100:02d}"\n',
                    '    sign = "-" if cents < 0 else ""\n    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"\n',
                )
            ],
            "tests/test_money.py": [
                (
                    'assert money.show(7) == "0.07"\n',
                    'assert money.show(7) == "0.07"\n\n\ndef test_show_puts_the_sign_in_front():\n    assert money.show(-5) == "-0.05"\n',
                )
            ],
        },
    ),
    Step(
        MINA,
        "Add products and a catalog",
        write={
            "stockroom/catalog.py": '''\
"""What the shop sells."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """Something for sale. price: cents for one. weight: grams of one."""

    sku: str
    name: str
    price: int
    weight: int = 0


class Catalog:
    """Products by their code."""

    def __init__(self, products=()):
        self._products = {product.sku: product for product in products}

    def add(self, product):
        self._products[product.sku] = product

    def get(self, sku):
        return self._products[sku]

    def __contains__(self, sku):
        return sku in self._products

    def __iter__(self):
        return iter(sorted(self._products.values(), key=lambda product: product.sku))
''',
            "tests/test_catalog.py": """\
from stockroom.catalog import Catalog, Product

TEA = Product("TEA-01", "Green tea", 450, weight=120)
CUP = Product("CUP-07", "Stoneware cup", 1290, weight=310)


def test_a_product_is_found_by_its_code():
    catalog = Catalog([TEA])
    catalog.add(CUP)
    assert catalog.get("CUP-07") is CUP
    assert "TEA-01" in catalog
    assert "TEA-02" not in catalog


def test_products_come_in_the_order_of_their_codes():
    assert list(Catalog([TEA, CUP])) == [CUP, TEA]
""",
        },
    ),
    Step(
        JON,
        "Refuse a second product with the same code (#4)",
        edit={
            "stockroom/catalog.py": [
                (
                    "        self._products = {product.sku: product for product in products}\n",
                    "        self._products = {}\n        for product in products:\n            self.add(product)\n",
                ),
                (
                    "    def add(self, product):\n",
                    "    def add(self, product):\n"
                    "        if product.sku in self._products:\n"
                    '            raise ValueError(f"there is already a product {product.sku}")\n',
                ),
            ],
            "tests/test_catalog.py": [
                ("from stockroom.catalog", "import pytest\n\nfrom stockroom.catalog"),
                (
                    "def test_products_come_in",
                    "def test_a_code_is_given_once():\n"
                    '    with pytest.raises(ValueError, match="TEA-01"):\n'
                    "        Catalog([TEA, TEA])\n\n\n"
                    "def test_products_come_in",
                ),
            ],
        },
    ),
    Step(
        PRIYA,
        "Add an inventory that receives and reserves",
        write={
            "stockroom/inventory.py": '''\
"""What lies on the shelves, and what of it is promised to orders."""

from dataclasses import dataclass


class OutOfStock(Exception):
    """More was asked for than is free."""


@dataclass(frozen=True)
class Reservation:
    """Pieces promised to an order."""

    sku: str
    quantity: int


class Inventory:
    """Pieces of each product, by its code."""

    def __init__(self):
        self._on_hand = {}
        self._reservations = []

    def receive(self, sku, quantity):
        """Put new pieces on the shelf."""
        self._on_hand[sku] = self._on_hand.get(sku, 0) + quantity

    def available(self, sku):
        """Return how many pieces are promised to nobody."""
        promised = sum(held.quantity for held in self._reservations if held.sku == sku)
        return self._on_hand.get(sku, 0) - promised

    def reserve(self, sku, quantity):
        """Promise pieces to an order. Raises OutOfStock when there are too few."""
        free = self.available(sku)
        if quantity > free:
            raise OutOfStock(sku, quantity, free)
        self._reservations.append(Reservation(sku, quantity))
''',
            "tests/test_inventory.py": """\
import pytest

from stockroom.inventory import Inventory, OutOfStock


@pytest.fixture
def inventory():
    inventory = Inventory()
    inventory.receive("TEA-01", 10)
    return inventory


def test_what_is_received_is_available(inventory):
    inventory.receive("TEA-01", 5)
    assert inventory.available("TEA-01") == 15
    assert inventory.available("CUP-07") == 0


def test_what_is_reserved_is_no_longer_available(inventory):
    inventory.reserve("TEA-01", 4)
    assert inventory.available("TEA-01") == 6


def test_more_than_there_is_cannot_be_reserved(inventory):
    inventory.reserve("TEA-01", 4)
    with pytest.raises(OutOfStock):
        inventory.reserve("TEA-01", 7)
    assert inventory.available("TEA-01") == 6
""",
        },
    ),
    Step(
        PRIYA,
        "Export the names people use from the package",
        write={
            "stockroom/__init__.py": '''\
"""A small library for a shop with shelves."""

from stockroom.catalog import Catalog, Product
from stockroom.inventory import Inventory, OutOfStock

__all__ = ["Catalog", "Inventory", "OutOfStock", "Product"]
''',
        },
    ),
    Step(
        PRIYA,
        "Ship what was reserved, and take reservations back",
        edit={
            "stockroom/inventory.py": [
                (
                    "        self._reservations.append(Reservation(sku, quantity))\n",
                    '''\
        self._reservations.append(Reservation(sku, quantity))

    def release(self, sku, quantity):
        """Take a promise back."""
        self._reservations.remove(Reservation(sku, quantity))

    def ship(self, sku, quantity):
        """Send promised pieces away."""
        self.release(sku, quantity)
        self._on_hand[sku] -= quantity
''',
                )
            ],
            "tests/test_inventory.py": [
                (
                    "def test_more_than_there_is",
                    """\
def test_released_pieces_are_available_again(inventory):
    inventory.reserve("TEA-01", 4)
    inventory.release("TEA-01", 4)
    assert inventory.available("TEA-01") == 10


def test_shipped_pieces_are_gone(inventory):
    inventory.reserve("TEA-01", 4)
    inventory.ship("TEA-01", 4)
    assert inventory.available("TEA-01") == 6


def test_more_than_there_is""",
                )
            ],
        },
    ),
    Step(
        JON,
        "Say what is missing in OutOfStock\n\nA bare tuple in the log helps nobody. Refs #6.",
        edit={
            "stockroom/inventory.py": [
                (
                    '    """More was asked for than is free."""\n',
                    '''\
    """More was asked for than is free."""

    def __init__(self, sku, wanted, free):
        super().__init__(f"{sku}: {wanted} wanted, {free} free")
        self.sku = sku
''',
                )
            ],
            "tests/test_inventory.py": [("pytest.raises(OutOfStock):", 'pytest.raises(OutOfStock, match="TEA-01: 7 wanted, 6 free"):')],
        },
    ),
    Step(
        MINA,
        "Add a report of stock levels",
        write={
            "stockroom/reports.py": '''\
"""Plain-text reports."""


def stock_levels(catalog, inventory):
    """Return one line for each product: code, name, free pieces."""
    return "\\n".join(f"{product.sku:<8} {product.name:<20} {inventory.available(product.sku):>5}" for product in catalog)
''',
            "tests/test_reports.py": """\
from stockroom import Catalog, Inventory, Product
from stockroom import reports

CATALOG = Catalog([Product("TEA-01", "Green tea", 450), Product("CUP-07", "Stoneware cup", 1290)])


def stocked():
    inventory = Inventory()
    inventory.receive("TEA-01", 10)
    inventory.receive("CUP-07", 3)
    return inventory


def test_stock_levels_has_a_line_for_each_product():
    lines = reports.stock_levels(CATALOG, stocked()).splitlines()
    assert [line.split()[0] for line in lines] == ["CUP-07", "TEA-01"]
    assert [line.split()[-1] for line in lines] == ["3", "10"]
""",
        },
    ),
    Step(
        MINA,
        "Release 0.1.0",
        edit={"pyproject.toml": [('version = "0.0.1"', 'version = "0.1.0"')]},
        write={"CHANGES.md": "# Changes\n\n## 0.1.0\n\n- Money, products, shelves and a report of stock levels.\n"},
        tag="v0.1.0",
    ),
]
