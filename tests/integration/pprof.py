"""A pprof reader for the tests that shares nothing with ours: it says what a stranger sees in the file."""
import collections
import gzip
import re
import subprocess

Frame = collections.namedtuple("Frame", "name file line mapping build_id address inlined")
Sample = collections.namedtuple("Sample", "stack values labels")  # stack: list of Frame, leaf first


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7


def varint(n):
    """n as protobuf writes it."""
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def _fields(data):
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
        elif key & 7 == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        elif key & 7 == 1:
            value, at = int.from_bytes(data[at : at + 8], "little"), at + 8
        else:
            value, at = int.from_bytes(data[at : at + 4], "little"), at + 4
        yield key >> 3, value


def _message(data):
    out = collections.defaultdict(list)
    for number, value in _fields(data):
        out[number].append(value)
    return out


def _numbers(values):
    for value in values:
        if isinstance(value, int):
            yield value
        else:
            at = 0
            while at < len(value):
                number, at = _varint(value, at)
                yield number


def _signed(value):
    return value - (1 << 64) if value >= 1 << 63 else value


class Profile:
    def __init__(self, path):
        data = open(path, "rb").read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        elif data[:4] == b"\x28\xb5\x2f\xfd":
            data = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
        p = _message(data)
        s = self.strings = [x.decode("utf-8", "surrogateescape") for x in p[6]]
        one = lambda m, n, default=0: m[n][-1] if m.get(n) else default
        value_type = lambda m: (s[one(m, 1)], s[one(m, 2)])
        self.sample_types = [value_type(_message(x)) for x in p[1]]
        self.period_type = value_type(_message(one(p, 11, b"")))
        self.period = one(p, 12)
        self.time_ns, self.duration_ns = one(p, 9), one(p, 10)
        self.comments = [s[i] for i in _numbers(p[13])]
        self.mappings = {}
        for x in map(_message, p[3]):
            self.mappings[one(x, 1)] = (s[one(x, 5)], s[one(x, 6)], one(x, 2), one(x, 3), one(x, 4))
        functions = {}
        for x in map(_message, p[5]):
            functions[one(x, 1)] = (s[one(x, 2)], s[one(x, 4)])
        locations = {}
        for x in map(_message, p[4]):
            mapping = self.mappings.get(one(x, 2), ("", "", 0, 0, 0))
            frames, lines = [], [_message(line) for line in x[4]]
            for i, line in enumerate(lines):
                name, file = functions[one(line, 1)]
                frames.append(
                    Frame(name, file, one(line, 2), mapping[0], mapping[1], one(x, 3), i + 1 < len(lines))
                )
            if not frames:
                frames = [Frame("", "", 0, mapping[0], mapping[1], one(x, 3), False)]
            locations[one(x, 1)] = frames
        self.samples = []
        for x in map(_message, p[2]):
            labels = {}
            for label in map(_message, x[3]):
                text = one(label, 2)
                labels[s[one(label, 1)]] = s[text] if text else _signed(one(label, 3))
            stack = [frame for i in _numbers(x[1]) for frame in locations[i]]
            self.samples.append(Sample(stack, [_signed(v) for v in _numbers(x[2])], labels))

    def total(self, index=0, where=lambda sample: True):
        return sum(x.values[index] for x in self.samples if where(x))

    def flat(self, index=0, where=lambda sample: True):
        """Value by name of the leaf function."""
        out = collections.Counter()
        for x in self.samples:
            if where(x) and x.stack:
                out[x.stack[0].name] += x.values[index]
        return out

    def cum(self, index=0, where=lambda sample: True):
        out = collections.Counter()
        for x in self.samples:
            if where(x):
                for name in {frame.name for frame in x.stack}:
                    out[name] += x.values[index]
        return out

    def ledger(self):
        out = {}
        for comment in self.comments:
            match = re.match(r"emberd\.([\w.]+)=(-?[\d.]+)$", comment)
            if match:
                out[match.group(1)] = float(match.group(2))
        return out


def truncated(sample):
    """The reason why a stack does not reach its root, None where it does."""
    if sample.stack and sample.stack[-1].name.startswith("[truncated"):
        return sample.stack[-1].name
    return None
