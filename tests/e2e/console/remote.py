"""An sshd of the test's own on loopback, and tmux: what stands between an operator and the console."""
import os
import shlex
import subprocess
import time

from harness import ROOT, binary, expect, free_port, wait_for

CLIENT, SERVER = "10.99.0.2", "10.99.0.1"


def descendants(pid):
    out = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True).stdout
    children = {}
    for line in out.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found[1:]


class Sshd:
    """Own host key, own user key, own configuration; it drops a dead link after 3 s. It listens on an address of its own, so that
    a test can take the client's away (lose) and give it back (found): packets then go nowhere, as on a dead link."""

    def __init__(self, scene):
        self.dir = scene.path("ssh")
        os.makedirs(self.dir, mode=0o700)
        os.makedirs("/run/sshd", exist_ok=True)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.dir}/{name}"], check=True)
        for address in (CLIENT, SERVER):
            self.ip("replace", address)
        self.port = free_port()
        with open(f"{self.dir}/sshd_config", "w") as f:
            f.write(f"""ListenAddress {SERVER}:{self.port}
HostKey {self.dir}/host
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
AuthorizedKeysFile {self.dir}/user.pub
PrintMotd no
PrintLastLog no
UseDNS no
ClientAliveInterval 1
ClientAliveCountMax 3
""")
        self.log = open(f"{self.dir}/log", "wb")
        self.process = scene.start(["/usr/sbin/sshd", "-D", "-e", "-f", f"{self.dir}/sshd_config"], stdout=self.log, stderr=self.log)
        scene.enders.append(self.end_sessions)
        wait_for("sshd to listen", self.listens)

    @staticmethod
    def ip(verb, address):
        subprocess.run(["ip", "addr", verb, f"{address}/32", "dev", "lo"], check=True)

    def lose(self):
        self.ip("del", CLIENT)

    def found(self):
        self.ip("replace", CLIENT)

    def listens(self):
        with open(f"{self.dir}/log", errors="replace") as f:
            return "Server listening" in f.read()

    def end_sessions(self):
        for pid in descendants(self.process.pid):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass

    def attach(self, socket_path):
        """The words that attach to the console through ssh."""
        remote = f"env LC_ALL=C.UTF-8 TZ=UTC {shlex.quote(binary())} --socket {shlex.quote(socket_path)} attach"
        return ["ssh", "-tt", "-F", "none", "-i", f"{self.dir}/user", "-p", str(self.port), "-b", CLIENT, "-o", "BatchMode=yes",
                "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.dir}/known", "-o", "LogLevel=ERROR",
                f"root@{SERVER}", remote]


class Tmux:
    """A tmux server of its own; the screen is what capture-pane says."""

    def __init__(self, scene, argv, rows=30, columns=100):
        self.socket = scene.path(f"tmux-{free_port()}")
        self.argv = argv
        self.run("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), shlex.join(argv))
        scene.enders.append(lambda: self.run("kill-server", check=False))

    def run(self, *words, check=True):
        env = dict(os.environ, TERM="xterm-256color", LC_ALL="C.UTF-8", TZ="UTC", ASAN_OPTIONS="detect_leaks=0")
        p = subprocess.run(["tmux", "-S", self.socket, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=ROOT)
        expect(not check or p.returncode == 0, f"tmux {words}: {p.stdout.decode()}")
        return p.stdout.decode("utf-8", "replace")

    def text(self):
        return self.run("capture-pane", "-p")

    def ended(self):
        """tmux ends with what runs in it."""
        return self.run("list-sessions", check=False).startswith(("no server", "error connecting"))

    def lines(self):
        return self.text().split("\n")

    def key(self, *keys):
        self.run("send-keys", *keys)

    def type(self, words):
        self.run("send-keys", "-l", words, check=False)

    def until(self, condition, what, timeout=10):
        last = [""]

        def met():
            last[0] = self.text()
            return condition(last[0])
        try:
            return wait_for(what, met, timeout, 0.03)
        except Exception as e:
            raise type(e)(f"{e}; the screen:\n{last[0]}")

    def wait(self, words, timeout=10):
        self.until(lambda screen: words in screen, repr(words), timeout)

    def again(self, keys, words, timeout=10):
        """Keys faster than an operator's: what comes within 300 ms of a box's first frame, or on rows that moved just now, does
        nothing, and the screen says so; then once more."""
        seen = [None]

        def met(screen):
            if seen[0] is None or (("too fast" in screen or "rows moved just now" in screen) and time.monotonic() - seen[0] > 0.4):
                seen[0] = time.monotonic()
                keys()
            return words(screen) if callable(words) else words in screen
        self.until(met, repr(words), timeout)

    def row(self, word):
        """The line of a table that begins with the word, or ''."""
        for line in self.lines():
            if line[2:].startswith(word + " "):
                return line
        return ""
