"""Between an attach client and Stoker: passes frames on, slowly towards the terminal, and keeps what the terminal showed at each key."""
import collections
import os
import random
import select
import socket
import struct
import threading
import time

from terminal import MARK, Screen, Stream

Key = collections.namedtuple("Key", "bytes marked gone names")


class Wire:
    """A frame that the client has confirmed is on the terminal, and one that it has not confirmed is not: input between the two was
    typed on the first. So `keys` says what stood under the cursor when a key went out, however late the test itself reads or types."""

    def __init__(self, scene, path, to, rows=30, columns=100, delays=(0,)):
        self.screen = Screen(columns, rows)
        self.stream = Stream(self.screen)
        self.keys, self.frames, self.crossed = [], 0, 0
        self.late, self.way = collections.deque(), collections.deque()  # frames kept back; in the client's hands
        self.delays, self.rng, self.failure = delays, random.Random(4), None
        self.path = path
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        self.ends = [listener]
        self.to = to
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        scene.enders.append(self.close)

    def close(self):
        for s in self.ends:
            s.close()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def run(self):
        try:
            client, _ = self.ends[0].accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.to)
            self.ends += [client, server]
            self.carry(client, server)
        except (OSError, ValueError) as e:  # an end was closed
            self.failure = e

    def carry(self, client, server):
        buffers, late = {client: b"", server: b""}, self.late
        while True:
            wait = max(0, late[0][0] - time.monotonic()) if late else None
            for s in select.select([client, server], [], [], wait)[0]:
                data = s.recv(65536)
                if not data:
                    return client.shutdown(socket.SHUT_RDWR)
                buffers[s] += data
                for kind, whole, payload in self.frames_of(buffers, s):
                    if s is client:
                        self.from_client(kind, payload)
                        server.sendall(whole)
                    else:
                        # In order, so each waits at least for the one before it.
                        due = time.monotonic() + (self.rng.choice(self.delays) if kind == b"T" else 0)
                        late.append((max(due, late[-1][0] if late else 0), kind, whole, payload))
            while late and late[0][0] <= time.monotonic():
                _, kind, whole, payload = late.popleft()
                client.sendall(whole)
                if kind == b"T":
                    self.way.append(payload)

    @staticmethod
    def frames_of(buffers, s):
        while len(buffers[s]) >= 5:
            n = 5 + struct.unpack("<I", buffers[s][1:5])[0]
            if len(buffers[s]) < n:
                return
            whole, buffers[s] = buffers[s][:n], buffers[s][n:]
            yield whole[:1], whole, whole[5:]

    def from_client(self, kind, payload):
        if kind == b"K":
            self.stream.feed(self.way.popleft())
            self.frames += 1
        elif kind == b"I":
            self.keys.append(self.shown(payload))
            self.crossed += bool(self.late or self.way)

    def shown(self, keys=b""):
        rows = [line for line in self.screen.display[4:-2] if line[2:3].strip()]
        cursor = [line[2:].split() for line in rows if line.startswith(MARK)]
        return Key(keys, cursor[0][0] if cursor else None, bool(cursor) and cursor[0][1:2] == ["gone"], [line[2:].split()[0] for line in rows])

    def gone(self):
        return self.shown().gone
