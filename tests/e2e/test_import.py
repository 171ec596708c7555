"""From PowerMTA to Stoker: the text this project started from, pasted as it is; and an operator's way from import to reload."""
import ctypes
import queue

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from harness import *
from test_tls import Authority, starttls

FIXTURES = os.path.join(ROOT, "tests/fixtures/pmta")
CLONE_NEWNET = 0x40000000


class Elsewhere:
    """A second network, at the other end of a wire: its receivers have port 25 of their own addresses, as the world outside has.
    `run` does something on the thread that lives there; sockets that it opens stay there."""

    def __init__(self, scene):
        self.work, self.done = queue.Queue(), queue.Queue()
        threading.Thread(target=self.live, daemon=True).start()
        tid = self.run(self.enter)
        self.ip("link", "add", "here", "type", "veth", "peer", "name", "there", "netns", f"/proc/{os.getpid()}/task/{tid}/ns/net")
        self.ip("addr", "add", "198.51.100.254/24", "dev", "here")
        self.ip("link", "set", "here", "up")
        self.run(lambda: [self.ip("link", "set", "there", "up"), self.ip("link", "set", "lo", "up"),
                          self.ip("addr", "add", "198.51.100.253/24", "dev", "there"),
                          self.ip("route", "add", "default", "via", "198.51.100.254")])
        scene.enders.append(lambda: self.ip("link", "del", "here"))

    def live(self):
        while True:
            f = self.work.get()
            try:
                self.done.put((f(), None))
            except Exception as e:
                self.done.put((None, e))

    def run(self, f):
        self.work.put(f)
        value, error = self.done.get()
        if error:
            raise error
        return value

    @staticmethod
    def enter():
        expect(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0, f"unshare: {os.strerror(ctypes.get_errno())}")
        return threading.get_native_id()

    @staticmethod
    def ip(*words):
        p = subprocess.run(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        expect(p.returncode == 0, f"ip {' '.join(words)}: {p.stdout.decode()}")

    def receiver(self, scene, ip, **kw):
        def make():
            self.ip("addr", "add", f"{ip}/24", "dev", "there")
            return Receiver(scene, ip, **kw)
        return self.run(make)


def import_pmta(s, path):
    """The INI's text, and the report as [(line, verdict, text)]."""
    out = s.path("imported.ini")
    p = subprocess.run([binary(), "import-pmta", path, "-o", out], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
    report = p.stderr.decode()
    expect(p.returncode == 0, f"import-pmta: exit {p.returncode}: {report}")
    rows = []
    for line in report.splitlines():
        m = re.match(re.escape(path) + r"(?::(\d+))?: (taken|approximated|dropped): (.*)", line)
        if m:
            rows.append((int(m[1] or 0), m[2], m[3]))
    with open(out) as f:
        return f.read(), rows


def check(s, text):
    """(exit code, the warnings and errors without file and line); the machine's own name is none of ours."""
    p = subprocess.run([binary(), "check", "-c", s.write("checked.ini", text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
    found = [re.sub(r"line \d+", "line N", m[1]) for m in re.finditer(r"^\S+?: ((?:warning|error): .*)$", p.stderr.decode(), re.M)]
    return p.returncode, [f for f in found if not f.startswith("warning: hostname ")]


# What `check` says of the imported text, all of it, and which of our lines it says it of.
WARNINGS = [
    ("authenticate = plain", "warning: authenticate: there is no [smtp-user], so nobody can log in"),
    ("authenticate = plain", "warning: authenticate without TLS is offered to loopback only: write tls = starttls with a certificate and "
                             "its key"),
    ("smtp-starttls = required", "warning: use-plaintext = yes has no effect: smtp-starttls = required (line N) wins, and without TLS "
                                 "this mail is deferred"),
]
# Receiver, the text's max-smtp-out and max-msg-rate. It has two addresses that send in turn, so each gets the half, and an odd
# number loses one.
HOT = {"hotmail.com": (10, 20), "gmail.com": (14, 30), "yahoo.com": (8, 15)}


def hot_world(s):
    for ip in ("1.2.3.4", "1.2.3.5"):
        Elsewhere.ip("addr", "add", f"{ip}/32", "dev", "lo")
        s.enders.append(lambda ip=ip: Elsewhere.ip("addr", "del", f"{ip}/32", "dev", "lo"))
    there, slow, ca = Elsewhere(s), threading.Event(), Authority(s)

    def make(domain, ip):
        at_once, tls = set(), starttls(ca.server("good", f"mx.{domain}"))

        def script(session, verb, arg):
            # From EHLO to QUIT: the connection's end is seen here a moment after the sender opened the next one.
            with session.r.lock:
                (at_once.discard if verb == "QUIT" else at_once.add)(session)
                session.r.most = max(session.r.most, len(at_once))
            if verb == "DATA" and slow.is_set():
                threading.Event().wait(1.0)
            return tls(session, verb, arg)
        r = there.receiver(s, ip, script=script)
        r.most = 0
        return r
    receivers = {d: make(d, f"198.51.100.{i + 1}") for i, d in enumerate(HOT)}
    dns = Nsd(s, {d: f"@ IN MX 10 mx\nmx IN A 198.51.100.{i + 1}" for i, d in enumerate(HOT)})
    return receivers, dns, slow


def paste_hot(s):
    """The text as it is, but that PowerMTA's folders are the scene's; its key is there."""
    with open(f"{FIXTURES}/hot.conf") as f:
        text = f.read().replace("/etc/pmta", s.path("etc")).replace("/var/spool/pmta", s.path("spool"))
    path = s.write("etc/config", text)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with open(os.open(s.path("etc", "mail.yourdomain.com.pem"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
        f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    os.makedirs(s.path("spool", "pickup"))
    return path


def feed(domains, seconds):
    c = Smtp("127.0.0.1", 25)
    for d, (_, rate) in domains.items():
        for i in range(int(rate * seconds)):
            expect(c.send("a@yourdomain.com", [f"u{i}@{d}"], b"From: a@yourdomain.com\r\nSubject: x\r\n\r\ny\r\n").startswith("250"),
                   f"refused for {d}")
    c.close()


@test(flavours=("plain",), alone=True)
def the_text_this_project_started_from(full):
    seconds = 20 if full else 3
    with Scene() as s:
        pasted = paste_hot(s)
        text, rows = import_pmta(s, pasted)
        rc, found = check(s, text)
        expect(rc == 0 and found == [w for line, w in WARNINGS if line in text], f"check: exit {rc}: {found}")
        with open(pasted) as f:
            lines = [n for n, l in enumerate(f, 1) if l.strip() and l.strip()[0] != "#" and not l.strip().startswith("</")]
        expect(sorted({r[0] for r in rows if r[0]}) == lines, f"lines without a word: {set(lines) ^ {r[0] for r in rows}}")
        receivers, dns, slow = hot_world(s)
        m = Stoker(s, text, mta=dns.mta, shipped=True, defaults="", listen=False).start()
        m.do("pause", "all")
        feed(HOT, seconds * 1.5 + 12)
        m.do("resume", "all")
        for r in receivers.values():
            wait_for("the first attempt", lambda: r.times("RCPT"))
        starts = {d: r.times("RCPT")[0] for d, r in receivers.items()}
        threading.Event().wait(max(0, max(starts.values()) + seconds - time.monotonic()))
        words = []
        for d, (connections, rate) in HOT.items():
            n = len([t for t in receivers[d].times("RCPT") if t <= starts[d] + seconds])
            # The quick run shares its machine with a compiler: it may come late, and never early.
            expect(rate * seconds * (0.9 if full else 0.5) <= n <= rate * (seconds + 0.1) + 2, f"{d}: {n} attempts in {seconds} s at {rate}/s")
            words.append(f"{d} {n / seconds:.1f}/s of {rate}")
        slow.set()
        for d, (connections, rate) in HOT.items():
            wait_for(f"{connections} connections to {d}", lambda: receivers[d].most >= connections)
        threading.Event().wait(seconds / 3)
        for d, (connections, rate) in HOT.items():
            expect(receivers[d].most == connections, f"{d}: {receivers[d].most} connections, {connections} allowed")
        sources = {ip for r in receivers.values() for _, ip, v, _ in r.commands if v == "MAIL"}
        expect(sources == {"1.2.3.4", "1.2.3.5"}, f"sent from {sources}")
        names = {(ip, arg) for r in receivers.values() for _, ip, v, arg in r.commands if v == "EHLO"}
        expect(names == {("1.2.3.4", "mail1.yourdomain.com"), ("1.2.3.5", "yourdomain.com")}, f"EHLO {names}")
        for d, r in receivers.items():
            expect(not r.plain and set(r.tls), f"{d}: {len(r.plain)} of its messages went in plain")
        if "[dkim yourdomain.com]" in text:
            unsigned = [1 for r in receivers.values() for x in r.messages if b"\nDKIM-Signature:" not in b"\n" + x[4]]
            expect(not unsigned, f"{len(unsigned)} messages went unsigned")
        slow.clear()
        m.do("delete", "all", "--yes")
        n = collections.Counter(r[1] for r in rows)
        return (f"{n['taken']} taken, {n['approximated']} approximated, {n['dropped']} dropped; {', '.join(words)}; connections "
                + " ".join(f"{d} {r.most}" for d, r in receivers.items()))


PATH = """# what an operator of PowerMTA brings
host-name mta.test.example
postmaster postmaster@test.example
smtp-listener 127.0.0.1:PORT
<source 127.0.0.1>
    always-allow-relaying yes
    default-virtual-mta both
</source>
<virtual-mta one>
    smtp-source-host 127.0.1.1 m1.test.example
</virtual-mta>
<virtual-mta two>
    smtp-source-host 127.0.1.2 m2.test.example
</virtual-mta>
<virtual-mta-pool both>
    virtual-mta one
    virtual-mta two
</virtual-mta-pool>
domain-macro slow a.test.example,
    b.test.example
<domain $slow>
    max-msg-rate 50/s
</domain>
"""


@test()
def an_operators_path(full):
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"a": "127.0.2.1", "b": "127.0.2.2"})})
        a, b = Receiver(s, "127.0.2.1"), Receiver(s, "127.0.2.2")
        port = free_port()
        text, rows = import_pmta(s, s.write("pmta.conf", PATH.replace("PORT", str(port))))
        expect(all(r[1] == "taken" for r in rows if r[0]), f"{rows}")
        rc, found = check(s, text)
        expect(rc == 0 and not found, f"check: {rc} {found}")
        m = Stoker(s, text, mta=dns.mta, listen=False)
        m.head = m.head.replace("hostname = mta.test.example\n", "")
        m.write_conf(text)
        m.start()
        c = Smtp("127.0.0.1", port)

        def send(n):
            for i in range(n):
                for d in ("a", "b"):
                    expect(c.send("x@source.example", [f"u{i}@{d}.test.example"], b"Subject: x\r\n\r\ny\r\n").startswith("250"), d)
        send(3)
        m.wait_drained()
        expect(len(a.messages) == 3 and len(b.messages) == 3, f"{len(a.messages)} and {len(b.messages)} arrived")
        m.do("pause", "a.test.example", "because", "the receiver asked for it")
        send(4)
        wait_for("the other domain's mail", lambda: len(b.messages) == 7)
        wait_for("the queue to say why it waits",
                 lambda: (m.row("queues", "a.test.example/both") or {}).get("why", {}).get("code") == "paused")
        number = m.status()["config"]["number"]
        m.write_conf(text.replace("[domain a.test.example]\nmax-msg-rate = 50/s", "[domain a.test.example]\nmax-msg-rate = 40/s"))
        dry = m.do("reload", "--dry-run")
        expect("50/s" in dry and "40/s" in dry and m.status()["config"]["number"] == number, f"dry run: {dry}")
        m.do("reload")
        expect("40/s" in m.do("settings", "a.test.example") and m.status()["config"]["number"] == number + 1, "not applied")
        expect(len(a.messages) == 3, "the pause did not outlive the reload")
        m.do("resume", "a.test.example")
        send(2)
        m.wait_drained()
        expect(len(a.messages) == 9 and len(b.messages) == 9, f"{len(a.messages)} and {len(b.messages)} arrived")
        return "import, check, run, pause, edit, dry run, reload, resume: 18 of 18 arrived"
