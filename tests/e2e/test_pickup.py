"""Pickup directories: files become messages, each once, and what is no message moves aside with its reason."""
import os
import pwd

from harness import *


def put(directory, name, text, tmp=True):
    path = os.path.join(directory, name)
    with open(path + ".tmp" if tmp else path, "wb") as f:
        f.write(text)
    if tmp:
        os.rename(path + ".tmp", path)


def form(n, to="b@test.example"):
    return f"x-sender: a@source.example\nx-receiver: {to}\nSubject: n{n}\n\nline {n}\n".encode()


def names(directory):
    return sorted(n for n in os.listdir(directory) if os.path.isfile(os.path.join(directory, n)))


def subjects(receiver):
    return [b.split(b"Subject: ", 1)[1].split(b"\r\n", 1)[0].decode() for *_, b in list(receiver.messages)]


class World:
    def __init__(self, s, extra="", start=True):
        self.dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        self.receiver = Receiver(s)
        self.dir = s.path("in")
        os.mkdir(self.dir)
        self.stoker = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n[domain *]\nmax-smtp-out = 100\n"
                             f"[pickup {self.dir}]\nscan-interval = 1\nsettle = 500ms\n{extra}", mta=self.dns.mta)
        if start:
            self.stoker.start()


@test()
def files_become_messages_each_once(full):
    """Renamed in, all at once, before the server is there and while it is."""
    n = 10000 if full else 300
    with Scene() as s:
        w = World(s, start=False)
        aside = s.path("staged")
        os.mkdir(aside)
        for i in range(n):
            put(aside, f"m{i}", form(i), tmp=False)
        for i in range(n):
            if i == n // 4:
                w.stoker.start()
            os.rename(f"{aside}/m{i}", f"{w.dir}/m{i}")
        wait_for("an empty directory", lambda: not names(w.dir), timeout=300 if full else 20)
        w.stoker.wait_drained()
        got = subjects(w.receiver)
        expect(sorted(got) == sorted(f"n{i}" for i in range(n)), f"{len(got)} messages, {len(set(got))} different, of {n}")
        st = w.stoker.status()
        expect(st["accepted"] == n and st["delivered"] == n, str(st))
        received = [e for e in w.stoker.events() if e["type"] == "received"]
        expect(received and all(e["user"] == "pickup" for e in received), "received events do not name pickup")
        return f"{n} files renamed in, each delivered once"


@test()
def only_whole_files_are_taken(full):
    """Written slowly with pauses, in place; hidden and .tmp names; done/ instead of deletion; Bcc; x-job; priority and route."""
    with Scene() as s:
        w = World(s, "delete-after-read = no\npriority = 77\n")
        slow = open(os.path.join(w.dir, "slow"), "wb", buffering=0)
        put(w.dir, ".hidden", form(1), tmp=False)
        put(w.dir, "half.tmp", form(2), tmp=False)
        text = form("slow") + b"x" * 4000 + b"\nend\n"
        for at in range(0, len(text), 500):
            slow.write(text[at:at + 500])
            wait_for("0.1 s", lambda t=time.monotonic(): time.monotonic() - t > 0.1)
        expect("slow" in names(w.dir), "a file was taken while it was written")
        slow.close()
        put(w.dir, "header", b"From: F <f@source.example>\r\nTo: b@test.example\r\nBcc: c@test.example\r\nX-Job: campaign\r\n"
            b"Subject: header\r\n\r\n.dot\r\n")
        wait_for("both", lambda: len(w.receiver.messages) >= 2 and names(w.dir) == [".hidden", "half.tmp"])
        w.stoker.wait_drained()
        bodies = {b.split(b"Subject: ", 1)[1].split(b"\r\n", 1)[0]: (sender, rcpts, b) for _, _, sender, rcpts, b in w.receiver.messages}
        expect(bodies[b"nslow"][2].endswith(b"x" * 4000 + b"\r\nend\r\n"), "the slow file is not whole")
        sender, _, body = bodies[b"header"]
        expect("<f@source.example>" in sender, sender)
        expect(b"Bcc" not in body and b"X-Job" not in body and body.endswith(b"\r\n\r\n.dot\r\n"), repr(body))
        expect(sorted(names(os.path.join(w.dir, "done"))) == ["header", "slow"], str(names(os.path.join(w.dir, "done"))))
        job = [e for e in w.stoker.events() if e["type"] == "received" and e["job"] == "campaign"]
        expect(len(job) == 1 and job[0]["recipients"] == 2, f"the job's event: {job}")
        return "a slow file waits for its close, .hidden and .tmp stay, done/ keeps the rest; Bcc and X-Job do not leave"


@test()
def what_is_no_message_moves_aside(full):
    bad = {"empty": b"", "binary": b"\x7fELF\0\0\1", "nobody": b"From: a@source.example\nSubject: s\n\nx\n",
           "refused": form(0, "not an address@"), "cr": b"From: a@b.example\nTo: b@test.example\n\na\rb\n"}
    with Scene() as s:
        w = World(s)
        for name, text in bad.items():
            put(w.dir, name, text)
        os.symlink("/etc/passwd", os.path.join(w.dir, "link"))
        os.mkfifo(os.path.join(w.dir, "pipe"))
        put(w.dir, "good", form("good"))
        aside = os.path.join(w.dir, "bad")
        expected = sorted([*bad, "link", "pipe"])
        shown = lambda: sorted(n for n in os.listdir(aside) if not n.startswith("."))
        wait_for("all aside", lambda: os.path.isdir(aside) and len(shown()) >= 2 * len(expected))
        expect(shown() == sorted(expected + [n + ".why" for n in expected]), str(os.listdir(aside)))
        reasons = {}
        for name in expected:
            with open(os.path.join(aside, name + ".why")) as f:
                reasons[name] = f.read()
        for name, words in (("empty", "empty"), ("binary", "NUL"), ("nobody", "names nobody"), ("cr", "CR"), ("link", "symbolic link"),
                            ("pipe", "no ordinary file"), ("refused", "address")):
            expect(words in reasons[name], f"{name}: {reasons[name]}")
        wait_for("the good one", lambda: subjects(w.receiver) == ["ngood"])
        return "empty, binary, nobody, bare CR, bad address, symlink, pipe: aside with reasons; the good one goes"


@test()
def a_file_that_cannot_be_read_moves_aside(full):
    """Of another user and mode 000, to a server that is not root: aside with its reason, whole; the others go."""
    with Scene() as s:
        w = World(s, start=False)
        m, who = w.stoker, pwd.getpwnam("nobody")
        m.head = m.head.replace("run-as-user = root", "run-as-user = nobody")
        m.write_conf(m.conf)
        os.chmod(s.dir, 0o711)
        for d in (m.dir, w.dir):
            os.chown(d, who.pw_uid, who.pw_gid)
        put(w.dir, "early", form("early"))
        os.chmod(f"{w.dir}/early", 0)
        m.start()
        put(w.dir, "first", form("first"))
        late = os.path.join(s.path("late"))
        with open(late, "wb") as f:
            f.write(form("late"))
        os.chmod(late, 0)
        os.rename(late, f"{w.dir}/late")
        put(w.dir, "last", form("last"))
        aside = os.path.join(w.dir, "bad")
        wait_for("both aside", lambda: os.path.isdir(aside) and names(aside) == ["early", "early.why", "late", "late.why"])
        for name in ("early", "late"):
            with open(f"{aside}/{name}.why") as f:
                reason = f.read()
            expect("Permission denied" in reason, reason)
            with open(f"{aside}/{name}", "rb") as f:
                expect(f.read() == form(name), "the file is not what it was")
        wait_for("the others", lambda: sorted(subjects(w.receiver)) == ["nfirst", "nlast"] and not names(w.dir))
        with open(f"/proc/{m.process.pid}/status") as f:
            expect(f"Uid:\t{who.pw_uid}\t" in f.read(), "the server is not nobody")
        return f"two files of mode 000: {reason.strip()}; the others are delivered"


@test()
def a_directory_may_go_and_come_back(full):
    with Scene() as s:
        w = World(s)
        os.rename(w.dir, w.dir + "-away")
        alarm = lambda: [a for a in w.stoker.status()["alarms"] if a["code"] == "pickup"]
        wait_for("the alarm", alarm)
        expect(w.dir in alarm()[0]["target"], str(alarm()))
        os.mkdir(w.dir)
        put(w.dir, "m", form("back"))
        wait_for("the mail", lambda: subjects(w.receiver) == ["nback"])
        wait_for("the alarm's end", lambda: not alarm())
        w.stoker.do("drain")
        expect(Smtp("127.0.0.1", w.stoker.port, ehlo=None).greeting.startswith("421"), "a client is greeted while it drains")
        put(w.dir, "later", form("later"))
        wait_for("the wait in the log", lambda: "later waits" in open(w.stoker.dir + "/error.log").read())
        expect(names(w.dir) == ["later"], "a file went while the server refuses mail")
        w.stoker.do("resume", "all")
        wait_for("the mail after the drain", lambda: "nlater" in subjects(w.receiver))
        return "an alarm while it is away, mail when it is back; files wait while the server drains"
