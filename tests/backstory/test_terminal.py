"""Progress on a terminal and elsewhere."""

import io
import threading
import time

import pytest

from backstory import terminal

PLAIN = terminal.Appearance(colour=False, live=False, width=80)


@pytest.mark.parametrize(
    ("environ", "is_terminal", "colour", "live"),
    [
        ({}, True, True, True),
        ({}, False, False, False),
        ({"NO_COLOR": "1"}, True, False, True),
        ({"NO_COLOR": ""}, True, True, True),
        ({"FORCE_COLOR": "1"}, False, True, False),
        ({"FORCE_COLOR": "0"}, True, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False, False),
        ({"TERM": "dumb"}, True, False, False),
    ],
)
def test_the_environment_decides_colour_and_movement(environ, is_terminal, colour, live):
    """NO_COLOR is strongest, then FORCE_COLOR, then what the stream is; a dumb terminal neither moves nor colours."""
    look = terminal.appearance(environ, is_terminal=is_terminal)
    assert (look.colour, look.live) == (colour, live)


def test_columns_beat_the_terminal():
    """COLUMNS is what the user says; nonsense in it is passed over."""
    assert terminal.appearance({"COLUMNS": "120"}, is_terminal=True, terminal_width=70).width == 120
    assert terminal.appearance({"COLUMNS": "wide"}, is_terminal=True, terminal_width=70).width == 70
    assert terminal.appearance({}, is_terminal=False).width == terminal.DEFAULT_WIDTH


def test_plain_progress_is_a_line_at_each_end_of_a_phase():
    """However often a phase reports, the log holds where it began and where it ended."""
    stream = io.StringIO()
    screen = terminal.Plain(stream, PLAIN, clock=lambda: 0.0)
    for done in range(1001):
        screen.report("commits", done, 1000)
    screen.report("files", 1, None)
    screen.report("files", 7, None)
    screen.note("left out: a.py")
    screen.close()
    assert stream.getvalue().splitlines() == ["commits 0 of 1,000", "commits 1,000 of 1,000", "files 1", "left out: a.py", "files 7"]


def test_a_long_phase_shows_life():
    """A phase that goes on writes again after a while."""
    now = [0.0]
    stream = io.StringIO()
    screen = terminal.Plain(stream, PLAIN, clock=lambda: now[0])
    for done in range(4):
        now[0] = done * (terminal.PLAIN_EVERY_S / 2 + 1)
        screen.report("checks", done, 10)
    assert stream.getvalue().splitlines() == ["checks 0 of 10", "checks 2 of 10"]


def test_nothing_foreign_reaches_the_screen():
    """A phase or note with control sequences is shown without them, on every kind of screen."""
    for look, quiet in [(PLAIN, False), (PLAIN, True), (terminal.Appearance(colour=False, live=True, width=60), False)]:
        stream = io.StringIO()
        screen = terminal.open_screen(stream, look, quiet=quiet)
        screen.report("\x1b]0;title\x07phase", 1, 2)
        screen.note("evil \x1b]52;c;eA==\x07\u202eword\n::error::x", style="notice")
        screen.close()
        assert "\x1b]" not in stream.getvalue() and "\u202e" not in stream.getvalue() and "\n::" not in stream.getvalue()
        assert "evil word" in stream.getvalue()


def test_live_progress_ends_with_every_phase_shown():
    """The bars stay on the screen with their last counts, and the cursor is given back."""
    stream = io.StringIO()
    screen = terminal.open_screen(stream, terminal.Appearance(colour=False, live=True, width=80), quiet=False)
    screen.report("commits", 5, None)
    screen.report("files", 2, 4)
    screen.note("said meanwhile")
    screen.report("files", 4, 4)
    screen.close()
    last = stream.getvalue()
    assert "said meanwhile" in last and "4 of 4" in last and "commits" in last
    assert last.rstrip("\n").endswith("\x1b[?25h")


def test_what_is_worked_on_at_once_has_a_row_each_until_it_ends():
    """Rows are told from any thread, follow what they say, and are gone at the end; where nothing moves in place nothing is written."""
    live, plain = io.StringIO(), io.StringIO()
    screen = terminal.open_screen(live, terminal.Appearance(colour=False, live=True, width=100), quiet=False)
    screen.report("instances", 0, 2)
    threads = [threading.Thread(target=screen.at_work, args=(f"octo__cat-{number}", "environ\x1b]0;x\x07ment")) for number in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    screen.at_work("octo__cat-0", "tests")
    while "tests" not in live.getvalue():  # rows are drawn anew some times a second
        time.sleep(0.01)
    assert "octo__cat-0" in live.getvalue() and "octo__cat-1" in live.getvalue() and "\x1b]" not in live.getvalue()
    screen.at_work("octo__cat-0", "")
    screen.report("instances", 1, 2)
    screen.close()
    last = live.getvalue().rpartition("instances")[2]
    assert "1 of 2" in last and "octo__cat" not in last
    still = terminal.open_screen(plain, PLAIN, quiet=False)
    still.at_work("octo__cat-0", "tests")
    assert plain.getvalue() == ""


def test_quiet_keeps_warnings():
    """--quiet leaves out progress and remarks, never a warning."""
    stream = io.StringIO()
    screen = terminal.open_screen(stream, PLAIN, quiet=True)
    screen.report("commits", 5, None)
    screen.note("a remark")
    screen.note("ignored key", style="notice")
    assert stream.getvalue() == "ignored key\n"
