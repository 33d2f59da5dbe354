"""Profiles of workload-heap_known beside what it says that it really allocated."""
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
import check
from pprof import Profile

PLACES = ["small_strings", "medium_buffers", "big_blocks", "leaky_records"]


class Run:
    """One profile of a run from its beginning to its end. truth, estimate: by place, {objects, bytes, in use}."""

    def __init__(self, directory, seconds, rate, threads):
        path = os.path.join(directory, "heap.pb.gz")
        done = check.run(check.EMBERCTL, "record", "-e", "heap", "-o", path, "--", check.workload("heap_known"), seconds, rate,
                         threads)
        print(done.stderr.strip())
        rows = [w for w in map(str.split, done.stdout.splitlines()) if len(w) == 4]
        self.truth = {name: tuple(map(int, values)) for name, *values in rows}
        self.profile = Profile(path)
        cum = [self.profile.cum(i) for i in (0, 1, 3)]
        self.estimate = {name: tuple(c[name] for c in cum) for name in PLACES}
        self.ledger = self.profile.ledger()
        self.stated = self.ledger["heap.error_permille_max"] / 1000

    def total(self, which, value):
        return sum(x[value] for x in which.values())

    def ratio(self, value, name=None):
        """Estimate by truth, of a place or of all."""
        if name:
            return self.estimate[name][value] / self.truth[name][value]
        return self.total(self.estimate, value) / self.total(self.truth, value)

    def share(self, which, name):
        """Percent of the bytes."""
        return 100 * which[name][1] / self.total(which, 1)

    def share_error(self, name):
        return self.share(self.estimate, name) - self.share(self.truth, name)
