"""A reload is all or nothing, and holds nobody up."""
from harness import *

from test_control import Feeder, start_crowd


@test()
def a_file_with_errors_changes_nothing_and_lists_them_all(full):
    with Scene() as s:
        rs, m = start_crowd(s)
        number = m.status()["config"]["number"]
        good = m.conf
        m.write_conf(good + "\n[domain x.example]\nmax-smtp-ou = 5\nmax-msg-rate = 10\n[domian y]\nmax-smtp-out = 1\n")
        rc, out, err = m.cli("reload")
        text = out + err
        expect(rc == 2 or rc == 1, f"exit {rc}")
        for piece in ('"max-smtp-out"', "max-msg-rate", "domian", "stoker.ini:"):
            expect(piece in text, f"reload's errors lack {piece}: {text}")
        expect(m.status()["config"]["number"] == number, "the configuration changed")
        m.write_conf(good + "\n[domain a.test.example]\nmax-msg-rate = 7/s\n")
        text = m.do("reload", "--dry-run")
        expect("max-msg-rate" in text and m.status()["config"]["number"] == number, f"dry run: {text}")
        m.do("reload")
        expect(m.status()["config"]["number"] == number + 1, "not applied")
        out = m.do("settings", "a.test.example")
        expect("max-msg-rate = 7/s" in out and "stoker.ini:" in out, out)
        m.do("reload", "--to", str(number))
        out = m.do("settings", "a.test.example")  # "7/s" alone is also in the path /tmp/stoker-test-…7/stoker
        expect("max-msg-rate = 7/s" not in out, f"going back did not: {out}")
        expect(m.status()["config"]["number"] == number + 2, "going back has a number of its own")
        return "3 errors at once with file:line; dry run, apply, back"


@test(flavours=("plain",), alone=True)
def ten_thousand_sections_reload_under_load(full):
    with Scene() as s:
        rs, m = start_crowd(s)
        f = Feeder(m)
        wait_for("traffic", lambda: rs[0].times("MAIL"))
        idle = Smtp("127.0.0.1", m.port)
        many = "".join(f"[domain d{i}.example]\nmax-smtp-out = {i % 50 + 1}\nmax-msg-rate = {i % 90 + 1}/s\n" for i in range(10000))
        m.write_conf(m.conf + many)
        started = time.monotonic()
        m.do("reload")
        took = time.monotonic() - started
        for i in range(3 if full else 1):
            m.do("reload")
        expect("no difference" in m.do("reload", "--to", "2", "--dry-run"), "the history has not all of a large configuration")
        expect(idle.cmd("NOOP").startswith("250"), "an idle session was dropped")
        f.stop()
        m.wait_drained()
        loops = {l["name"]: l["cpu_ms"] for l in m.status()["loops"] if not l["name"].startswith("worker")}
        worst = max(loops, key=loops.get)
        # 5 ms is the promise; the quick run shares its machine with a compiler and other tests, and only looks for a blunder.
        expect(loops[worst] <= (5.0 if full else 15.0), f"a pass of {worst} took {loops[worst]} ms of CPU")
        with open(f"{m.dir}/error.log") as log:
            reads = [int(n) for n in re.findall(r"is in force .*, read in (\d+) ms", log.read())]
        expect(len(reads) == (4 if full else 2) and max(reads) < (300 if full else 3000), f"read in {reads} ms")
        return f"10,000 sections read in at most {max(reads)} ms, applied {took * 1000:.0f} ms after the command; longest pass {loops[worst]} ms ({worst})"


@test()
def listeners_and_sources_come_and_go(full):
    with Scene() as s:
        rs, m = start_crowd(s)
        port2 = free_port()
        m.write_conf(m.conf + f"\n[listener 127.0.0.1:{port2}]\nsource = test\n")
        m.do("reload")
        c = Smtp("127.0.0.1", port2)
        expect(c.send("x@source.example", ["u@a.test.example"], b"Subject: x\r\n\r\ny\r\n").startswith("250"), "new listener")
        m.wait_drained()
        m.write_conf(m.conf.replace(f"\n[listener 127.0.0.1:{port2}]\nsource = test\n", ""))
        m.do("reload")
        wait_for("the listener to be gone", lambda: not connects("127.0.0.1", port2))
        other = m.conf
        for was, now, outside in (("127.0.0.1", "0.0.0.0", True), ("0.0.0.0", "127.0.0.1", False)):
            m.write_conf(other + f"\n[listener {was}:{port2}]\nsource = test\n")
            m.do("reload")
            old = Smtp("127.0.0.1", port2)
            m.write_conf(other + f"\n[listener {now}:{port2}]\nsource = test\n")
            m.do("reload")
            expect(connects("127.0.9.9", port2) == outside, f"{now} after {was}")
            expect(Smtp("127.0.0.1", port2).greeting.startswith("220") and old.cmd("NOOP").startswith("250"), f"{now} after {was}")
        with socket.create_server(("127.0.9.9", port2)):
            m.write_conf(other + f"\n[listener 0.0.0.0:{port2}]\nsource = test\n")
            rc, out, err = m.cli("reload")
            expect(rc == 1 and f"can't listen on 0.0.0.0:{port2}" in out + err and "nothing was changed" in out + err, f"{rc} {out} {err}")
            expect(Smtp("127.0.0.1", port2).greeting.startswith("220"), "the old one listens no more")
        return "a listener opened, closed, made wider and narrower on its port by reload"


@test(flavours=("plain",))
def what_a_reload_replaces_is_given_back(full):
    """20 configurations of 1,000 sections: memory stays where it is."""
    with Scene() as s:
        rs, m = start_crowd(s)
        m.write_conf(m.conf + "".join(f"[domain d{i}.example]\nmax-smtp-out = {i % 50 + 1}\nmax-msg-rate = 9/s\n" for i in range(1000)))

        def anon():
            with open(f"/proc/{m.process.pid}/status") as f:
                return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1]) / 1024
        for i in range(5):
            m.do("reload")
        before = anon()
        for i in range(20):
            m.do("reload")
        grown = anon() - before
        expect(grown < 6, f"20 reloads took {grown:.1f} MB; if the replaced ones stay it is 20 MB")
        return f"20 reloads took {grown:.1f} MB"
