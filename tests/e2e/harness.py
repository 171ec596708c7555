"""What end-to-end tests share: Stoker itself, real peers (NSD, Postfix, smtp-source, smtp-sink, swaks) and waiting for things.
Everything runs on loopback; every process that is started here is ended here, by its own id."""
import collections
import fcntl
import glob
import hashlib
import importlib
import json
import mailbox
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLAVOUR = "plain"
SLOW = 1  # sanitizers: deadlines are this many times longer


def use_flavour(name):
    global FLAVOUR, SLOW
    FLAVOUR = name
    SLOW = 1 if name in ("plain", "mutant") else 4


def binary(flavour=None):
    return os.path.join(ROOT, "build", flavour or FLAVOUR, "stoker")


_tests = []


def test(flavours=("plain", "asan"), alone=False):
    """Marks a function test(full) as an end-to-end test; it returns in words what was found, or raises. One that measures
    time or CPU runs alone, but not with sanitizers, where such numbers say nothing (its bounds are SLOW times wider there);
    the others run several at once, each in a network of its own."""
    def mark(f):
        f.flavours, f.alone = flavours, alone
        _tests.append((f.__module__.replace("test_", "", 1) + "." + f.__name__, f))
        return f
    return mark


def collect(names):
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/e2e/test_*.py"))):
        importlib.import_module(os.path.basename(path)[:-3])
    for name, f in _tests:
        if names and not any(n in name for n in names):
            continue
        if (FLAVOUR if FLAVOUR != "mutant" else "plain") in f.flavours:
            yield name, f


class Failure(Exception):
    pass


def expect(condition, words):
    if not condition:
        raise Failure(words)


def show_failure(e):
    if not isinstance(e, Failure):
        traceback.print_exception(type(e), e, e.__traceback__)
    else:
        tb = traceback.extract_tb(e.__traceback__)
        for frame in tb[-4:]:
            print(f"     {os.path.basename(frame.filename)}:{frame.lineno} {frame.line}")


def wait_for(what, condition, timeout=20.0, every=0.02):
    """Waits for condition() to be true and returns its value; no fixed sleeps anywhere else."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {timeout * SLOW:.0f} s for: {what}")
        threading.Event().wait(every)


PORTS = range(10000, 30000)  # below Linux's ephemeral range: no client's port, open or in TIME_WAIT, is in the way


def free_port():
    """A port that nobody has for TCP or UDP (NSD wants both), never the same twice in a run, whichever test process asks: a
    locked file holds the next one."""
    name = os.path.join(tempfile.gettempdir(), f"stoker-test-ports.{os.geteuid()}")
    with os.fdopen(os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        n = int(f.read() or 0)
        while not bindable(PORTS[n % len(PORTS)]):
            n += 1
        f.seek(0)
        f.write(f"{n + 1:10d}")
        return PORTS[n % len(PORTS)]


def bindable(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True


def in_own_network(argv):
    """argv, to be run in a network namespace of its own with only loopback: nothing can leave the machine, and ports and
    addresses are free whatever else runs here."""
    if os.environ.get("STOKER_TEST_NETNS") or os.geteuid() != 0:
        return argv
    return ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec env STOKER_TEST_NETNS=1 "$@"', "sh", *argv]


def own_network():
    """Runs this program again in a network of its own."""
    argv = in_own_network([sys.executable, *sys.argv])
    if argv[0] == "unshare":
        os.execvp(argv[0], argv)


class Scene:
    """A folder and everything that was started in it; `with Scene() as s:` ends and removes all of it."""

    def __init__(self, base=None):
        self.dir = tempfile.mkdtemp(prefix="stoker-test-", dir=base)
        os.chmod(self.dir, 0o755)
        self.enders = []
        self.keep = False

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        for end in reversed(self.enders):
            try:
                end()
            except Exception as e:  # the first failure is the one that counts
                print("     (ending: %s)" % e)
        if kind is not None:
            self.show_logs()
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        return False

    def show_logs(self):
        for name in sorted(glob.glob(self.dir + "/*/error.log") + glob.glob(self.dir + "/error.log")):
            with open(name, errors="replace") as f:
                tail = f.readlines()[-40:]
            if tail:
                print(f"     --- {name}")
                print("     " + "     ".join(tail))

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def start(self, argv, **kw):
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, **kw)
        self.enders.append(lambda: end_process(p))
        return p

    def peer(self, what, up, argv, log):
        """Starts a server that somebody else wrote and waits for up(); one that ends instead fails at once with its log."""
        with open(log, "ab") as out:
            p = self.start(argv, stdout=out, stderr=out)

        def there():
            if p.poll() is not None:
                with open(log, errors="replace") as f:
                    raise Failure(f"{what}: {argv[0]} ended with {p.returncode}: {f.read()[-2000:]}")
            return up()
        wait_for(what, there)
        return p


class Stolen:
    """When the machine stood still (stolen.py). Without the right to high priorities nothing is known, and nothing is taken off."""

    def __init__(self, scene):
        self.logs = []
        for cpu in os.sched_getaffinity(0):
            self.logs.append(scene.path(f"stolen.{cpu}"))
            with open(self.logs[-1], "wb") as out:
                scene.start([sys.executable, os.path.join(ROOT, "tests/e2e/stolen.py"), str(cpu)], stdout=out,
                            stderr=subprocess.DEVNULL)

    @staticmethod
    def read(name):
        with open(name) as f:
            return [tuple(map(float, line.split())) for line in f if line.endswith("\n")]

    def during(self, since, until):
        """Seconds of that time for which a CPU stood still: the one where it was longest."""
        return max((sum(max(0.0, min(until, b) - max(since, a)) for a, b in self.read(name)) for name in self.logs), default=0.0)

    def gaps(self, least):
        """[(from, until)], each of so many seconds or more, by the monotonic clock."""
        ahead = time.time() - time.monotonic()
        return [(a - ahead, b - ahead) for name in self.logs for a, b in self.read(name) if b - a >= least]


def longest_passes(m, stolen, without=("worker",)):
    """{loop: (ms of CPU of its longest pass, ms as the kernel counts it)}: what was stolen is not its own. The MTA was started
    with STOKER_TEST_PASSES; a loop that is not here had no pass of so long."""
    found = {}
    with open(f"{m.dir}/error.log") as f:
        told = re.findall(r"loop (\w+): a pass of (\d+) us of CPU, (\d+) us in all, until (\d+)", f.read())
    for name, cpu, wall, until in told:
        cpu, wall, until = int(cpu) / 1e6, int(wall) / 1e6, int(until) / 1e6
        if not name.startswith(without):
            own = cpu - stolen.during(until - max(cpu, wall) - 0.001, until + 0.001)
            found[name] = max(found.get(name, (0, 0)), (own * 1e3, cpu * 1e3))
    return found


def end_process(p, sig=signal.SIGTERM, timeout=40):
    if p.poll() is None:
        p.send_signal(sig)
        try:
            p.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    return p.returncode


DEFAULTS = """
[domain *]
allow-private-mx = yes
retry-recipients-after = 1s, 2s, 5s
min-backoff = 1s
"""


class Stoker:
    """One MTA. `conf` is appended to an [mta] section that keeps everything inside the scene."""

    def __init__(self, scene, conf, name="stoker", mta="", shipped=False, defaults=DEFAULTS, env=None, listen=True,
                 spool=None):
        self.scene, self.name = scene, name
        self.dir = scene.path(name)
        os.makedirs(self.dir, exist_ok=True)
        self.port = free_port()
        self.env = env or {}
        self.spool = spool or f"{self.dir}/spool"
        self.mta = mta
        self.head = f"""[mta]
hostname = mta.test.example
postmaster = postmaster@mta.test.example
spool = {self.spool}
state = {self.dir}/state
control-socket = {self.dir}/stoker.sock
log-file = {self.dir}/delivery.log
audit-log = {self.dir}/audit.log
error-log = {self.dir}/error.log
run-as-user = root
spool-min-free = 16M
shipped = {'yes' if shipped else 'no'}
{mta}
"""
        if listen:
            self.head += f"""
[listener 127.0.0.1:{self.port}]
source = test
[source test]
always-allow-relaying = yes
max-rcpt-per-message = 10000
"""
        self.defaults = defaults
        self.conf_path = os.path.join(self.dir, "stoker.ini")
        self.socket = f"{self.dir}/stoker.sock"
        self.process = None
        self.said = set()
        self.write_conf(conf)
        scene.enders.append(self.stop)

    def write_conf(self, conf):
        self.conf = conf
        with open(self.conf_path, "w") as f:
            f.write(self.head + self.defaults + conf)

    def start(self, wait=True):
        env = dict(os.environ, **self.env)
        env.setdefault("ASAN_OPTIONS", "detect_leaks=0:log_path=%s/asan" % self.dir)
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:log_path=%s/ubsan" % self.dir)
        env.setdefault("TSAN_OPTIONS", "halt_on_error=0:log_path=%s/tsan" % self.dir)
        self.out = open(os.path.join(self.dir, "out.log"), "ab")
        self.process = subprocess.Popen([binary(), "run", "--headless", "-c", self.conf_path], stdin=subprocess.DEVNULL,
                                        stdout=self.out, stderr=self.out, env=env)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=20):
        def ready():
            if self.process.poll() is not None:
                raise Failure(f"stoker ended with {self.process.returncode}: {self.output()}")
            rc, out, _ = self.cli("status", "--json")
            return rc == 0 and '"state"' in out
        wait_for("stoker to answer", ready, timeout)

    def output(self):
        text = ""
        for name in ("out.log", "error.log"):
            try:
                with open(os.path.join(self.dir, name), errors="replace") as f:
                    text += f.read()[-3000:]
            except OSError:
                pass
        return text

    def program(self, args):
        """The command line with sanitizers, once for the same words; polls of the MTA are the plain program's: starting the
        other costs three times the CPU, which the MTA under test needs."""
        again, plain = args in self.said, binary("plain")
        self.said.add(args)
        return plain if again and SLOW > 1 and os.path.exists(plain) else binary()

    def cli(self, *args, timeout=60, user_input=None):
        p = subprocess.run([self.program(args), "--socket", self.socket, *args], input=user_input, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=timeout * SLOW,
                           stdin=subprocess.DEVNULL if user_input is None else None,
                           env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        return p.returncode, p.stdout.decode("utf-8", "replace"), p.stderr.decode("utf-8", "replace")

    def do(self, *args, **kw):
        rc, out, err = self.cli(*args, **kw)
        expect(rc == 0, f"stoker {' '.join(args)}: exit {rc}: {out}{err}")
        return out

    def json(self, *args):
        return json.loads(self.do(*args, "--json"))

    def status(self):
        s = self.json("status")
        check_invariant(s)
        return s

    def rows(self, listing, *args):
        return self.json(listing, *args)["rows"]

    def row(self, listing, name):
        for r in self.rows(listing, "--limit", "100000"):
            if r.get("name", r.get("virtual_mta")) == name:
                return r
        return None

    def wait_drained(self, timeout=60):
        """The queue is empty. The totals are published four times a second, so a 250 of this moment may not be in them
        yet: empty counts when it was so over half a second with nothing new."""
        since = [None, None]

        def empty():
            st = self.status()
            if st["queued"] or st["accepted"] != since[0]:
                since[:] = [st["accepted"], time.monotonic()]
                return None
            return time.monotonic() - since[1] > 0.6
        return wait_for("the queue to be empty", empty, timeout, 0.05)

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            rc = end_process(self.process)
            self.sanitizer_reports()
            expect(rc == 0, f"stoker ended with {rc}: {self.output()}")
        else:
            self.sanitizer_reports()

    def sanitizer_reports(self):
        for name in glob.glob(self.dir + "/*san.*"):
            with open(name, errors="replace") as f:
                text = f.read()
            if text.strip():
                raise Failure(f"sanitizer report {os.path.basename(name)}:\n{text[:4000]}")

    def events(self):
        """The delivery log's JSON lines, rotated files first."""
        out = []
        for name in sorted(glob.glob(self.dir + "/delivery.log.json-*")) + [self.dir + "/delivery.log.json"]:
            if os.path.exists(name):
                with open(name, errors="replace") as f:
                    out += [json.loads(line) for line in f if line.strip()]
        return out


def check_invariant(s):
    total = s["delivered"] + s["bounced"] + s["expired"] + s["removed"] + s["queued"]
    expect(s["accepted"] == total, f"the invariant is broken: accepted {s['accepted']}, the rest {total}: {s}")


class Nsd:
    """Authoritative DNS for the tests' zones on a loopback port. zones: {"test.example": "zone text without SOA"}"""

    def __init__(self, scene, zones, broken=()):
        self.port = free_port()
        self.dir = scene.path("nsd")
        os.makedirs(self.dir)
        conf = f"""server:
    ip-address: 127.0.0.1
    port: {self.port}
    username: ""
    database: ""
    zonesdir: "{self.dir}"
    pidfile: "{self.dir}/nsd.pid"
    xfrdfile: "{self.dir}/xfrd.state"
    zonelistfile: "{self.dir}/zone.list"
    server-count: 1
    verbosity: 0
remote-control:
    control-enable: no
"""
        for name, text in zones.items():
            with open(f"{self.dir}/{name}.zone", "w") as f:
                f.write(f"$ORIGIN {name}.\n$TTL 300\n@ IN SOA ns.{name}. root.{name}. 1 3600 600 86400 300\n@ IN NS ns.{name}.\n"
                        f"ns IN A 127.0.0.1\n{text}\n")
            conf += f'zone:\n    name: "{name}"\n    zonefile: "{name}.zone"\n'
        for name in broken:  # no zone file: SERVFAIL
            conf += f'zone:\n    name: "{name}"\n    zonefile: "{name}.missing"\n'
        with open(f"{self.dir}/nsd.conf", "w") as f:
            f.write(conf)
        self.process = scene.peer("NSD to answer", self.answers, ["nsd", "-d", "-c", f"{self.dir}/nsd.conf"], f"{self.dir}/log")

    @property
    def mta(self):
        return f"name-server = 127.0.0.1:{self.port}"

    def answers(self):
        q = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02ns\x04test\x07example\x00\x00\x01\x00\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            try:
                s.sendto(q, ("127.0.0.1", self.port))
                return len(s.recv(512)) > 0
            except OSError:
                return False


class Postfix:
    """A Postfix of its own folder: smtpd on ip:25, everything for `domains` into one Maildir of user `nobody`."""

    def __init__(self, scene, ip="127.0.2.1", domains=("test.example",), main="", name="postfix", chroot=False):
        self.dir = scene.path(name)
        self.ip, self.port = ip, 25
        for d in ("conf", "queue", "data", "mail"):
            os.makedirs(f"{self.dir}/{d}")
        user = pwd.getpwnam("postfix")
        nobody = pwd.getpwnam("nobody")
        os.chown(f"{self.dir}/data", user.pw_uid, user.pw_gid)
        os.chown(f"{self.dir}/mail", nobody.pw_uid, nobody.pw_gid)
        self.maildir = f"{self.dir}/mail/all/new"
        with open(f"{self.dir}/conf/main.cf", "w") as f:
            f.write(f"""compatibility_level = 3.6
queue_directory = {self.dir}/queue
data_directory = {self.dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.{domains[0]}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = {' '.join(domains)}
virtual_mailbox_base = {self.dir}/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:{nobody.pw_uid}
virtual_gid_maps = static:{nobody.pw_gid}
virtual_mailbox_limit = 0
mailbox_size_limit = 0
message_size_limit = 104857600
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_connection_count_limit = 200
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
mynetworks = 127.0.0.0/8
smtpd_recipient_limit = 5000
smtpd_peername_lookup = no
default_process_limit = 200
smtputf8_enable = yes
strict_smtputf8 = no
maillog_file = {self.dir}/mail.log
maillog_file_prefixes = {self.dir}
{main}
""")
        shutil.copy("/usr/share/postfix/master.cf.dist", f"{self.dir}/conf/master.cf")
        self.fix_master(chroot)
        self.run("start")
        scene.enders.append(self.stop)
        wait_for(f"Postfix on {ip}:25", self.up)

    def fix_master(self, chroot):
        with open(f"{self.dir}/conf/master.cf") as f:
            lines = f.readlines()
        out = ["postlog   unix-dgram n  -       n       -       1       postlogd\n"]
        for line in lines:
            words = line.split()
            if not words or line[0] in "# \t" or words[0] == "postlog":
                continue
            if len(words) >= 8 and words[1] in ("inet", "unix", "fifo", "pass", "unix-dgram"):
                words[4] = "n"  # no chroot: the folder is ours
                if words[0] == "smtp" and words[1] == "inet":
                    words[0] = f"{self.ip}:{self.port}"
                out.append(" ".join(words) + "\n")
        with open(f"{self.dir}/conf/master.cf", "w") as f:
            f.writelines(out)

    def up(self):
        if not connects(self.ip, 25):
            expect(self.master_lives(), f"Postfix on {self.ip}:25 ended: {self.said()}")
            return False
        return True

    def master_lives(self):
        return subprocess.run(["postfix", "-c", f"{self.dir}/conf", "status"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def said(self):
        if not os.path.exists(f"{self.dir}/mail.log"):
            return ""
        with open(f"{self.dir}/mail.log", errors="replace") as f:
            return f.read()[-2000:]

    def run(self, command):
        p = subprocess.run(["postfix", "-c", f"{self.dir}/conf", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        expect(p.returncode == 0, f"postfix {command}: {p.stdout.decode('utf-8', 'replace')}{self.said()}")

    def stop(self):
        self.run("stop")

    def messages(self):
        """Each message in the mailbox as stored: LF line ends, Postfix's headers in front."""
        if os.path.isdir(self.maildir):
            for name in os.listdir(self.maildir):
                with open(os.path.join(self.maildir, name), "rb") as f:
                    yield f.read()

    def count(self):
        return len(os.listdir(self.maildir)) if os.path.isdir(self.maildir) else 0


def connects(ip, port):
    try:
        with socket.create_connection((ip, port), 0.5):
            return True
    except OSError:
        return False


class Sink:
    """smtp-sink on ip:port."""

    def __init__(self, scene, ip="127.0.2.1", port=25, args=()):
        self.ip, self.port = ip, port
        self.process = scene.peer(f"smtp-sink on {ip}:{port}", lambda: connects(ip, port),
                                  ["smtp-sink", "-u", "nobody", *args, f"{ip}:{port}", "1000"], scene.path(f"sink-{ip}-{port}.log"))


def closed_by_peer(conn):
    try:
        return conn.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Receiver(threading.Thread):
    """A scripted receiver in Python for behaviours that no real server has on demand. `script(session, verb, arg)` returns the
    reply text (or None: the default); session.close() hangs up. Every command's time is kept; with count_open, how many connections
    were open at once (a look at each for each new one)."""

    def __init__(self, scene, ip="127.0.2.1", port=25, script=None, greeting="220 receiver.test.example ESMTP", count_open=False):
        super().__init__(daemon=True)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((ip, port))
        self.listener.listen(500)
        self.script = script or (lambda s, verb, arg: None)
        self.greeting = greeting
        self.lock = threading.Lock()
        self.commands = []  # (time, source ip, verb, arg)
        self.messages = []  # (time, source ip, sender, [recipients], bytes)
        self.conns, self.count_open, self.open_max = set(), count_open, 0
        self.raw = bytearray() if False else None
        self.stopping = False
        scene.enders.append(self.end)
        self.start()

    def end(self):
        self.stopping = True
        self.listener.shutdown(socket.SHUT_RDWR)  # close alone leaves it open while accept waits
        self.listener.close()
        self.join(5)

    def run(self):
        while not self.stopping:
            try:
                conn, peer = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.session, args=(conn, peer), daemon=True).start()

    def session(self, conn, peer):
        with self.lock:
            self.conns.add(conn)
            # As the kernel knows it: this program's other threads may not have read yet that their peer has closed.
            if self.count_open:
                self.open_max = max(self.open_max, sum(not closed_by_peer(c) for c in self.conns))
        try:
            Session(self, conn, peer).talk()
        except OSError:
            pass
        finally:
            with self.lock:
                self.conns.remove(conn)
            conn.close()

    def times(self, verb, ip=None):
        """When each such command was read; only those from that source address, if one is given."""
        with self.lock:
            return [t for t, source, v, _ in self.commands if v == verb and ip in (None, source)]


class Session:
    def __init__(self, receiver, conn, peer):
        self.r, self.conn, self.ip = receiver, conn, peer[0]
        self.f = conn.makefile("rb")
        self.closing = False
        self.sender, self.rcpts = None, []
        self.state = {}

    def close(self):
        self.closing = True

    def send(self, text):
        self.conn.sendall(text.encode("utf-8", "surrogateescape") + b"\r\n")

    def talk(self):
        self.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = self.r.greeting(self) if callable(self.r.greeting) else self.r.greeting
        self.send(greeting)
        while not self.closing:
            line = self.f.readline()
            if not line:
                return
            self.command(line.rstrip(b"\r\n").decode("utf-8", "surrogateescape"))

    def command(self, line):
        verb = line[:4].upper()
        arg = line[4:].strip()
        with self.r.lock:
            self.r.commands.append((time.monotonic(), self.ip, verb, arg))
        if verb == "MAIL":
            self.sender, self.rcpts = arg, []
        custom = self.r.script(self, verb, arg)
        if custom is not None:
            if custom:
                self.send(custom)
            if verb == "RCPT" and custom.startswith("2"):
                self.rcpts.append(arg)
            if verb == "DATA" and custom.startswith("3"):
                self.data()
            return
        if verb in ("EHLO", "HELO"):
            self.send("250-receiver.test.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 SIZE 100000000")
        elif verb == "RCPT":
            self.rcpts.append(arg)
            self.send("250 2.1.5 ok")
        elif verb == "DATA":
            if not self.rcpts:
                self.send("554 5.5.1 no valid recipients")
                return
            self.send("354 go ahead")
            self.data()
        elif verb == "QUIT":
            self.send("221 2.0.0 bye")
            self.closing = True
        else:
            self.send("250 2.0.0 ok")

    def data(self):
        body = bytearray()
        while True:
            line = self.f.readline()
            if not line:
                self.closing = True
                return
            if line == b".\r\n":
                break
            body += line[1:] if line.startswith(b".") else line
        with self.r.lock:
            self.r.messages.append((time.monotonic(), self.ip, self.sender, list(self.rcpts), bytes(body)))
        custom = self.r.script(self, "BODY", "")
        if not self.closing or custom:
            self.send(custom or "250 2.0.0 ok queued")


class Smtp:
    """A minimal client that says exactly what it is told."""

    def __init__(self, ip, port, ehlo="client.test.example", timeout=30):
        self.s = socket.create_connection((ip, port), timeout * SLOW)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.f = self.s.makefile("rb")
        self.greeting = self.reply()
        if ehlo:
            self.ehlo = self.cmd(f"EHLO {ehlo}")

    def reply(self):
        lines = []
        while True:
            line = self.f.readline()
            if not line:
                raise ConnectionError("closed; so far: " + " / ".join(lines))
            lines.append(line.rstrip(b"\r\n").decode("utf-8", "replace"))
            if len(line) < 4 or line[3:4] != b"-":
                return "\n".join(lines)

    def cmd(self, text):
        self.s.sendall(text.encode() + b"\r\n")
        return self.reply()

    def send(self, sender, rcpts, message, mail_args=""):
        """Pipelined; the final reply."""
        out = f"MAIL FROM:<{sender}>{mail_args}\r\n" + "".join(f"RCPT TO:<{r}>\r\n" for r in rcpts) + "DATA\r\n"
        self.s.sendall(out.encode())
        for i in range(len(rcpts) + 2):
            reply = self.reply()
            if i == len(rcpts) + 1 and not reply.startswith("354"):
                return reply
        self.s.sendall(stuff(message) + b".\r\n")
        return self.reply()

    def close(self):
        try:
            self.s.close()
        except OSError:
            pass


def stuff(message):
    if message and not message.endswith(b"\r\n"):
        message += b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", message)


def smtp_source(port, count, sessions=20, size=1000, sender="sender@source.example", rcpt="user@test.example", rcpts=1,
                extra=(), timeout=600, ip="127.0.0.1"):
    p = subprocess.run(["smtp-source", "-s", str(sessions), "-m", str(count), "-l", str(size), "-f", sender, "-t", rcpt,
                        *(["-r", str(rcpts)] if rcpts > 1 else []), *extra, f"{ip}:{port}"], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=timeout * SLOW)
    expect(p.returncode == 0, f"smtp-source: {p.stdout.decode('utf-8', 'replace')[:500]}")


def swaks(port, *args, timeout=60):
    p = subprocess.run(["swaks", "--server", f"127.0.0.1:{port}", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=timeout * SLOW)
    return p.returncode, p.stdout.decode("utf-8", "replace")


def zone(domains_to_ip):
    """Zone text of test.example with subdomains: {"": "127.0.2.1", "a": "127.0.2.2"}: an MX each."""
    out = ""
    for name, ip in domains_to_ip.items():
        at = name or "@"
        host = f"mx-{name}" if name else "mx"
        out += f"{at} IN MX 10 {host}\n{host} IN A {ip}\n"
    return out


def mailbox_body(stored):
    """A stored message without the headers that Postfix and Stoker added: (headers, body) of the original, LF line ends."""
    head, _, body = stored.partition(b"\n\n")
    return head, body
