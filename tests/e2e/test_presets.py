"""scripts/get-data: data sets fetched and checked, from a folder of archives made here, never from the network."""

import hashlib
import os
import pathlib
import shutil
import unittest
import zipfile

import harness

SOURCE = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).parents[2]))
FAIL = 1

# Of each layout of MovieLens one: what its archive holds, how a line of it begins and goes on, and how many there are.
LAYOUTS = {
    "ml-latest-small": ("ml-latest-small/ratings.csv", b"userId,movieId,rating,timestamp\n", b"1,2,3.5,4\n", 100_004),
    "ml-1m": ("ml-1m/ratings.dat", b"", b"1::2::3::4\n", 1_000_209),
    "ml-100k": ("ml-100k/u.data", b"", b"1\t2\t3\t4\n", 100_000),
}


def script(name, *args, **how):
    return harness.execute([SOURCE / "scripts" / name, *args], **how)


class ScriptCase(harness.Case):
    def check_failure(self, result, says):
        """One message, which has all of `says`, and nothing on the standard output."""
        self.assertEqual((result.rc, result.stdout), (FAIL, ""), str(result))
        messages = [line for line in result.stderr.splitlines() if not line.startswith("Downloading ")]
        self.assertEqual(len(messages), 1, str(result))
        for words in says:
            self.assertIn(str(words), messages[0])


@unittest.skipUnless(shutil.which("curl") and shutil.which("unzip"), "curl and unzip are not installed")
class GetData(ScriptCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mirror = cls.folder / "mirror"
        cls.mirror.mkdir()
        cls.md5 = {name: cls.make(name) for name in LAYOUTS}

    @classmethod
    def make(cls, name, n=None, folder=None):
        """Makes the archive of a data set, of n ratings; returns its md5."""
        member, header, line, published = LAYOUTS[name]
        path = (folder or cls.mirror) / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, header + line * (published if n is None else n))
            archive.writestr(f"{name}/README", "terms\n")
        return hashlib.md5(path.read_bytes()).hexdigest()

    def get(self, name, *args, mirror=None):
        return script("get-data", "--to", self.out, *args, name, env={"GRIDMF_MIRROR": f"file://{mirror or self.mirror}"})

    def left(self):
        return sorted(p.name for p in self.out.iterdir())

    def test_layouts(self):
        for name, (member, header, line, n) in LAYOUTS.items():
            with self.subTest(name=name):
                ratings = self.out / name / pathlib.Path(member).name
                first = self.get(name, "--md5", self.md5[name])
                self.assertEqual((first.rc, first.stdout), (0, f"{ratings}\n"), str(first))
                self.assertEqual(ratings.stat().st_size, len(header) + n * len(line))
                self.assertIn("Harper", first.stderr)
                # Once more, with nothing to download from: it is all there.
                before = ratings.stat().st_mtime_ns
                second = self.get(name, mirror=self.out / "none")
                self.assertEqual((second.rc, second.stdout), (0, first.stdout), str(second))
                self.assertNotIn("Downloading", second.stderr)
                self.assertEqual(ratings.stat().st_mtime_ns, before)
        self.assertEqual(self.left(), sorted([*LAYOUTS, *(f"{name}.zip" for name in LAYOUTS)]))

    def test_wrong_md5(self):
        published = "0e33842e24a9c977be4e0107933c0723"
        self.check_failure(self.get("ml-100k"), ["ml-100k.zip", self.md5["ml-100k"], published])
        self.assertEqual(self.left(), [])
        # An archive that somebody put there is theirs to remove.
        shutil.copy(self.mirror / "ml-100k.zip", self.out)
        self.check_failure(self.get("ml-100k"), [self.out / "ml-100k.zip", self.md5["ml-100k"], published, "remove"])
        self.assertEqual(self.left(), ["ml-100k.zip"])

    def test_wrong_count(self):
        for name, n in (("ml-100k", 99_999), ("ml-1m", 1_000_210), ("ml-latest-small", 89_999)):
            with self.subTest(name=name):
                md5 = self.make(name, n, self.out)
                self.check_failure(self.get(name, "--md5", md5), [self.out / f"{name}.zip", f"{n} ratings"])
                self.assertFalse((self.out / name).exists())
        self.assertEqual(self.left(), sorted(f"{name}.zip" for name in LAYOUTS))

    def test_damaged_folder(self):
        (self.out / "ml-100k").mkdir()
        self.check_failure(self.get("ml-100k"), [self.out / "ml-100k", "u.data"])
        (self.out / "ml-100k" / "u.data").write_bytes(b"1\t2\t3\t4\n" * 7)
        self.check_failure(self.get("ml-100k"), [self.out / "ml-100k", "7 ratings"])

    def test_out_of_reach(self):
        """Neither archive nor mirror: what could not be got, what to download, and where to put it."""
        for mirror in (self.out, self.out / "none"):
            with self.subTest(mirror=mirror):
                self.check_failure(self.get("ml-20m", mirror=mirror),
                                   [f"file://{mirror}/ml-20m.zip", self.out / "ml-20m.zip",
                                    "https://files.grouplens.org/datasets/movielens/ml-20m.zip"])
                self.assertEqual(self.left(), [])

    def test_archive_at_hand(self):
        shutil.copy(self.mirror / "ml-1m.zip", self.out)
        done = self.get("ml-1m", "--md5", self.md5["ml-1m"], mirror=self.out / "none")
        self.assertEqual((done.rc, done.stdout), (0, f"{self.out}/ml-1m/ratings.dat\n"), str(done))

    def test_resumes(self):
        """The half that came last time is kept: put together with the other half it has the checksum."""
        whole = (self.mirror / "ml-1m.zip").read_bytes()
        (self.out / "ml-1m.zip.part").write_bytes(whole[:len(whole) // 2])
        cut = self.out / "cut"
        cut.mkdir()
        (cut / "ml-1m.zip").write_bytes(b"-" * (len(whole) // 2) + whole[len(whole) // 2:])
        done = self.get("ml-1m", "--md5", self.md5["ml-1m"], mirror=cut)
        self.assertEqual(done.rc, 0, str(done))
        self.assertEqual(self.left(), ["cut", "ml-1m", "ml-1m.zip"])

    def test_broken_archive(self):
        """The one without a checksum: what is no whole archive is not unpacked."""
        whole = (self.mirror / "ml-latest-small.zip").read_bytes()
        for content in (whole[:-100], b"<html>moved</html>"):
            (self.out / "ml-latest-small.zip").write_bytes(content)
            self.check_failure(self.get("ml-latest-small"), [self.out / "ml-latest-small.zip", "remove"])
            self.assertEqual(self.left(), ["ml-latest-small.zip"])

    def test_usage(self):
        self.check_failure(script("get-data"), ["--help"])
        self.check_failure(script("get-data", "ml-3m"), ["ml-3m"])
        self.check_failure(script("get-data", "--colour", "ml-1m"), ["--colour"])
        self.check_failure(script("get-data", "ml-1m", "--md5"), ["--md5"])


if __name__ == "__main__":
    unittest.main()
