"""What every test process needs."""

import signal

from hypothesis import HealthCheck, settings

# A shell that starts the suite in the background has Ctrl-C ignored, and what a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples that are slow because the machine is busy are no failure: no test measures time.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
