"""`make install` in a root of its own (an overlay over this machine's, gone with the test), and the service as systemd would
start it: by the unit's own words."""
import os
import re
import shlex
import signal
import socket
import subprocess

import harness
from harness import Scene, expect, test, wait_for

CAP_NET_BIND_SERVICE = 1 << 10
CONF = """[mta]
hostname = mx.install.test
spool-min-free = 1M
name-server = 127.0.0.1:5353
smtp-source-host = 127.0.0.1 mx.install.test
[listener 127.0.0.1:25]
[source 127.0.0.1]
always-allow-relaying = yes
"""
# The mounts live and end with the shell that waits for a command on its standard input.
ROOT_OF_ITS_OWN = r"""set -e
mount --make-rprivate /
mount -t tmpfs none "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs none "$1/root/run"
mkdir "$1/root/usr/src/stoker"
cd "$2"
cp -a --parents core conf tui themes Makefile build/plain/core build/plain/*.a build/plain/tui build/plain/conf build/plain/stoker \
    build/plain/prefix "$1/root/usr/src/stoker"
echo here
exec sh -s
"""


class Root:
    """Commands run inside it, one at a time or beside us."""

    def __init__(self, scene):
        self.dir = scene.path("root")
        os.makedirs(self.dir)
        self.shell = subprocess.Popen(["unshare", "--mount", "--", "sh", "-c", ROOT_OF_ITS_OWN, "sh", self.dir, harness.ROOT],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        scene.enders.append(self.end)
        first = self.shell.stdout.readline().decode().strip()
        expect(first == "here", f"no root of its own: {first} {self.shell.stdout.read(2000) if first != 'here' else ''}")

    def argv(self, words):
        return ["nsenter", f"--mount=/proc/{self.shell.pid}/ns/mnt", "--", "chroot", f"{self.dir}/root"] + list(words)

    def run(self, *words, ok=True, text=None):
        p = subprocess.run(self.argv(words), input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        expect(not ok or p.returncode == 0, f"{' '.join(words)}: exit {p.returncode}: {p.stdout[-2000:]}")
        return p.stdout

    def end(self):
        self.shell.stdin.close()
        self.shell.wait(10)


def unit_words(text):
    out = {}
    for line in text.splitlines():
        if re.match(r"[A-Z]\w+=", line):
            name, value = line.split("=", 1)
            out.setdefault(name, []).append(value)
    return out


def as_systemd_would(root, unit, scene, notify):
    """Directories, user, capabilities, umask and limits as the unit says."""
    user = unit["User"][0]
    for kind, base in (("RuntimeDirectory", "/run"), ("LogsDirectory", "/var/log")):
        root.run("install", "-d", "-o", user, "-g", user, "-m", unit[kind + "Mode"][0], f"{base}/{unit[kind][0]}")
    caps = unit["AmbientCapabilities"][0].replace("CAP_", "").lower()
    expect(unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] and unit["NoNewPrivileges"] == ["yes"], "the unit gives more")
    words = ["setpriv", "--reuid", user, "--regid", unit["Group"][0], "--init-groups", "--inh-caps", "-all,+" + caps,
             "--ambient-caps", "+" + caps, "--bounding-set", "-all,+" + caps, "--no-new-privs", "sh", "-c",
             f"umask {unit['UMask'][0]}; ulimit -n {unit['LimitNOFILE'][0]}; exec {unit['ExecStart'][0]}"]
    env = dict(os.environ, NOTIFY_SOCKET=notify, WATCHDOG_USEC="400000", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    log = open(scene.path("service.log"), "wb")
    return scene.start(root.argv(words), stdout=log, stderr=log, env=env)


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def expect_no_way_back_to_root(pid, uid):
    s = status_of(pid)
    expect(s["Uid"].split() == [str(uid)] * 4, f"user ids {s['Uid']}, not {uid}")
    expect("0" not in s["Gid"].split() and "0" not in s["Groups"].split(), f"a group of root's: {s['Gid']} {s['Groups']}")
    for name in ("CapEff", "CapPrm"):
        expect(int(s[name], 16) == CAP_NET_BIND_SERVICE, f"{name} is {s[name]}")
    expect(int(s["CapAmb"], 16) == 0 and s["NoNewPrivs"] == "1", f"CapAmb {s['CapAmb']}, NoNewPrivs {s['NoNewPrivs']}")


def greeting():
    try:
        with socket.create_connection(("127.0.0.1", 25), 1) as s:
            s.settimeout(2)
            return s.recv(512)
    except OSError:
        return b""


def told(notices, word):
    def look():
        try:
            notices.seen += notices.recv(4096).decode() + "\n"
        except OSError:
            pass
        return word in notices.seen
    return look


class Notices(socket.socket):
    seen = ""


@test(flavours=("plain",))
def installed_it_runs_as_its_unit_says(full):
    with Scene() as s:
        root = Root(s)
        made = root.run("make", "-C", "/usr/src/stoker", "-o", "Makefile", "install", "PREFIX=/usr")
        expect("stoker check" in made, "install does not say what is to be done next: " + made[-300:])
        text = root.run("cat", "/lib/systemd/system/stoker.service")
        problems = root.run("systemd-analyze", "verify", "--man=no", "/lib/systemd/system/stoker.service", ok=False)
        expect("stoker.service" not in problems, problems)
        unit = unit_words(text)
        for page in ("man1/stoker.1", "man5/stoker.ini.5"):
            lint = root.run("groff", "-man", "-Tutf8", "-ww", "-z", "/usr/share/man/" + page)
            expect(not lint.strip(), f"{page}: {lint}")
        page = root.run("cat", "/usr/share/man/man5/stoker.ini.5")
        expect("max\\-smtp\\-out" in page, "the manual has no directives")
        for line, wanted in (("rel", "reload"), ("suppress ", "add remove list import export"), ("suppress re", "remove"),
                             ("suppress list --l", "--limit"),
                             ("log --", "--json --filter --limit --socket"), ("messages --s", "--socket"),
                             ("queues --s", "--sort --socket"), ("reload --", "--dry-run --to --socket"), ("message 1 --r", "--raw")):
            offered = root.run("bash", "-c", ". /usr/share/bash-completion/completions/stoker; "
                               f"COMP_LINE='stoker {line}' COMP_POINT={7 + len(line)}; _stoker; echo ${{COMPREPLY[@]}}")
            expect(offered.split() == wanted.split(), f"completion of {line}: {offered}")

        root.run("tee", "/etc/stoker/stoker.ini", text=CONF)
        notices = Notices(socket.AF_UNIX, socket.SOCK_DGRAM)
        notices.bind("\0stoker-notices")
        notices.settimeout(0.1)
        service = as_systemd_would(root, unit, s, "@stoker-notices")
        wait_for("READY=1", told(notices, "READY=1"))
        uid = int(root.run("id", "-u", "stoker"))
        expect(uid != 0 and greeting().startswith(b"220 mx.install.test"), "nobody greets on port 25")
        expect_no_way_back_to_root(service.pid, uid)
        wait_for("signs of life", lambda: told(notices, "WATCHDOG=1")() and notices.seen.count("WATCHDOG=1") >= 3)

        reload = ["setpriv", "--reuid", "stoker", "--regid", "stoker", "--init-groups"] + shlex.split(unit["ExecReload"][0])
        root.run("tee", "-a", "/etc/stoker/stoker.ini", text="max-conections = 3\n")
        out = root.run(*reload, ok=False)
        expect("stoker.ini" in out and "no directive max-conections" in out, f"a bad reload says: {out}")
        root.run("tee", "/etc/stoker/stoker.ini", text=CONF + "max-msg-rate = 7/s\n")
        expect("max-msg-rate" in root.run(*reload), "reload shows no difference")
        service.send_signal(signal.SIGTERM)
        wait_for("STOPPING=1", told(notices, "STOPPING=1"))
        expect(service.wait(20) == 0, f"stopped with {service.returncode}")

        log = open(s.path("root.log"), "wb")
        by_root = s.start(root.argv(["/usr/bin/stoker", "run", "--headless"]), stdout=log, stderr=log)
        wait_for("the greeting when root starts it", lambda: greeting().startswith(b"220"))
        expect_no_way_back_to_root(by_root.pid, uid)
        return "installed, started by its unit's words as user stoker on port 25, no way back to root; also when root starts it"
