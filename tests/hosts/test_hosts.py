"""Ranks on several hosts that share nothing but TCP and the file system: the results of one host; a host that is cut off
ends the job, which then goes on where it can."""

import json
import os
import pathlib
import sys
import time
import unittest

import h5py
import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / "e2e"), str(pathlib.Path(__file__).parent)]
import harness  # pylint: disable=wrong-import-position
import hosts  # pylint: disable=wrong-import-position
from harness import run_good  # pylint: disable=wrong-import-position

SLOW = os.environ.get("GRIDMF_SLOW") == "1"
SWEEPS = 400
STALL = 8  # seconds
ALL, LEFT = "h1:1,h2:1,h3:1", "h1:2,h3:1"  # three ranks each


class HostsCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        why = hosts.unavailable()
        if why:
            raise unittest.SkipTest(why)
        super().setUpClass()
        cls.hosts = hosts.Hosts(3)
        cls.addClassCleanup(cls.hosts.close)

    def good(self, where, *words, **how):
        result = self.hosts.run(where, *words, cwd=self.out, **how)
        self.assertEqual(result.rc, 0, str(result))
        return result


class FailureCase(HostsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = harness.random_dataset(cls.folder / "data.h5", 600, 400, 20000)
        run_good(3, *cls.words(cls.folder / "whole.h5"))

    @classmethod
    def words(cls, model):
        return ["train", cls.data, "-o", model, "--algorithm", "ials", "--factors", 12, "--iterations", SWEEPS, "--checkpoint-every", "0.1s",
                "--stall-timeout", f"{STALL}s"]

    def start(self, where=ALL, **how):
        """A run that is in its sweeps."""
        process = self.hosts.start(where, *self.words("m.h5"), "--checkpoint", "ck", cwd=self.out, **how)
        harness.wait_for(lambda: list(self.out.glob("ck/*.h5")))
        return process

    def assertGoesOn(self, where):
        """On these hosts, to the bits of a run that nothing happened to."""
        result = self.good(where, *self.words("m.h5"), "--checkpoint", "ck")
        self.assertIn("resumed after sweep", result.stderr)
        self.assertWhole()

    def assertWhole(self):
        for a, b in zip(harness.read_factors(self.out / "m.h5"), harness.read_factors(self.folder / "whole.h5")):
            self.assertEqual(a.tobytes(), b.tobytes())

    def assertNoRanks(self, names=("h1", "h2", "h3"), timeout=5 * STALL):
        """Also those that nobody reaches have ended by themselves."""
        harness.wait_for(lambda: not [pid for name in names for pid in self.hosts.ranks(name)], timeout)


class TestResults(HostsCase):
    def test_same_as_on_one_host(self):
        """From text to metrics: the same dataset, the same bits of a model, the same figures."""
        rng = np.random.default_rng(1)
        lines = [f"{u},{i},{r}\n" for u, i, r in zip(rng.integers(0, 500, 9000), rng.integers(0, 300, 9000), rng.integers(1, 6, 9000))]
        (self.out / "ratings.csv").write_text("user,item,rating\n" + "".join(lines))
        where = "h1:1,h2:2,h3:1"
        environment = {"SOURCE_DATE_EPOCH": "0"}
        run_good(4, "import", "ratings.csv", "-o", "one.h5", cwd=self.out, env=environment)
        self.good(where, "import", "ratings.csv", "-o", "many.h5")
        with h5py.File(self.out / "one.h5") as f, h5py.File(self.out / "many.h5") as g:
            for name in ("ratings/data", "ratings/indices", "ratings/indptr", "users/id", "items/id"):
                self.assertEqual(f[name][()].tobytes(), g[name][()].tobytes(), name)
        for options in (["--algorithm", "als", "--bias", "--deterministic"], ["--algorithm", "svd", "--factors", 8]):
            words = ["train", "one.h5", "--iterations", 4, *options]
            run_good(4, *words, "-o", "a.h5", cwd=self.out)
            result = self.good(where, *words, "-o", "b.h5")
            self.assertIn("4 ranks", result.stderr)
            for a, b in zip(harness.read_factors(self.out / "a.h5"), harness.read_factors(self.out / "b.h5")):
                self.assertEqual(a.tobytes(), b.tobytes(), options)
        figures = run_good(1, "evaluate", "b.h5", "one.h5", "--metrics", "ndcg@10,auc", "--json", cwd=self.out).json()
        found = self.good(where, "evaluate", "b.h5", "one.h5", "--metrics", "ndcg@10,auc", "--json").json()
        self.assertEqual(found, figures)


    def test_expanded_rows(self):
        """Ranks of a host that share expanded rows, and rows that come in panels, over TCP: the bits of one host. What two
        ranks of a host need crosses the network once."""
        harness.random_dataset(self.out / "data.h5", 600, 400, 20000)
        words = ["train", "data.h5", "--algorithm", "als", "--deterministic", "--factors", 12, "--log-json", "log.json"]

        def sent(*options):
            """By rank 0 in 6 sweeps."""
            found = []
            for sweeps in (2, 8):
                (self.out / "log.json").unlink(missing_ok=True)
                self.good("h1:2,h2:2", *words, "--iterations", sweeps, "-o", "many.h5", *options)
                found.append([e for e in map(json.loads, (self.out / "log.json").read_text().splitlines())
                              if e["event"] == "end"][0]["exchange_bytes"])
            for a, b in zip(harness.read_factors(self.out / "many.h5"), wanted):
                self.assertEqual(a.tobytes(), b.tobytes(), options)
            return found[1] - found[0]

        run_good(4, *words, "--iterations", 8, "-o", "one.h5", cwd=self.out)
        wanted = harness.read_factors(self.out / "one.h5")
        alone, shared, panels = sent(), sent("--share-node", "on"), sent("--expand-memory", "12K")
        self.assertLess(shared, 0.45 * alone)
        self.assertGreater(panels, alone)


class TestFailures(FailureCase):
    def test_host_cut_off(self):
        """mpirun misses it: code 205. Its ranks end by themselves, and the job goes on on the hosts that are left."""
        process = self.start()
        self.hosts.cut("h2")
        result = harness.finish(process, 60)
        self.assertEqual(result.rc, 205, str(result))
        self.assertGoesOn(LEFT)
        self.assertNoRanks()
        self.hosts.heal("h2")

    def test_hosts_that_do_not_reach_each_other(self):
        """mpirun sees both and all is well; that nothing moves the ranks find out themselves: 70, and where they waited."""
        process = self.start()
        self.hosts.part("h1", "h2")
        result = harness.finish(process, 60)
        self.assertEqual(result.rc, 70, str(result))
        self.assertRegex(result.stderr, rf"gridmf: nothing has moved for {STALL} s: .*ranks of other nodes")
        self.assertNoRanks()
        self.hosts.join("h1", "h2")
        self.assertGoesOn(ALL)


@unittest.skipUnless(SLOW, "the long tests: scripts/test -L slow")
class TestSlowly(FailureCase):
    def test_mpirun_does_not_notice(self):
        """With its own settings mpirun waits for 8 minutes; the ranks do not, on neither side of the cut."""
        process = self.start(keepalive=False)
        self.hosts.cut("h2")
        self.assertNoRanks()
        result = harness.finish(process, 1)
        self.assertEqual(result.stderr.count("nothing has moved for"), 2, str(result))  # one from each host that is heard
        self.assertGoesOn(LEFT)
        self.hosts.heal("h2")

    def test_cable_that_is_put_back(self):
        """Before the stall time: nothing has happened."""
        process = self.start(keepalive=False)
        self.hosts.cut("h3")
        time.sleep(STALL / 2)
        self.hosts.heal("h3")
        result = harness.finish(process, 120)
        self.assertEqual(result.rc, 0, str(result))
        self.assertWhole()

    def test_power_cut(self):
        """Of any host but the one where mpirun is."""
        for name, left in (("h1", "h2:2,h3:1"), ("h3", "h1:2,h2:1")):
            with self.subTest(host=name):
                for path in [self.out / "m.h5", *self.out.glob("ck/*")]:
                    path.unlink(missing_ok=True)
                process = self.start()
                self.hosts.power_off(name)
                result = harness.finish(process, 60)
                self.assertEqual(result.rc, 205, str(result))
                self.assertNoRanks()
                self.hosts.heal(name)
                self.assertGoesOn(left)

    def test_slow_link(self):
        """100 Mbit/s and 20 ms: slower, and the same."""
        self.hosts.slow_down("h2", "rate", "100mbit", "burst", "64k", "latency", "20ms")
        self.good(ALL, *self.words("m.h5"), timeout=300)
        self.assertWhole()


if __name__ == "__main__":
    unittest.main()
