"""What every test process needs."""

import signal

# A shell that starts the suite in the background has Ctrl-C ignored, and what a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
