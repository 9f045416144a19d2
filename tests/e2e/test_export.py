"""gridmf export, and scripts/gridmf.py: other programs read what the files hold.

R and scikit-learn are asked where they are installed; AnnData's layout is checked with h5py, and by anndata where it is.
"""

import csv
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import unittest
import zipfile

import h5py
import numpy as np
import scipy.io
import scipy.sparse

import harness
from harness import GRIDMF_QUERY, run, run_good

SOURCE = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(SOURCE / "scripts"))
import gridmf  # noqa: E402

USAGE, DATA, NO_INPUT, CREATE, IO = 64, 65, 66, 73, 74
RSCRIPT = shutil.which("Rscript")


def has(module):
    return importlib.util.find_spec(module) is not None


class Export(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        names = sorted(f'item "{i}", naïve' for i in range(300))
        cls.data = harness.random_dataset(cls.folder / "data.h5", 500, 300, 9000, item_ids=np.array(names),
                                          times=lambda rng, n: rng.integers(0, 2**40, n),
                                          weights=lambda rng, n: rng.random(n))
        cls.als, cls.svd, cls.items, cls.recs = (cls.folder / f"{name}.h5" for name in ("als", "svd", "items", "recs"))
        run_good(2, "train", cls.data, "-o", cls.als, "--algorithm", "als", "--bias", "--factors", 6, "--iterations", 2, "--quiet")
        run_good(1, "train", cls.data, "-o", cls.svd, "--algorithm", "svd", "--factors", 3, "--quiet")
        run_good(1, "train", cls.data, "-o", cls.items, "--algorithm", "item-knn", "--quiet")
        run_good(2, "recommend", cls.als, "-o", cls.recs, "--top", 290, "--quiet")

    def export(self, path, to, n_ranks=1):
        out = self.out / f"{path.stem}.{to}"
        run_good(n_ranks, "export", path, "--to", to, "-o", out, "--quiet")
        return out

    def same(self, arrays, names, path):
        """arrays[name] has the bytes of the dataset names[name]."""
        with h5py.File(path) as f:
            for name, dataset in names.items():
                stored = f[dataset]
                self.assertEqual(arrays[name].shape, stored.shape, name)
                self.assertEqual(arrays[name].tobytes(), stored[()].tobytes() if stored.dtype.kind != "O" else None, name)

    def check_zip(self, path):
        with zipfile.ZipFile(path) as z:
            self.assertIsNone(z.testzip())
            self.assertEqual(len(z.namelist()), len(set(z.namelist())))
        if shutil.which("unzip"):
            subprocess.run(["unzip", "-tqq", path], check=True)

    # ---- npz ---------------------------------------------------------------------------------------------------------

    def test_npz_of_dataset(self):
        path = self.export(self.data, "npz", n_ranks=2)
        self.check_zip(path)
        with np.load(path) as arrays:
            self.same(arrays, {"data": "ratings/data", "indices": "ratings/indices", "indptr": "ratings/indptr",
                               "time": "ratings/time", "weight": "ratings/weight", "user_ids": "users/id"}, self.data)
            names = np.char.decode(arrays["item_ids"], "utf-8").tolist()
        r = harness.Ratings(self.data)
        self.assertEqual(names, [i.decode() for i in r.item_ids])
        matrix = scipy.sparse.load_npz(path)
        np.testing.assert_array_equal(matrix.toarray(), np.nan_to_num(r.dense()))

    def test_npz_of_models(self):
        path = self.export(self.als, "npz")
        self.check_zip(path)
        with np.load(path) as arrays:
            self.same(arrays, {"user_factors": "users/factors", "item_factors": "items/factors", "user_bias": "users/bias",
                               "item_bias": "items/bias", "user_ids": "users/id", "seen_indices": "seen/indices"}, self.als)
            with h5py.File(self.als) as f:
                self.assertEqual(arrays["global_mean"], f.attrs["global_mean"])
        with np.load(self.export(self.svd, "npz")) as arrays:
            self.assertEqual(arrays["user_factors"].dtype, "f8")
            self.same(arrays, {"user_factors": "users/factors", "singular_values": "singular_values"}, self.svd)
        with np.load(self.export(self.items, "npz")) as arrays:
            self.same(arrays, {"item_similarity_data": "items/similarity/data"}, self.items)

    def test_npz_of_recommendations(self):
        with np.load(self.export(self.recs, "npz")) as arrays:
            self.same(arrays, {"item": "top/item", "score": "top/score", "count": "top/count", "user_ids": "users/id"}, self.recs)

    def test_two_exports_are_one(self):
        first = self.export(self.als, "npz").read_bytes()
        self.assertEqual(first, self.export(self.als, "npz", n_ranks=3).read_bytes())

    # ---- text --------------------------------------------------------------------------------------------------------

    def test_csv_of_dataset(self):
        """Imported again, it is the dataset."""
        path = self.export(self.data, "csv")
        again = self.out / "again.h5"
        run_good(1, "import", path, "-o", again, "--columns", "user=user,item=item,rating=rating,time=time,weight=weight", "--quiet")
        with h5py.File(self.data) as a, h5py.File(again) as b:
            for name in ("users/id", "items/id", "ratings/data", "ratings/indices", "ratings/indptr", "ratings/time", "ratings/weight"):
                np.testing.assert_array_equal(a[name][()], b[name][()], name)

    def test_csv_of_model(self):
        for model, dtype in ((self.als, "f4"), (self.svd, "f8")):
            with open(self.export(model, "csv"), newline="") as f:
                rows = list(csv.reader(f))
            with gridmf.load(model) as m:
                self.assertEqual(rows[0], ["side", "id", "bias"] + [f"f{i + 1}" for i in range(m.item_factors.shape[1])])
                for side, ids, factors, bias in (("user", m.user_ids, m.user_factors, m.user_bias),
                                                 ("item", m.item_ids, m.item_factors, m.item_bias)):
                    mine = [r for r in rows[1:] if r[0] == side]
                    self.assertEqual([r[1] for r in mine], [str(i) for i in ids])
                    read = np.array([[float(x) for x in r[2:]] for r in mine]).astype(dtype)
                    np.testing.assert_array_equal(read[:, 1:], factors)
                    np.testing.assert_array_equal(read[:, 0], np.zeros(len(mine)) if bias is None else bias)

    def test_csv_of_recommendations(self):
        with open(self.export(self.recs, "csv"), newline="") as f:
            rows = list(csv.DictReader(f))
        asked = harness.execute([GRIDMF_QUERY, self.als, "recommend", "--all", "--top", 290, "--format", "csv"])
        wanted = list(csv.DictReader(asked.stdout.splitlines()))
        self.assertEqual([(r["user"], r["rank"], r["item"]) for r in rows],
                         [(r["user"], r["rank"], r["item"]) for r in wanted])
        np.testing.assert_array_equal(np.array([r["score"] for r in rows]).astype("f4"),
                                      np.array([r["score"] for r in wanted]).astype("f4"))

    def test_mtx(self):
        matrix = scipy.io.mmread(self.export(self.data, "mtx")).tocsr()
        np.testing.assert_array_equal(matrix.toarray(), np.nan_to_num(harness.Ratings(self.data).dense()))

    @unittest.skipUnless(RSCRIPT, "R is not installed")
    def test_r_reads_factors(self):
        path = self.export(self.svd, "csv")
        script = ('m <- read.csv(commandArgs(TRUE)[1]); u <- as.matrix(m[m$side == "user", -(1:3)]);'
                  'v <- as.matrix(m[m$side == "item", -(1:3)]);'
                  'cat(dim(u), dim(v), format(sum(diag(t(v) %*% v)), digits = 15), sep = "\\n")')
        said = subprocess.run([RSCRIPT, "--vanilla", "-e", script, path], check=True, capture_output=True, text=True).stdout.split()
        self.assertEqual(said[:4], ["500", "3", "300", "3"])
        self.assertAlmostEqual(float(said[4]), 3, places=10)  # V'V = I

    # ---- HDF5 --------------------------------------------------------------------------------------------------------

    def check_anndata(self, path, source, ratings):
        """anndata's "On-disk format"."""
        with h5py.File(path) as f, h5py.File(source) as s:
            self.assertEqual((f.attrs["encoding-type"], f.attrs["encoding-version"]), ("anndata", "0.1.0"))
            for frame, side in (("obs", "users"), ("var", "items")):
                g = f[frame]
                self.assertEqual((g.attrs["encoding-type"], g.attrs["encoding-version"], g.attrs["_index"], len(g.attrs["column-order"])),
                                 ("dataframe", "0.2.0", "_index", 0))
                index = g["_index"]
                self.assertEqual((index.attrs["encoding-type"], h5py.check_string_dtype(index.dtype).length), ("string-array", None))
                ids = s[side]["id"]
                wanted = [str(i) for i in ids[()]] if ids.dtype.kind == "i" else ids.asstr()[()].tolist()
                self.assertEqual(index.asstr()[()].tolist(), wanted)
            for group in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
                self.assertEqual((f[group].attrs["encoding-type"], f[group].attrs["encoding-version"]), ("dict", "0.1.0"))
            x = f["X"]
            self.assertEqual((x.attrs["encoding-type"], x.attrs["shape"].tolist()), ("csr_matrix", [500, 300]))
            for name in ("data", "indices", "indptr"):
                np.testing.assert_array_equal(x[name][()], s[ratings][name][()])
        if has("anndata"):
            import anndata
            self.assertEqual(anndata.read_h5ad(path).shape, (500, 300))

    def test_h5ad(self):
        self.check_anndata(self.export(self.data, "h5ad"), self.data, "ratings")
        path = self.export(self.als, "h5ad")
        self.check_anndata(path, self.als, "seen")
        with h5py.File(path) as f, h5py.File(self.als) as s:
            for name, side in (("obsm/factors", "users"), ("varm/factors", "items")):
                self.assertEqual(f[name].attrs["encoding-type"], "array")
                np.testing.assert_array_equal(f[name][()], s[side]["factors"][()])

    def test_ann_benchmarks(self):
        for model, dimension in ((self.als, 7), (self.svd, 3)):
            with h5py.File(self.export(model, "ann-benchmarks")) as f:
                train, test, neighbors, distances = (f[name][()] for name in ("train", "test", "neighbors", "distances"))
                self.assertEqual((f.attrs["distance"], f.attrs["dimension"]), ("dot", dimension))
            self.assertEqual((train.shape, test.shape, neighbors.shape), ((300, dimension), (500, dimension), (500, 100)))
            dots = test.astype("f8") @ train.astype("f8").T
            found = np.take_along_axis(dots, neighbors.astype("i8"), axis=1)
            np.testing.assert_allclose(found, -np.sort(-dots, axis=1)[:, :100], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(distances, -found, rtol=1e-5, atol=1e-5)

    # ---- Python and scikit-learn -------------------------------------------------------------------------------------

    def test_python_module(self):
        with gridmf.load(self.data) as d:
            np.testing.assert_array_equal(d.ratings.toarray(), np.nan_to_num(harness.Ratings(self.data).dense()))
            self.assertEqual((len(d.times), len(d.weights)), (9000, 9000))
            self.assertIn("naïve", d.item_ids[0])
        with gridmf.load(self.als) as m, gridmf.load(self.recs) as r:
            row = m.user_row("17")
            best = r.of(17)
            scores = m.scores(row)
            for item, score in best:
                self.assertAlmostEqual(scores[m.item_row(item)], score, places=4)
            self.assertEqual(len(best), 300 - m.seen[row].nnz)
            self.assertEqual(m.scores([1, 2]).shape, (2, 300))
            self.assertEqual(len(m.history["objective"]), 2)
        with gridmf.load(self.items) as m, self.assertRaises(ValueError):
            self.assertIsNone(m.user_factors)
            m.scores(0)
        (self.out / "x.h5").write_bytes(b"")
        with self.assertRaises((ValueError, OSError)):
            gridmf.load(self.out / "x.h5")

    def test_parts(self):
        """Ranges of users, joined."""
        parts = []
        for text in (":200", "200:450", "450:450", "450:"):
            parts.insert(0, self.out / f"part{len(parts)}.h5")
            run_good(2, "recommend", self.als, "-o", parts[0], "--top", 290, "--users-range", text, "--quiet")
        with gridmf.load_parts(parts) as joined, gridmf.load(self.recs) as whole:
            for name in ("user_ids", "item_ids", "items", "scores", "counts"):
                np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name), name)
            self.assertEqual(joined.of(333), whole.of(333))
        other = self.out / "other.h5"
        run_good(1, "recommend", self.als, "-o", other, "--top", 290, "--users-range", "0:200", "--include-seen", "--quiet")
        for wrong, says in ((parts[1:], "users from 450 on are in no file"), (parts[:-1], "begins with user 200"),
                            (parts + parts[-1:], "begins with user 0"), (parts[:-1] + [other], "@include_seen"), ([], "users from 0")):
            with self.assertRaisesRegex(ValueError, says):
                gridmf.load_parts(wrong)

    @unittest.skipUnless(has("sklearn"), "scikit-learn is not installed")
    def test_scikit_learn_finds_similar_items(self):
        from sklearn.neighbors import NearestNeighbors
        with gridmf.load(self.als) as m:
            search = NearestNeighbors(n_neighbors=11, metric="cosine").fit(m.item_factors)
            for row in range(0, 300, 60):
                distances, rows = search.kneighbors(m.item_factors[row:row + 1])
                answer = harness.execute([GRIDMF_QUERY, self.als, "similar-items", "--item", m.item_ids[row], "--top", 10,
                                          "--format", "json"])
                self.assertEqual(answer.rc, 0, str(answer))
                items = answer.json()["items"]
                self.assertEqual([i["item"] for i in items], [m.item_ids[r] for r in rows[0] if r != row])
                np.testing.assert_allclose([i["score"] for i in items], 1 - distances[0][rows[0] != row], atol=1e-5)

    # ---- refusals ----------------------------------------------------------------------------------------------------

    def refuse(self, status, says, *words):
        result = run(2, "export", *words)
        self.assertEqual(result.rc, status, str(result))
        self.assertEqual(len(result.messages()), 1, str(result))
        self.assertRegex(result.messages()[0], says)
        self.assertEqual(list(self.out.iterdir()), [])

    def test_refusals(self):
        out = self.out / "x"
        for path, to in ((self.data, "ann-benchmarks"), (self.als, "mtx"), (self.recs, "h5ad"), (self.recs, "mtx"),
                         (self.recs, "ann-benchmarks"), (self.items, "csv"), (self.items, "h5ad"), (self.items, "ann-benchmarks")):
            with self.subTest(path=path.name, to=to):
                self.refuse(USAGE, f"--to {to} cannot hold; there are npz", path, "--to", to, "-o", out)
        self.refuse(USAGE, "--to .* is needed", self.data, "-o", out)
        self.refuse(USAGE, "-o OUT is needed", self.data, "--to", "npz")
        self.refuse(NO_INPUT, "no-such", self.folder / "no-such", "--to", "npz", "-o", out)
        self.refuse(DATA, "not an HDF5 file", __file__, "--to", "npz", "-o", out)
        self.refuse(CREATE, "cannot be created", self.data, "--to", "npz", "-o", self.folder / "nowhere" / "x")
        self.refuse(USAGE, "is an input of this run", self.data, "--to", "npz", "-o", self.data)

    @unittest.skipUnless(os.environ.get("FAULTIO"), "FAULTIO is not set")
    def test_full_disk(self):
        """A write that fails leaves nothing behind, and what was there before stays."""
        for to in ("npz", "csv", "mtx", "h5ad"):
            with self.subTest(to=to):
                out = self.out / "x"
                out.write_bytes(b"of yesterday")
                result = run(1, "export", self.data, "--to", to, "-o", out, env={
                    "LD_PRELOAD": os.environ["FAULTIO"], "FAULT_PATH": str(self.out) + "/", "FAULT_CALL": "write", "FAULT_RANK": "0",
                    "FAULT_HOW": "28", "FAULT_AFTER": "0"})
                self.assertEqual(result.rc, IO, str(result))
                self.assertEqual(len(result.messages()), 1, str(result))
                self.assertEqual([(p.name, p.read_bytes()) for p in self.out.iterdir()], [("x", b"of yesterday")])


if __name__ == "__main__":
    unittest.main()
