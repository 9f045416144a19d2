"""Files that were cut or changed after they were written: an error that says so, no crash, no hang.

What HDF5 knows about a file (its metadata) is protected by checksums of its own, so that any changed bit that matters
is found on opening. Arrays are protected by gridmf's, which `gridmf verify` compares; other verbs check values only.
With GRIDMF_SLOW=1 many more bits are tried.
"""

import os
import unittest

import numpy as np

import harness

SLOW = os.environ.get("GRIDMF_SLOW") == "1"
DAMAGED = 65


class Damage(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.model = cls.folder / "data.h5", cls.folder / "model.h5"
        text = cls.folder / "ratings.csv"
        rng = np.random.default_rng(1)
        pairs = rng.choice(300 * 200, 9000, replace=False)
        np.savetxt(text, np.column_stack([pairs // 200 + 1, pairs % 200 + 1, rng.integers(1, 6, 9000)]), "%d,%d,%d",
                   header="user,item,rating", comments="")
        harness.run_good(2, "import", text, "-o", cls.data)
        harness.run_good(2, "train", cls.data, "-o", cls.model, "--algorithm", "ials", "--factors", 8, "--iterations", 2)

    def readers(self, path):
        """(ranks, words) of what reads this file; `path` is a copy of either."""
        output = self.out / "output.h5"
        yield 1, ["verify", path]
        yield 1, ["info", path]
        if path.name.startswith("data"):
            yield 2, ["train", path, "-o", output, "--algorithm", "als", "--factors", 4, "--iterations", 1]
            yield 1, ["evaluate", self.model, path]
        else:
            yield 2, ["evaluate", path, self.data]

    def run_reader(self, n_ranks, words, allowed, what):
        result = harness.run(n_ranks, *words, "--quiet", "--stall-timeout", "20s")
        self.assertIn(result.rc, allowed, f"{what}: {result}")
        if result.rc != 0:
            self.assertEqual(len(result.messages()), 1, str(result))
        left = [p.name for p in self.out.iterdir() if p.name.startswith("output")]
        self.assertEqual(left, ["output.h5"] if result.rc == 0 and words[0] == "train" else [], str(result))
        for name in left:
            (self.out / name).unlink()
        return result.rc

    def copy(self, path, content):
        copy = self.out / path.name
        copy.write_bytes(content)
        return copy

    def test_cut_files(self):
        for path in (self.data, self.model):
            whole = path.read_bytes()
            for n_bytes in (len(whole) - 1, len(whole) - 100, len(whole) // 2, 4096, 1):
                for n_ranks, words in self.readers(self.copy(path, whole[:n_bytes])):
                    self.run_reader(n_ranks, words, (DAMAGED,), f"{path.name} cut to {n_bytes} bytes, {words[0]}")

    def test_flipped_bits_of_arrays(self):
        """verify finds each of them; the others find it, or take the value as it stands."""
        for path in (self.data, self.model):
            whole = path.read_bytes()
            for name, (offset, size) in sorted(harness.extents(path).items()):
                for at in {0, size // 2, size - 1}:
                    content = bytearray(whole)
                    content[offset + at] ^= 1 << (at % 8)
                    for n_ranks, words in self.readers(self.copy(path, content)):
                        if words[0] == "verify" or SLOW or at == size - 1:
                            self.run_reader(n_ranks, words, (DAMAGED,) if words[0] == "verify" else (0, DAMAGED),
                                            f"/{name} of {path.name}, byte {at}, {words[0]}")

    def test_flipped_bits_of_metadata(self):
        """Each is found, unless HDF5 has no use for the byte: then all verbs get along with it."""
        n_found = n_unused = 0
        for path in (self.data, self.model):
            whole = np.frombuffer(path.read_bytes(), "u1")
            is_metadata = whole != 0  # space that nothing uses is zero
            for offset, size in harness.extents(path).values():
                is_metadata[offset:offset + size] = False
            places = np.flatnonzero(is_metadata)
            self.assertGreater(len(places), 1000)
            for at in places[::max(1, len(places) // (500 if SLOW else 20))]:
                content = bytearray(whole.tobytes())
                content[at] ^= 1 << (int(at) % 8)
                codes = {words[0]: self.run_reader(n_ranks, words, (0, DAMAGED), f"byte {at} of {path.name}")
                         for n_ranks, words in self.readers(self.copy(path, bytes(content)))}
                n_found += codes["verify"] == DAMAGED
                n_unused += codes["verify"] == 0
        print(f"\nmetadata: {n_found} flipped bits found, {n_unused} in bytes without use", flush=True)
        self.assertGreater(n_found, 9 * n_unused)


if __name__ == "__main__":
    unittest.main()
