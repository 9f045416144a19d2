"""gridmf train --algorithm svd against SciPy's svds (ARPACK), scikit-learn's randomized_svd and SLEPc, at equal residuals.

Run by scripts/bench. Each solver gets the loosest of its tolerances (power steps) with which all its triplets have
sqrt(|A v - s u|^2 + |A'u - s v|^2) <= target s_1; then the runs are interleaved, and medians of the seconds that the solver itself
takes are printed: reading, start-up and writing are nobody's. One thread a rank. Beside them the processor seconds of all ranks, which
other work on the machine hardly changes; those of gridmf and SLEPc are of the whole program, with reading and start-up.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from sklearn.utils.extmath import randomized_svd

SHAPES = {"ml-1m": (6040, 3706, 1_000_000), "ml-20m": (138_493, 26_744, 20_000_000)}


def execute(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def processor_seconds():
    """Of this process and its children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usages)


def launch(ranks):
    return ["mpirun", "-n", ranks] if ranks > 1 else []


class Problem:
    def __init__(self, args, folder):
        self.args, self.folder, self.data = args, folder, folder / f"{args.shape}.h5"
        if not self.data.exists():
            m, n, nnz = SHAPES[args.shape]
            execute(args.gridmf, "synth", "-o", self.data, "--users", m, "--items", n, "--ratings", nnz, "--quiet")
        with h5py.File(self.data) as f:
            g = f["ratings"]
            self.a = scipy.sparse.csr_matrix((g["data"][()].astype("f8"), g["indices"][()], g["indptr"][()]),
                                             shape=tuple(g.attrs["shape"]))
        self.raw = folder / f"{args.shape}.raw"
        with open(self.raw, "wb") as f:
            np.array([*self.a.shape, self.a.nnz], "i8").tofile(f)
            self.a.indptr.astype("i8").tofile(f)
            self.a.indices.astype("i4").tofile(f)
            self.a.data.tofile(f)

    def residual(self, u, s, vt):
        left, right = self.a @ vt.T - u * s, self.a.T @ u - vt.T * s
        return np.sqrt((left ** 2).sum(0) + (right ** 2).sum(0)).max() / s.max()

    def gridmf(self, tolerance, ranks):
        log = self.folder / "log.json"
        log.unlink(missing_ok=True)
        model = self.folder / "model.h5"
        began = processor_seconds()
        execute(*launch(ranks), self.args.gridmf, "train", self.data, "-o", model, "--algorithm", "svd", "--factors", self.args.factors,
                "--tolerance", tolerance, "--no-seen", "--quiet", "--log-json", log)
        cpu = processor_seconds() - began
        events = [json.loads(line) for line in log.read_text().splitlines()]
        svd = [e for e in events if e["event"] == "svd"][0]
        restarts = [e for e in events if e["event"] == "restart"]
        residual = np.hypot(svd["residuals_users"], svd["residuals_items"]).max() / svd["singular_values"][0]
        per = {}
        if len(restarts) > 1:
            per = {key: (restarts[-1][key] - restarts[0][key]) / (len(restarts) - 1)
                   for key in ("products", "collectives", "collective_bytes", "exchanges", "exchange_bytes")}
        return {"seconds": svd["seconds_solve"], "cpu": cpu, "residual": residual, "products": svd["products"], "restarts": svd["restarts"], "per": per}

    def slepc(self, solver, tolerance, ranks):
        began = processor_seconds()
        told = json.loads(execute(*launch(ranks), self.args.slepc, self.raw, self.args.factors, solver, tolerance).splitlines()[-1])
        return {**told, "cpu": processor_seconds() - began}

    def arpack(self, tolerance, _):
        count = [0]

        def counted(product):
            def call(x):
                count[0] += 1 if x.ndim == 1 else x.shape[1]
                return product(x)
            return call

        t = self.a.T.tocsr()
        op = scipy.sparse.linalg.LinearOperator(self.a.shape, matvec=counted(lambda x: self.a @ x),
                                                rmatvec=counted(lambda x: t @ x), matmat=counted(lambda x: self.a @ x),
                                                rmatmat=counted(lambda x: t @ x), dtype="f8")
        return self.timed(lambda: scipy.sparse.linalg.svds(op, self.args.factors, tol=tolerance, random_state=1), lambda: count[0])

    def randomized(self, steps, _):
        products = (2 * steps + 2) * (self.args.factors + 10)
        return self.timed(lambda: randomized_svd(self.a, self.args.factors, n_iter=steps, random_state=1), lambda: products)

    def timed(self, solve, products):
        """A solver of this process."""
        began, begin = processor_seconds(), time.perf_counter()
        u, s, vt = solve()
        seconds, cpu = time.perf_counter() - begin, processor_seconds() - began
        return {"seconds": seconds, "cpu": cpu, "residual": self.residual(u, s, vt), "products": products()}


def calibrate(name, run, settings, target, ranks, limit):
    """The first setting that reaches the target; the last one tried otherwise."""
    for setting in settings:
        result = run(setting, ranks)
        print(f"{name}, {ranks} ranks, setting {setting:g}: residual {result['residual']:.1e}, {result['seconds']:.2f} s, "
              f"{result['cpu']:.2f} processor s", file=sys.stderr, flush=True)
        if result["residual"] <= target or result["seconds"] > limit:
            break
    return setting, result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gridmf", required=True)
    parser.add_argument("--slepc", required=True)
    parser.add_argument("--shape", choices=SHAPES, default="ml-1m")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--target", type=float, default=1e-10)
    parser.add_argument("--repeat", type=int, default=5, help="0: the runs that chose the tolerances are all there are")
    parser.add_argument("--ranks", type=lambda text: [int(r) for r in text.split(",")], default=[1, 2], metavar="N,N")
    parser.add_argument("--limit", type=float, default=120, help="seconds after which a solver is not tried any harder")
    parser.add_argument("--tolerances", type=lambda text: [float(t) for t in text.split(",")], metavar="T,T,...",
                        default=[10.0 ** -e for e in (2, 4, 6, 8, 9, 10, 11, 12, 13)],
                        help="what ARPACK and SLEPc are tried with, loosest first")
    parser.add_argument("--keep", help="folder for the files")
    args = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.keep or temporary)
        folder.mkdir(exist_ok=True)
        sys.exit(compare(args, Problem(args, folder)))


def compare(args, problem):
    tolerances = args.tolerances
    solvers = [("gridmf krylov", problem.gridmf, [args.target * f for f in (100, 10, 1, 0.1)], (1, 2)),
               ("SciPy svds, ARPACK", problem.arpack, tolerances, (1,)),
               ("scikit-learn randomized", problem.randomized, [4, 16, 64, 256], (1,)),
               ("SLEPc trlanczos", lambda t, r: problem.slepc("trlanczos", t, r), tolerances, (1, 2)),
               ("SLEPc cross", lambda t, r: problem.slepc("cross", t, r), tolerances, (1, 2))]
    m, n = problem.a.shape
    print(f"{m:,} x {n:,}, {problem.a.nnz:,} ratings; {args.factors} triplets, residuals up to {args.target:g} s_1")
    chosen = [(name, run, ranks, *calibrate(name, run, settings, args.target, ranks, args.limit))
              for name, run, settings, all_ranks in solvers for ranks in all_ranks if ranks in args.ranks]
    seconds = [[] if args.repeat > 0 else [c[-1]["seconds"]] for c in chosen]
    for _ in range(args.repeat):
        for times, (_, run, ranks, setting, first) in zip(seconds, chosen):
            times.append(run(setting, ranks)["seconds"] if first["seconds"] <= args.limit else first["seconds"])
    print(f"{'':<24} {'ranks':>5} {'setting':>8} {'residual':>9} {'products':>9} {'processor':>9} {'seconds':>9} {'range':>17}")
    for times, (name, _, ranks, setting, first) in zip(seconds, chosen):
        missed = "" if first["residual"] <= args.target else "  (target missed)"
        print(f"{name:<24} {ranks:>5} {setting:>8.1e} {first['residual']:9.1e} {first['products']:>9,} {first['cpu']:9.2f} "
              f"{statistics.median(times):9.3f} {min(times):8.3f}-{max(times):.3f}{missed}")
    for name, _, ranks, _, first in chosen:
        if first.get("per"):
            p = first["per"]
            print(f"{name}, {ranks} ranks, a restart: {p['products']:.0f} products with a vector, {p['exchanges']:.0f} exchanges of "
                  f"{p['exchange_bytes'] / 1e6:.2f} MB, {p['collectives']:.0f} collectives of {p['collective_bytes'] / 1e6:.2f} MB a rank")
    good = True
    for ranks in args.ranks:
        ours = [statistics.median(t) for t, c in zip(seconds, chosen) if c[0] == "gridmf krylov" and c[2] == ranks][0]
        for times, (name, _, peer_ranks, _, first) in zip(seconds, chosen):
            if name != "gridmf krylov" and peer_ranks == ranks and first["residual"] <= args.target:
                faster = ours <= statistics.median(times)
                good = good and faster
                print(f"{'met' if faster else 'MISSED'}: {ranks} ranks: faster than {name} ({statistics.median(times) / ours:.2f}x)")
    return 0 if good else 1


if __name__ == "__main__":
    main()
