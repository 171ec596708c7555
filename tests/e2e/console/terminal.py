"""A terminal for tests of the console: a real pty (pexpect), a screen (pyte), every byte kept."""
import os
import signal
import time

import pexpect
import pyte

import harness
from harness import Failure, binary

MARK = ">"


class Screen(pyte.Screen):
    """pyte knows no back tab, by which ncurses goes left, and no scrolling of a region: without them text lands in the wrong place, and
    a row stands where the terminal shows another."""

    def back_tab(self, count=None):
        for _ in range(count or 1):
            self.cursor.x = max([stop for stop in self.tabstops if stop < self.cursor.x], default=0)

    def scroll(self, from_line, step, count):
        y = self.cursor.y
        self.cursor.y = from_line
        for _ in range(count or 1):
            step()
        self.cursor.y = y

    def scroll_up(self, count=None):
        self.scroll(self.margins.bottom if self.margins else self.lines - 1, self.index, count)

    def scroll_down(self, count=None):
        self.scroll(self.margins.top if self.margins else 0, self.reverse_index, count)


class Stream(pyte.ByteStream):
    csi = dict(pyte.ByteStream.csi, Z="back_tab", S="scroll_up", T="scroll_down")
    events = pyte.ByteStream.events | {"back_tab", "scroll_up", "scroll_down"}


class Terminal:
    def __init__(self, scene, socket_path, rows=30, columns=100, term="tmux-256color", args=(), env=None, argv=None):
        self.rows, self.columns = rows, columns
        self.screen = Screen(columns, rows)
        self.stream = Stream(self.screen)
        self.raw = bytearray()
        full = dict(os.environ, TERM=term, LC_ALL="C.UTF-8", TZ="UTC", ASAN_OPTIONS="detect_leaks=0")
        full.pop("NO_COLOR", None)
        full.update(env or {})
        argv = argv or [binary(), "--socket", socket_path, "attach", *args]
        self.child = pexpect.spawn(argv[0], argv[1:], dimensions=(rows, columns), env=full, timeout=20)
        self.child.delaybeforesend = None
        scene.enders.append(self.close)

    def close(self):
        if self.child.isalive():
            self.child.kill(signal.SIGKILL)
        self.child.close(force=True)

    def pump(self, seconds=0.02):
        """Reads what is there, for at most that long."""
        try:
            data = self.child.read_nonblocking(65536, timeout=seconds)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        # pyte takes a private CSI of ncurses for text; it is of no matter here.
        self.stream.feed(data)
        return True

    def drain(self):
        """Reads what is there and looks at none of it: a terminal that costs next to nothing."""
        try:
            while self.child.read_nonblocking(65536, timeout=0):
                pass
        except (pexpect.TIMEOUT, pexpect.EOF):
            pass

    def settle(self, seconds=0.15):
        """Until nothing came for so long; a console that refreshes four times a second has such gaps."""
        end = time.monotonic() + 2
        quiet = time.monotonic()
        while time.monotonic() < end and time.monotonic() - quiet < seconds:
            before = len(self.raw)
            self.pump()
            if len(self.raw) != before:
                quiet = time.monotonic()

    def text(self):
        return "\n".join(self.screen.display)

    def row_with(self, words):
        for line in self.screen.display:
            if words in line:
                return line
        return None

    def marked(self):
        """The name in the cursor's row, or None."""
        for line in self.screen.display[3:]:
            if line.startswith(MARK + " "):
                return line[2:].split()[0] if "  gone" not in line else None
        return None

    def send(self, keys):
        self.child.send(keys)

    def wait(self, words, timeout=10):
        self.until(lambda: words in self.text(), words, timeout)

    def until(self, condition, what, timeout=10):
        deadline = time.monotonic() + timeout * harness.SLOW
        while not condition():
            if not self.pump() or time.monotonic() > deadline:
                if condition():
                    return
                raise Failure(f"waited for {what!r} on this screen:\n{self.text()}")

    def key(self, keys, words=None):
        self.send(keys)
        if words:
            self.wait(words)
        else:
            self.settle()

    def act(self, key, words):
        """As an operator does who is told that rows moved just now: once more."""
        self.send(key)
        self.until(lambda: words in self.text() or self.row_with("rows moved just now"), words)
        if words not in self.text():
            self.settle(0.35)
            self.key(key, words)

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def ended(self, timeout=10):
        deadline = time.monotonic() + timeout * harness.SLOW
        while self.pump(0.05):
            if time.monotonic() > deadline:
                raise Failure("the client is still there:\n" + self.text())
        self.child.wait()
        return self.child.exitstatus
