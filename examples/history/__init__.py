"""The history of the example repository, chapter by chapter; `build_example.py` turns it into commits."""

from history import chapter1_shelves, chapter2_orders, chapter3_speed, chapter4_growth, chapter5_today
from history.steps import Step

STEPS: list[Step] = [*chapter1_shelves.STEPS, *chapter2_orders.STEPS, *chapter3_speed.STEPS, *chapter4_growth.STEPS, *chapter5_today.STEPS]
