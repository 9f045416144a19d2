"""Logs: every event is as the manual says, counters of ranks add up, and scripts/report draws what it is given."""

import html.parser
import importlib.util
import json
import math
import os
import pathlib
import re
import struct
import sys
import unittest

import harness
from harness import random_dataset, run, run_good

SOURCE = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).parents[2]))
REPORT = [sys.executable, SOURCE / "scripts" / "report"]
ALS = ["--algorithm", "als", "--bias", "--factors", 6, "--iterations", 5]
COMMON = {"event", "schema", "elapsed"}
TYPES = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "object": lambda v: isinstance(v, dict),
    "array of numbers": lambda v: isinstance(v, list) and all(isinstance(x, (int, float)) for x in v),
    "array of integers": lambda v: isinstance(v, list) and all(isinstance(x, int) for x in v),
}


def events(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def schema():
    """{event: {field: (type, optional)}} of the manual page; "" for all events."""
    found, event = {"": {}}, ""
    page = run_good(1, "--manual").stdout
    for line in page[page.index(".Sh LOG FOR MACHINES"):page.index(".Sh EXIT STATUS")].splitlines():
        if name := re.fullmatch(r"\.Ar ([\w-]+)", line):
            event = name[1]
            found[event] = {}
        if item := re.fullmatch(r"\.It Va (\S+) No \((.*?)(, may be absent)?\)", line):
            found[event][item[1]] = (item[2], item[3] is not None)
    return found


class LogCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = random_dataset(cls.folder / "data.h5", 150, 90, 4000)
        cls.train, cls.test = cls.folder / "train.h5", cls.folder / "test.h5"
        run_good(2, "split", cls.data, "--train", cls.train, "--test", cls.test, "--method", "random", "--fraction", 0.2)
        cls.log = cls.folder / "train.jsonl"
        words = ["train", cls.train, "-o", cls.folder / "m.h5", *ALS, "--test", cls.test, "--metrics", "rmse,ndcg@10",
                 "--checkpoint", cls.folder / "ck", "--checkpoint-every", "0s", "--log-json", cls.log]
        cls.human = run_good(3, *words).stderr
        (cls.folder / "ck" / "000004.h5").unlink()
        run_good(3, *words)  # goes on after sweep 3


class TestSchema(LogCase):
    def check(self, log, described):
        """All events are known, and have the fields, of the types, that the manual gives them."""
        for e in events(log):
            fields = {**described[""], **described[e["event"]]}
            units = [k for k in ("sweep", "restart", "pass") if "UNIT" in fields and k in e]
            self.assertEqual(len(units), int("UNIT" in fields), e)
            for name, value in e.items():
                kind, optional = fields.get("UNIT" if name in units else name, (None, False))
                if kind is None and "METRIC" in fields:
                    self.assertRegex(name, r"^(rmse|ndcg@10)$")
                    kind = "number"
                self.assertIsNotNone(kind, f"{name} of {e} is not in the manual")
                self.assertTrue(TYPES[kind](value) or (optional and value is None), f"{name} of {e} is no {kind}")
            missing = {k for k, (_, optional) in fields.items() if not optional} - set(e) - {"UNIT"}
            self.assertEqual(missing, set(), e)
        return {e["event"] for e in events(log)}

    def test_every_event(self):
        described = schema()
        self.assertEqual(set(described[""]), COMMON)
        seen = self.check(self.log, described)
        ini = self.out / "grid.ini"
        ini.write_text("[sweep]\nalgorithm = als\niterations = 2\nfactors = 4, 140\nlambda = 0, 0.1\n")
        csv = self.out / "r.csv"
        csv.write_text("user,item,rating\n1,2,3\n1,3,4\n2,2,5\n")
        runs = [(1, 0, "import", csv, "-o", self.out / "d.h5"),
                (2, 0, "split", self.data, "--train", self.out / "a.h5", "--test", self.out / "b.h5", "--method", "random",
                 "--fraction", 0.5),
                (2, 0, "train", self.data, "-o", self.out / "l.h5", *ALS, "--roofline"),
                (2, 0, "train", self.data, "-o", self.out / "s.h5", "--algorithm", "svd", "--factors", 5, "--block", 2),
                (2, 0, "train", self.data, "-o", self.out / "k.h5", "--algorithm", "item-knn"),
                (2, 0, "train", self.data, "-o", self.out / "w.h5", "--algorithm", "ease"),
                (2, 0, "recommend", self.folder / "m.h5", "-o", self.out / "recs.h5", "--top", 3),
                (2, 0, "train", self.train, "-o", self.out / "e.h5", *ALS[:-1], 30, "--test", self.test, "--metrics", "rmse",
                 "--early-stop", 1),
                (4, 0, "sweep", self.train, "-o", self.out / "sw", "--config", ini, "--test", self.test, "--metrics", "rmse",
                 "--groups", 2),
                (2, 75, "train", self.data, "-o", self.out / "t.h5", *ALS, "--checkpoint", self.out / "ck", "--max-time",
                 "0.001s"),
                (2, 3, "train", self.data, "-o", self.out / "f.h5", "--algorithm", "als", "--lambda", 0, "--factors", 140)]
        for i, (n_ranks, rc, *words) in enumerate(runs):
            log = self.out / f"{i}.jsonl"
            result = run(n_ranks, *words, "--log-json", log)
            self.assertEqual(result.rc, rc, str(result))
            found = self.check(log, described)
            self.assertIn("error" if rc not in (0, 75) else "end", found)
            seen |= found
        for log in (self.out / "sw" / "points").glob("*.jsonl"):
            self.check(log, described)
        self.assertEqual(set(described) - seen - {"", "checkpoint_damaged"}, set(), "events that no run here has")

    def test_goes_on_in_the_same_file(self):
        found = events(self.log)
        self.assertEqual([e["verb"] for e in found if e["event"] == "start"], ["train"] * 2)
        self.assertEqual([e["n"] for e in found if e["event"] == "sweep"], [1, 2, 3, 4, 5, 4, 5])
        self.assertEqual([e["sweep"] for e in found if e["event"] == "resume"], [3])
        objective = {}
        for e in found:
            if e["event"] == "sweep":
                self.assertEqual(objective.setdefault(e["n"], e["objective"]), e["objective"])


class TestNumbers(LogCase):
    def test_ranks(self):
        first = events(self.log)
        first = first[:[e["event"] for e in first].index("end") + 1]
        end, sweeps = first[-1], [e for e in first if e["event"] == "sweep"]
        self.assertEqual({len(v) for v in [*end["phases"].values(), end["sent_bytes"], end["peak_bytes"]]}, {3})
        self.assertEqual(end["peak_bytes_per_rank"], max(end["peak_bytes"]))
        self.assertGreater(min(end["peak_bytes"]), 1 << 20)
        self.assertGreater(min(end["sent_bytes"]), 0)
        for name, seconds in end["phases"].items():
            spreads = [e["phases"][name] for e in sweeps if name in e["phases"]]
            for s in spreads:
                self.assertLessEqual(0, s["min"])
                self.assertLessEqual(s["min"], s["mean"] * (1 + 1e-9))
                self.assertLessEqual(s["mean"], s["max"] * (1 + 1e-9))
                self.assertIn(s["rank_of_max"], range(3))
            self.assertLessEqual(sum(s["mean"] for s in spreads), sum(seconds) / 3 + 1e-6, name)
        for name in ("solve", "expand", "score"):  # which run in sweeps alone
            spent = sum(e["phases"].get(name, {"mean": 0})["mean"] for e in sweeps)
            self.assertAlmostEqual(spent, sum(end["phases"][name]) / 3, delta=1e-3)

    def test_table(self):
        """The table for people has the same ranks and bytes; behind them it may say how much was done in a second."""
        rows = {m[1]: m[2].split() for m in re.finditer(r"^(\w+(?: \w+)*?) {2,}(.*?\d)(?: {2,}[\d.]+ [\w ]+/s)?$", self.human,
                                                        re.MULTILINE)}
        end = next(e for e in events(self.log) if e["event"] == "end")
        for name, values, unit in (("sent MB", end["sent_bytes"], 1e6), ("peak memory MB", end["peak_bytes"], 1e6)):
            found = [float(v) for v in rows[name][-4:-1]]
            for value, wanted in zip(found, (min(values), sum(values) / 3, max(values))):
                self.assertAlmostEqual(value, wanted / unit, delta=0.02 * wanted / unit + 0.1)
        for name, values in end["phases"].items():
            least, mean, most = (float(v) for v in rows[name][-4:-1])
            self.assertLessEqual(least, mean + 1e-3)
            self.assertLessEqual(mean, most + 1e-3)
            self.assertAlmostEqual(most, max(values), delta=0.05)

    def test_no_collective_without_a_log(self):
        """What is gathered for machines alone costs nothing where none reads."""
        counts = {}
        for name, extra in (("without", []), ("with", ["--log-json", self.out / "x.jsonl"])):
            err = run_good(2, "train", self.train, "-o", self.out / "m.h5", *ALS, *extra).stderr
            counts[name] = re.search(r"^sent MB +(\d+)", err, re.MULTILINE)[1]
        self.assertEqual(counts["with"], counts["without"])


class TestProgress(LogCase):
    def progress(self, data, **environment):
        words = ["train", data, "-o", self.out / "m.h5", *ALS]
        return run(2, *words, env=environment).stderr

    def test_live(self):
        data = self.out / "large.h5"  # a rank tells after many rows only
        run_good(2, "synth", "-o", data, "--users", 9000, "--items", 5000, "--ratings", 60000)
        err = self.progress(data, GRIDMF_PROGRESS="1")
        live = re.findall(r"\r\x1b\[Ksweep +(\d+)/5  ([\d,]+) of ([\d,]+) (users|items)  (\S+) M ratings/s  ([^\n\r]*) left(?=\r)",
                          err)
        self.assertGreater(len(live), 0, err)
        for n, rows, of, side, rate, left in live:
            self.assertIn(int(n), range(1, 6))
            self.assertEqual(of, {"users": "9,000", "items": "5,000"}[side])
            self.assertLessEqual(int(rows.replace(",", "")), int(of.replace(",", "")))
            self.assertTrue(math.isfinite(float(rate)))
            self.assertRegex(left, r"^(\d+\.\d s|\d+ s|\d+m\d\ds|\d+h\d\dm)$")
        self.assertEqual(len(re.findall(r"sweep +\d/5  objective", err)), 5)

    def test_job_log(self):
        """One line a sweep, and nothing that is written over."""
        err = self.progress(self.train)
        self.assertNotIn("\r", err)
        self.assertEqual(len(re.findall(r"^sweep +\d/5  objective .* M ratings/s", err, re.MULTILINE)), 5)


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.text, self.links = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href") and not v.startswith("#")]

    def handle_data(self, data):
        self.text.append(data)


@unittest.skipUnless(importlib.util.find_spec("matplotlib"), "python3-matplotlib is not installed")
class TestReport(LogCase):
    def report(self, log, output):
        return harness.execute([*REPORT, log, "-o", output], timeout=120)

    def good(self, log, output):
        result = self.report(log, output)
        self.assertEqual(result.rc, 0, str(result))
        return result

    def assertPicture(self, path):
        data = path.read_bytes()
        self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", data[16:24])
        self.assertGreater(min(width, height), 300)

    def test_training(self):
        self.good(self.log, self.out / "run")
        self.assertPicture(self.out / "run.png")
        page = Page((self.out / "run.html").read_text())
        self.assertEqual(page.tags.count("svg"), 6)
        self.assertEqual(page.links, [], "needs nothing from elsewhere")
        self.assertNotIn("script", page.tags)
        text = " ".join(page.text)
        end = [e for e in events(self.log) if e["event"] == "end"][-1]
        for words in ("Objective", "Validation", "Imbalance", "rmse", "ndcg@10", "3 ranks", "6 factors",
                      "%.2f" % (max(end["sent_bytes"]) / (1 << 20)), "%.3f" % max(end["phases"]["solve"])):
            self.assertIn(words, text)

    def test_sweep_and_svd(self):
        ini = self.out / "grid.ini"
        ini.write_text("[sweep]\nalgorithm = als\niterations = 2\nfactors = 4, 140\nlambda = 0, 0.1\n")
        run_good(2, "sweep", self.train, "-o", self.out / "sw", "--config", ini, "--test", self.test, "--metrics", "rmse",
                 "--log-json", self.out / "sw.jsonl")
        self.good(self.out / "sw.jsonl", self.out / "sw.html")
        text = (self.out / "sw.html").read_text()
        self.assertIn("Points by rmse", text)
        self.assertIn("factors 4, lambda 0.1", text)
        self.assertRegex(text, r"point \d failed: .*larger --lambda")
        run_good(2, "train", self.data, "-o", self.out / "s.h5", "--algorithm", "svd", "--factors", 9, "--block", 2,
                 "--log-json", self.out / "svd.jsonl")
        self.good(self.out / "svd.jsonl", self.out / "svd.svg")
        self.assertIn("Convergence of the SVD", (self.out / "svd.svg").read_text())

    def test_cut_off_and_foreign(self):
        lines = self.log.read_text().splitlines()
        cut = self.out / "cut.jsonl"
        cut.write_text("\n".join(lines[:8]) + "\n" + lines[8][:40])
        result = self.good(cut, self.out / "cut.html")
        self.assertIn("cut.jsonl:9: is cut off", result.stderr)
        self.assertIn("has no end", (self.out / "cut.html").read_text())
        for text, says in (("", "no events"), ("hello\n", ":1:"), (lines[0] + "\n[]\n" + lines[1], ":2:"),
                           (lines[0].replace('"schema":2', '"schema":99'), "schema 99"), (lines[0], "nothing to draw")):
            cut.write_text(text)
            result = self.report(cut, self.out / "no.html")
            self.assertEqual((result.rc, result.stderr.count("\n")), (1, 1), str(result))
            self.assertIn(says, result.stderr)
        self.assertFalse((self.out / "no.html").exists())
        self.assertEqual(self.report(self.out / "missing", self.out / "no.html").rc, 1)
        self.assertEqual(self.report(self.log, self.out / "no" / "such.png").rc, 1)


if __name__ == "__main__":
    unittest.main()
