"""A write or sync that fails on any rank, at any point of the writer, loses nothing that was good and hangs nobody.

FAULTIO names the shared library made of faultio.c.
"""

import hashlib
import os
import unittest

import harness

FAULTIO = os.environ.get("FAULTIO", "")
N_RANKS = 3
SLOW = os.environ.get("GRIDMF_SLOW") == "1"


@unittest.skipUnless(FAULTIO, "FAULTIO is not set")
class Faults(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.folder / "data.h5"
        # Three ranks have blocks to write only when an array is longer than two blocks of a mebibyte.
        harness.run_good(2, "synth", "-o", cls.data, "--users", 9000, "--items", 3000, "--ratings", 800000, "--quiet")

    def train(self, output, **fault):
        # Writes of the file itself are counted; of syncs those of its folder and its lock too.
        target = output.parent if fault["call"] == "fsync" else f"{output}.tmp"
        environment = {"LD_PRELOAD": FAULTIO, "FAULT_PATH": str(target),
                       **{"FAULT_" + name.upper(): str(value) for name, value in fault.items()}}
        words = [w for name in environment for w in ("-x", name)]
        return harness.execute([*harness.MPIRUN, "-n", str(N_RANKS), *words, harness.GRIDMF, "train", self.data, "-o",
                                output, "--algorithm", "als", "--factors", 64, "--iterations", 0, "--quiet"],
                               env=environment)

    def sweep(self, call, rank, points):
        """Fails the call at each point until a run succeeds; returns how many runs failed."""
        output = self.out / "model.h5"
        output.write_bytes(b"a good model of yesterday")
        before = hashlib.sha256(output.read_bytes()).digest()
        n_failed = 0
        for after in points:
            result = self.train(output, call=call, rank=rank, after=after)
            left = sorted(p.name for p in self.out.iterdir())
            self.assertEqual(left, ["model.h5"], f"{call} {after} on rank {rank}: {result}")
            if result.rc == 0:
                harness.run_good(1, "verify", output)
                return n_failed
            n_failed += 1
            self.assertIn(result.rc, (73, 74), f"{call} {after} on rank {rank}: {result}")
            self.assertEqual(len(result.messages()), 1, str(result))
            if hashlib.sha256(output.read_bytes()).digest() != before:
                # Only the sync of the folder comes after the rename: the new file is then there, whole.
                self.assertEqual(call, "fsync")
                harness.run_good(1, "verify", output)
                before = hashlib.sha256(output.read_bytes()).digest()
        self.fail(f"{call} on rank {rank} never succeeded")

    def test_writes(self):
        points = range(200) if SLOW else (0, 1, 2, 5, 12, 30, 100, 1000)
        for rank in range(N_RANKS):
            with self.subTest(rank=rank):
                self.assertGreater(self.sweep("write", rank, points), 0, "no fault was hit: the test tests nothing")

    def test_syncs(self):
        for rank in range(N_RANKS):
            with self.subTest(rank=rank):
                self.assertGreater(self.sweep("fsync", rank, range(20)), 0, "no fault was hit")


if __name__ == "__main__":
    unittest.main()
