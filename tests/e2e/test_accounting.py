"""Accounting files: every record type from real deliveries, read with Python's csv and json; no loss, whatever happens."""
import csv
import glob
import json
import os
import subprocess

from harness import *

WAYS = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n[virtual-mta-pool pool]\nmembers = v1\n"
FAST = "[domain *]\nallow-private-mx = yes\nretry-recipients-after = 1s\nmin-backoff = 1s\nmax-backoff = 2s\n"


def answer(session, verb, arg):
    if verb == "RCPT" and "bounce" in arg:
        return '550-5.1.1 No, "never",\r\n550 5.1.1 =cmd|\x1b[1m'
    if verb == "RCPT" and "later" in arg:
        return "451 4.2.2 later"
    return None


def world(s, sections, start=True):
    dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"}), "away.example": zone({"": "127.0.2.9"})})
    m = Stoker(s, WAYS + sections, mta=dns.mta + "\ndefault-virtual-mta = pool", defaults=FAST)
    m.receiver = Receiver(s, script=answer)
    if start:
        m.start()
    return m


def table(path):
    rows = []
    for p in sorted(glob.glob(path.replace(".csv", "-2*.csv"))) + [path]:
        if os.path.exists(p):
            with open(p, newline="", encoding="utf-8") as f:
                rows += list(csv.DictReader(f, strict=True))
    return rows


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(l) for l in f]


def send(m, rcpts, n=1, args=""):
    c = Smtp("127.0.0.1", m.port)
    for _ in range(n):
        expect(c.send("a@source.example", rcpts, b"Subject: x\r\n\r\ny\r\n", args).startswith("250"), "refused")
    c.close()


@test()
def every_record_in_its_columns(full):
    """d b t tq r in one CSV and one JSON file; two files at once; fields; a file that a reload adds, changes and takes away."""
    with Scene() as s:
        every, some, more = s.path("all.csv"), s.path("some.json"), s.path("more.csv")
        both = (f"[accounting all]\nfile = {every}\nrecords = d b t tq r\n"
                f"[accounting some]\nfile = {some}\nformat = json\nrecords = r b\nfields = rcpt, dsnStatus, eventId\n")
        m = world(s, both)
        send(m, ["ok@test.example", "bounce@test.example", "later@test.example"], args=" ENVID=e+2B1")
        send(m, ["x@away.example"])
        wait_for("all records", lambda: {r["type"] for r in table(every)} == {"d", "b", "t", "tq", "r"})
        of = {r["rcpt"]: r for r in table(every) if r["type"] in "dbt"}
        r = of["bounce@test.example"]
        expect(r["dsnDiag"] == 'smtp;550-5.1.1 No, "never", 550 5.1.1 =cmd|\\x1b[1m', r["dsnDiag"])
        expect(r["dsnStatus"] == "5.1.1 (bad destination mailbox address)" and r["dsnAction"] == "failed" and
               r["bounceCat"] == "bad-mailbox", str(r))
        r = of["ok@test.example"]
        expect((r["type"], r["vmta"], r["vmtaPool"], r["queue"], r["envId"], r["dlvSourceIp"], r["dlvDestinationIp"], r["dsnAction"]) ==
               ("d", "v1", "pool", "test.example/pool", "e+1", "127.0.1.1", "127.0.2.1", "relayed"), str(r))
        expect(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4}", r["timeLogged"]) and int(r["dlvSize"]) > 10, str(r))
        r = of["later@test.example"]
        expect(r["type"] == "t" and r["dsnAction"] == "delayed" and r["dsnStatus"] == "4.2.2 (mailbox full)", str(r))
        r = next(r for r in table(every) if r["type"] == "tq")
        expect(r["queue"] == "away.example/pool" and r["vmta"] == "v1" and r["dsnDiag"] and not r["rcpt"], str(r))
        expect((r["dsnMta"], r["dlvSourceIp"], r["dlvDestinationIp"]) == ("mx.away.example (127.0.2.9)", "127.0.1.1", "127.0.2.9"), str(r))
        received = [r for r in table(every) if r["type"] == "r"]
        expect([r["rcpt"].split("@")[0] for r in received if r["envId"]] == ["ok", "bounce", "later"], str(received))
        expect(all(r["srcType"] == "smtp" and r["rcvSourceIp"] == "127.0.0.1" and r["vmtaPool"] == "pool" for r in received
                   if r["orig"]), str(received))
        with open(every, "rb") as f:
            text = f.read()
        expect(text.startswith(b"type,timeLogged,timeQueued,totalSecondsQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,"
                               b"bounceCat,srcType,srcMta,") and text.count(b"\n") == text.count(b"\r\n"), text[:200])
        got = {r["rcpt"]: r for r in lines(some) if r["type"] == "b"}
        expect(set(got["bounce@test.example"]) == {"type", "rcpt", "dsnStatus", "eventId"}, str(got))
        m.write_conf(WAYS + both + f"[accounting more]\nfile = {more}\n")
        m.do("reload")
        send(m, ["two@test.example"])
        wait_for("the new file", lambda: [r["rcpt"] for r in table(more)] == ["two@test.example"])
        m.write_conf(WAYS + both.replace("records = d b t tq r", "records = d\nfields = rcpt"))
        m.do("reload")
        send(m, ["three@test.example"])
        wait_for("the changed file", lambda: table(every)[-1] == {"type": "d", "rcpt": "three@test.example"})
        delivered = [r["rcpt"] for r in table(every) if r["type"] == "d"]
        expect(sorted(delivered) == ["ok@test.example", "three@test.example", "two@test.example"], str(delivered))
        expect(len(table(more)) == 1, "a file that is no longer configured was written")
        return "five record types, reloads without a record lost or doubled"


@test()
def a_kill_loses_no_record(full):
    """Killed while it writes: all there after the next start, what is repeated has the same number."""
    n = 2000 if full else 200
    with Scene() as s:
        path = s.path("acct.csv")
        m = world(s, f"[accounting a]\nfile = {path}\nrecords = d r\n")
        for half in range(2):
            send(m, ["ok@test.example"], n // 2)
            wait_for("some records", lambda: len(table(path)) > half * n // 2)
            m.kill9()
            m.start()
        m.wait_drained()
        st = m.status()
        wait_for("all records", lambda: len({r["eventId"] for r in table(path) if r["type"] == "d"}) == st["delivered"])
        rows = table(path)
        expect(len({r["eventId"] for r in rows if r["type"] == "r"}) == n, "received records are missing")
        for number in {r["eventId"] for r in rows}:
            expect(len({tuple(r.values()) for r in rows if r["eventId"] == number}) == 1, f"event {number} has two contents")
        return f"{len(rows)} records of {n} messages after two kills"


@test()
def a_full_disk_stops_the_file_not_mail(full):
    """A file system of 64 KB: an alarm, mail goes on; with room the file goes on by itself, whole."""
    with Scene() as s:
        small = s.path("small")
        os.mkdir(small)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=True)
        try:
            path, n = os.path.join(small, "acct.csv"), 400
            m = world(s, f"[accounting a]\nfile = {path}\n")
            send(m, ["ok@test.example"], n)
            alarms = lambda: [a for a in m.status()["alarms"] if a["code"] == "accounting" and not a.get("ended")]
            wait_for("an alarm", lambda: alarms())
            m.wait_drained()
            expect(m.status()["delivered"] == n, "mail was held")
            expect(len(table(path)) < n, "the disk was not full")
            subprocess.run(["mount", "-o", "remount,size=4m", small], check=True)
            wait_for("all records", lambda: len(table(path)) >= n)
            ids = [r["eventId"] for r in table(path)]
            expect(len(ids) == len(set(ids)) == n, f"{len(ids)} records, {len(set(ids))} different, of {n}")
            m.stop()
        finally:
            subprocess.run(["umount", "-l", small], check=False)
        return f"{n} records, each once, after a full disk"


@test()
def a_full_disk_and_a_reload_lose_no_line_of_the_delivery_log(full):
    """A log of 64 KB of room: what waits outlives a reload and, read again, a stop."""
    with Scene() as s:
        small = s.path("small")
        os.mkdir(small)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=True)
        try:
            m = world(s, "", start=False)
            m.head = m.head.replace(f"log-file = {m.dir}/delivery.log", f"log-file = {small}/delivery.log")
            m.write_conf(m.conf)
            m.start()
            alarms = lambda: [a for a in m.status()["alarms"] if a["code"] == "delivery-log" and not a.get("ended")]

            def fill(n):
                send(m, ["ok@test.example"], n)
                wait_for("an alarm", alarms)
                m.wait_drained()

            def ids():
                with open(small + "/delivery.log.json") as f:
                    return [json.loads(line)["id"] for line in f if line.endswith("\n")]

            def humans():
                with open(small + "/delivery.log") as f:
                    return sum(" D " in line for line in f)

            fill(200)
            expect(len(ids()) < 400, "the disk was not full")
            m.do("reload")
            send(m, ["ok@test.example"], 10)
            m.wait_drained()
            subprocess.run(["mount", "-o", "remount,size=300k", small], check=True)
            m.do("reload")
            wait_for("all lines", lambda: len(ids()) >= 420)
            expect(len(ids()) == len(set(ids())) == 420 and humans() == 210, f"{len(ids())} lines, {len(set(ids()))} different, {humans()}")
            wait_for("the alarm's end", lambda: not alarms())
            fill(400)
            m.stop()
            subprocess.run(["mount", "-o", "remount,size=4m", small], check=True)
            m.start()
            wait_for("all lines", lambda: len(set(ids())) >= 1220)
            m.stop()
        finally:
            subprocess.run(["umount", "-l", small], check=False)
        return "420 events, each once, over a full disk and two reloads; 1220 over a stop"
