"""How fixed factor rows reach the ranks that need them."""

import json
import pathlib
import re
import time
import unittest

import numpy as np

import harness
from harness import GRIDMF, Ratings, finish, launch, ranks, read_factors, read_history, run, run_good, start

TRAINS = {"als": ["--algorithm", "als", "--lambda", 0.05],
          "ials": ["--algorithm", "ials", "--alpha", 5, "--lambda", 0.1],
          "cg": ["--algorithm", "ials", "--solver", "cg", "--alpha", 5, "--lambda", 0.1]}


def end_of(log):
    return [e for e in map(json.loads, log.read_text().splitlines()) if e["event"] == "end"][-1]


class Wire(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.folder / "data.h5"
        run_good(1, "synth", "-o", cls.data, "--users", 900, "--items", 400, "--ratings", 30000, "--factors", 5, "--quiet")
        cls.ratings = Ratings(cls.data)

    def train(self, n_ranks, *options, sweeps=5):
        """(users' factors, items' factors, bytes that rank 0 sent in exchanges)"""
        model, log = self.out / "m.h5", self.out / "log.json"
        log.unlink(missing_ok=True)
        run_good(n_ranks, "train", self.data, "-o", model, "--factors", 16, "--iterations", sweeps, "--log-json", log,
                 "--quiet", *options)
        return (*read_factors(model), end_of(log)["exchange_bytes"])

    def bytes_of_sweeps(self, n_ranks, *options):
        """What rank 0 sends in five sweeps more."""
        return self.train(n_ranks, *options, sweeps=10)[2] - self.train(n_ranks, *options)[2]


class TestBf16(Wire):
    def loss(self, name, x, y):
        """The objective of the model's own factors, in f8 from its definition."""
        x, y = x.astype("f8"), y.astype("f8")
        r = np.nan_to_num(self.ratings.dense())
        rated = r != 0
        if name == "als":
            n_u, n_i = rated.sum(1), rated.sum(0)
            return (((r - x @ y.T)[rated] ** 2).sum()
                    + 0.05 * (n_u @ (x ** 2).sum(1) + n_i @ (y ** 2).sum(1)))
        confidence = 1 + 5 * r
        return (confidence * (rated - x @ y.T) ** 2).sum() + 0.1 * ((x ** 2).sum() + (y ** 2).sum())

    def test_loss(self):
        """The loss is within a thousandth of what it is with f4, and the bytes of a sweep are half."""
        for name, options in TRAINS.items():
            with self.subTest(name):
                x, y, _ = self.train(2, *options)
                x16, y16, _ = self.train(2, *options, "--wire", "bf16")
                self.assertFalse(np.array_equal(x, x16), "rows are rounded")
                loss, loss16 = self.loss(name, x, y), self.loss(name, x16, y16)
                self.assertLess(abs(loss16 / loss - 1), 1e-3)

    def test_bytes(self):
        f4, bf16 = (self.bytes_of_sweeps(3, *TRAINS["als"], "--wire", wire) for wire in ("f4", "bf16"))
        self.assertGreater(f4, 0)
        self.assertEqual(f4, 2 * bf16)

    def test_any_ranks(self):
        """Rows are rounded alike on every rank: the model does not depend on how many there are."""
        for name, options in TRAINS.items():
            x, y, _ = self.train(1, *options, "--wire", "bf16", sweeps=2)
            for n_ranks, *more in ((2,), (3,), (2, "--grid", "1x2")):
                with self.subTest(name, ranks=n_ranks, options=more):
                    if name == "cg" and more:
                        continue  # solved exactly
                    xp, yp, _ = self.train(n_ranks, *options, *more, "--wire", "bf16", sweeps=2)
                    # A number on the brink of two bf16 numbers may go either way.
                    np.testing.assert_allclose(xp @ yp.T, x @ y.T, atol=2e-3 * np.abs(x @ y.T).max())

    def test_same_bits_of_deterministic(self):
        words = [*TRAINS["ials"], "--wire", "bf16", "--deterministic"]
        x, y, _ = self.train(1, *words, sweeps=2)
        xp, yp, _ = self.train(3, *words, sweeps=2)
        np.testing.assert_array_equal(x, xp)
        np.testing.assert_array_equal(y, yp)


class TestPanels(Wire):
    """Rows solved panel by panel: --expand-memory."""

    SIZES = {"12K": 3, "48K": 2}  # and the least panels of a half-sweep that they lead to

    def panels(self, n_ranks, *options):
        """(factors, objectives, panels of the half-sweeps that the log tells of)"""
        model = self.out / "m.h5"
        result = run_good(n_ranks, "train", self.data, "-o", model, "--factors", 16, "--iterations", 3, *options)
        told = [int(n) for n in re.findall(r"half-sweep: (?:users|items) come in (\d+) panels", result.stderr)]
        return read_factors(model), read_history(model), told

    def test_same_bits(self):
        for name, options in {**TRAINS, "bias": [*TRAINS["als"], "--bias"], "bf16": [*TRAINS["ials"], "--wire", "bf16"],
                              "heavy": [*TRAINS["cg"], "--heavy-items", "150:1x3"],
                              "nonnegative": [*TRAINS["als"], "--nonnegative"]}.items():
            for n_ranks in (1, 2, 3) if name == "als" else (3,) if name == "heavy" else (2,):
                (x, y), objective, told = self.panels(n_ranks, *options)
                self.assertEqual(told, [])
                for size, least in self.SIZES.items() if name in ("als", "heavy") else [("12K", 3)]:
                    with self.subTest(name, ranks=n_ranks, size=size):
                        (xp, yp), objective_p, told = self.panels(n_ranks, *options, "--expand-memory", size)
                        self.assertEqual(len(told), 2)
                        self.assertGreaterEqual(min(told), least)
                        np.testing.assert_array_equal(xp, x)
                        np.testing.assert_array_equal(yp, y)
                        np.testing.assert_array_equal(objective_p, objective)

    def test_enough(self):
        """With room for all rows nothing is cut, and with room for none a panel has one row's."""
        (x, _), _, told = self.panels(2, *TRAINS["als"], "--expand-memory", "1G")
        self.assertEqual(told, [])
        (xp, _), _, told = self.panels(2, *TRAINS["als"], "--expand-memory", 1)
        self.assertGreater(min(told), 100)
        np.testing.assert_array_equal(xp, x)

    def test_rows_travel_more_often(self):
        whole, half, least = (self.bytes_of_sweeps(2, *TRAINS["als"], "--expand-memory", size)
                              for size in ("1G", "48K", "12K"))
        self.assertLess(whole, half)
        self.assertLess(half, least)

    def test_memory_limit(self):
        """Where all but the expanded rows fits, they come in panels: the run takes what it may take, and no more."""
        data, log = self.out / "data.h5", self.out / "log.json"
        run_good(1, "synth", "-o", data, "--users", 60000, "--items", 30000, "--ratings", 600000, "--quiet")

        def train(*options):
            log.unlink(missing_ok=True)
            result = run_good(2, "train", data, "-o", self.out / "m.h5", "--algorithm", "ials", "--factors", 128,
                              "--iterations", 1, "--log-json", log, *options)
            return end_of(log)["peak_bytes_per_rank"], result.stderr

        free, text = train()
        self.assertNotIn("panels", text)
        limit = int(0.92 * free)
        held, text = train("--memory-limit", limit, "--share-node", "off")
        self.assertRegex(text, r"come in \d+ panels")
        self.assertLess(held, min(1.05 * limit + 5e6, free - 5e6), (free, limit))


class TestSharedNode(Wire):
    """--share-node: the ranks of a node hold one copy of the expanded rows. All ranks of these tests are of one node;
    tests/hosts has several."""

    def test_same_bits(self):
        for name, options in {**TRAINS, "bias": [*TRAINS["als"], "--bias"], "bf16": [*TRAINS["ials"], "--wire", "bf16"],
                              "heavy": [*TRAINS["cg"], "--heavy-items", "150:1x3"],
                              "grid": [*TRAINS["als"], "--grid", "1x3"]}.items():
            for n_ranks in (1, 2, 3) if name == "als" else (3,):
                with self.subTest(name, ranks=n_ranks):
                    x, y, _ = self.train(n_ranks, *options, "--share-node", "off", sweeps=3)
                    xs, ys, _ = self.train(n_ranks, *options, "--share-node", "on", sweeps=3)
                    np.testing.assert_array_equal(xs, x)
                    np.testing.assert_array_equal(ys, y)

    def test_nothing_travels_inside_a_node(self):
        self.assertGreater(self.bytes_of_sweeps(3, *TRAINS["als"], "--share-node", "off"), 0)
        self.assertEqual(self.bytes_of_sweeps(3, *TRAINS["als"], "--share-node", "on"), 0)

    def held_by_all(self, data, *options):
        """The most that 4 ranks hold together while they train, bytes: pages that they share count once."""
        process = start([*launch(4), GRIDMF, "train", data, "-o", self.out / "m.h5", "--algorithm", "ials", "--factors",
                         128, "--iterations", 3, "--solver", "cg", "--quiet", *options])
        most = 0
        while process.poll() is None:
            held = 0
            for pid in ranks(process):
                try:
                    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
                except OSError:
                    continue
                held += 1024 * int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.M).group(1))
            most = max(most, held)
            time.sleep(0.02)
        self.assertEqual(finish(process).rc, 0)
        return most

    def test_memory(self):
        """Four ranks that need most of 40,000 items hold them once, where alone each has up to 20 MB of them."""
        data = self.out / "data.h5"
        run_good(2, "synth", "-o", data, "--users", 10000, "--items", 40000, "--ratings", 1000000, "--quiet")
        off, on = (self.held_by_all(data, "--share-node", how) for how in ("off", "on"))
        self.assertLess(on, off - 25e6)

    def test_choice(self):
        told = "expanded rows are shared by the ranks of a node, 2 on that of rank 0"
        for n_ranks, options, shared in ((2, ["--share-node", "on"], True), (2, [], False), (1, ["--share-node", "on"], False)):
            result = run_good(n_ranks, "train", self.data, "-o", self.out / "m.h5", "--factors", 4, "--iterations", 1,
                              *TRAINS["als"], *options)
            self.assertEqual(told in result.stderr, shared, result)
        result = run(2, "train", self.data, "-o", self.out / "n.h5", *TRAINS["als"], "--share-node", "on",
                     "--expand-memory", "1M")
        self.assertEqual(result.rc, 64, result)
        self.assertIn("panels of --expand-memory are of one rank: leave out --share-node on", result.stderr)


class TestHops(Wire):
    def test_same_bits(self):
        """--hops 2, on 1 x 1 to 3 x 2 ranks and with one column."""
        for name, options in {**TRAINS, "bf16": [*TRAINS["ials"], "--wire", "bf16"],
                              "heavy": [*TRAINS["cg"], "--heavy-items", "150:2x2"],
                              "grid": [*TRAINS["als"], "--grid", "2x2"]}.items():
            for n_ranks in (1, 3, 4, 6) if name == "als" else (4,):
                with self.subTest(name, ranks=n_ranks):
                    x, y, _ = self.train(n_ranks, *options, sweeps=3)
                    xh, yh, _ = self.train(n_ranks, *options, "--hops", 2, sweeps=3)
                    np.testing.assert_array_equal(xh, x)
                    np.testing.assert_array_equal(yh, y)

    def test_bytes(self):
        """At most twice what goes from rank to rank."""
        direct, hops = (self.bytes_of_sweeps(4, *TRAINS["als"], "--hops", n) for n in (1, 2))
        self.assertNotEqual(hops, direct)
        self.assertLessEqual(hops, 2 * direct)

    def test_refused(self):
        for words, what in ((["--expand-memory", "1M"], "expand-memory"), (["--share-node", "on"], "share-node on")):
            result = run(2, "train", self.data, "-o", self.out / "n.h5", *TRAINS["als"], "--hops", 2, *words)
            self.assertEqual(result.rc, 64, result)
            self.assertIn(f"--hops 2 brings whole panels to each rank: leave out --{what}", result.stderr)


if __name__ == "__main__":
    unittest.main()
