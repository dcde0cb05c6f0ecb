"""What workers of share groups send to the group's coordinator, which librdkafka can't: a few requests by hand."""

import socket
import struct
import time

SHARE_GROUP_HEARTBEAT, UPDATE_FEATURES, FIND_COORDINATOR = 76, 57, 10
UNSUPPORTED_VERSION = 35
# The coordinator is starting.
AGAIN = (14, 15, 16)


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def text(value):
    return varint(0) if value is None else varint(len(value.encode()) + 1) + value.encode()


def array(items):
    return varint(0) if items is None else varint(len(items) + 1) + b"".join(items)


class Reader:
    """Reads an answer from its beginning on."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, kind):
        return struct.unpack(">" + kind, self.take(struct.calcsize(kind)))[0]

    def varint(self):
        number, shift = 0, 0
        while True:
            byte = self.number("B")
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def text(self):
        length = self.varint()
        return self.take(length - 1).decode() if length else None

    def array(self, item):
        return [item() for _ in range(self.varint() - 1)]

    def tags(self):
        for _ in range(self.varint()):
            self.varint()
            self.take(self.varint())


class Told:
    """What a member was told: an error's code, its epoch, and its partitions by topic id, or None if as before."""

    def __init__(self, reader):
        reader.number("i")
        self.code, self.message = reader.number("h"), reader.text()
        self.member, self.epoch, self.interval_ms = reader.text(), reader.number("i"), reader.number("i")
        self.assignment = None
        if reader.number("b") >= 0:
            topics = reader.array(lambda: self.topic(reader))
            self.assignment = {name: sorted(partitions) for name, partitions in topics}

    @staticmethod
    def topic(reader):
        name, partitions = reader.take(16), reader.array(lambda: reader.number("i"))
        reader.tags()
        return name, partitions


class ShareWire:
    """A connection that comes back when the broker was restarted."""

    def __init__(self, bootstrap):
        host, port = bootstrap.rsplit(":", 1)
        self.address, self.socket, self.correlation = (host, int(port)), None, 0

    def ask(self, key, version, body):
        self.correlation += 1
        header = struct.pack(">hhi", key, version, self.correlation) + struct.pack(">h", 4) + b"wire" + b"\0"
        if self.socket is None:
            self.socket = socket.create_connection(self.address, 10)
        self.socket.sendall(struct.pack(">i", len(header + body)) + header + body)
        reader = Reader(self.receive(struct.unpack(">i", self.receive(4))[0]))
        reader.number("i")
        reader.tags()
        return reader

    def receive(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the broker closed the connection")
            data += more
        return data

    def beat(self, group, member, epoch, topics=None, within_s=60):
        """A heartbeat, again while the coordinator can't be had."""
        topics = None if topics is None else [text(topic) for topic in topics]
        body = text(group) + text(member) + struct.pack(">i", epoch) + text(None) + array(topics) + b"\0"
        deadline = time.monotonic() + within_s
        while True:
            try:
                told = Told(self.ask(SHARE_GROUP_HEARTBEAT, 1, body))
                if told.code == UNSUPPORTED_VERSION:
                    self.enable()
                elif told.code not in AGAIN:
                    return told
                else:
                    # A broker makes its topic of offsets when it is first asked for a coordinator.
                    self.ask(FIND_COORDINATOR, 4, b"\0" + array([text(group)]) + b"\0")
            except OSError:
                self.socket = None
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise TimeoutError("the coordinator can't be had")
            time.sleep(0.3)

    def enable(self):
        """Share groups are a preview in Apache Kafka 4.1, and must be switched on."""
        feature = text("share.version") + struct.pack(">hb", 1, 1) + b"\0"
        self.ask(UPDATE_FEATURES, 1, struct.pack(">i", 10_000) + array([feature]) + b"\0" + b"\0")
