"""gridmf's sweeps and its time to equal loss against those of implicit, irspack, cmfrec, lenskit, Spark and LIBMF.

Run by scripts/bench als, in a Python that has the peers; one that is missing is a line of the table. Each peer works in processes of its
own (bench_als_peers.py), one for each number of threads, which hold the ratings in memory and are asked in turns; BLAS has one thread
in them, as the peers advise, but in cmfrec's. All minimize one loss, as far as they have it:

    sum over all pairs of c (p - x.y)^2 + lambda (|x|^2 + |y|^2),   c = 1 + alpha r and p = 1 where rated, else c = 1, p = 0

which is implicit's with confidences 1 + alpha r, irspack's ORIGINAL with alpha0 = 1, nu = 0 and values alpha r, cmfrec's CMF_implicit and
lenskit's ImplicitMFScorer with use_ratings. Spark multiplies lambda by a row's number of ratings and has no other way: it and gridmf
meet in a second race, with that scale, for the loss that Spark has after its default of 10 sweeps, and 0.1 %. Whatever a program says of itself, losses are computed here by hkv_loss; gridmf's own
objective is used after it has been found equal to it.

Seconds a sweep: medians, over the turns, of the median of a turn's sweeps, the first left out. Peers that cannot be watched, cmfrec and Spark, by
the difference of two trainings, and their sweeps to the target by trainings of several lengths (<=: it may be fewer). Time to equal loss: set-up and so many sweeps, from ratings in memory to factors, until the loss is
within 0.1 % of the one that implicit's exact ALS has after --sweeps of them; implicit and irspack start where gridmf does, cmfrec, lenskit and
Spark from starts of their own. Ratios are taken turn by turn, and their
medians are what the targets are held against.

--short is for data of tens of millions of ratings: the loss to come to is the one of gridmf's exact sweeps, --sweeps of them; of the
peers CG alone goes for it, the others are timed, for two sweeps.
"""

import argparse
import collections
import json
import os
import pathlib
import platform
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import h5py
import numpy as np
import scipy.sparse

from bench_als_report import NAMES, markdown, print_plain, write_figures

SPARK_SWEEPS = 10  # its default
EQUAL = 1.001  # losses up to this factor are equal
# Of gridmf, by what they are called in the tables. Three steps of cg are its default, as its peers'; relaxed sweeps need two.
SOLVERS = {"auto": ["--solver", "auto"], "Cholesky": ["--solver", "cholesky"], "CG": ["--solver", "cg"],
           "auto, relaxed 1.5": ["--solver", "auto", "--relaxation", 1.5],
           "CG(2), relaxed 1.5": ["--solver", "cg", "--cg-steps", 2, "--relaxation", 1.5]}
MODES = {"implicit": ["CG", "Cholesky"], "irspack": ["CG", "Cholesky", "iALS++"], "cmfrec": ["CG", "Cholesky"],
         "lenskit": ["Cholesky"], "spark": ["Cholesky"]}


class Ratings:
    """A csr matrix, rows are users."""

    def __init__(self, indptr, indices, data, shape):
        self.indptr, self.indices, self.data, self.shape = indptr, indices, data, tuple(int(n) for n in shape)
        self.nnz = len(indices)

    @classmethod
    def of_dataset(cls, path):
        with h5py.File(path) as f:
            g = f["ratings"]
            return cls(g["indptr"][()], g["indices"][()].astype("i4"), g["data"][()], g.attrs["shape"])

    @classmethod
    def load(cls, folder):
        return cls(*(np.load(folder / f"{name}.npy") for name in ("indptr", "indices", "data", "shape")))

    def save(self, folder):
        folder.mkdir(exist_ok=True)
        for name in ("indptr", "indices", "data", "shape"):
            np.save(folder / f"{name}.npy", np.asarray(getattr(self, name)))

    def matrix(self):
        """A copy, with 32-bit positions where they are enough."""
        indptr = self.indptr.astype("i4" if self.nnz < 2**31 else "i8")
        return scipy.sparse.csr_matrix((self.data.astype("f4"), self.indices.copy(), indptr), shape=self.shape)


def hkv_loss(ratings, alpha, lam, x, y, by_count=False):
    """The loss above; by_count: each row's lambda times its number of ratings. In pieces, so that memory stays small."""
    x, y = np.ascontiguousarray(x, "f4"), np.ascontiguousarray(y, "f4")
    rows = np.repeat(np.arange(ratings.shape[0], dtype="i4"), np.diff(ratings.indptr))
    total, piece = 0.0, 1 << 17
    for begin in range(0, ratings.nnz, piece):
        part = slice(begin, begin + piece)
        score = np.einsum("ij,ij->i", x[rows[part]], y[ratings.indices[part]]).astype("f8")
        confidence = 1 + alpha * ratings.data[part].astype("f8")
        total += (confidence * (1 - score) ** 2 - score ** 2).sum()
    x, y = x.astype("f8"), y.astype("f8")
    weights = [1, 1]
    if by_count:
        weights = [np.diff(ratings.indptr), np.bincount(ratings.indices, minlength=ratings.shape[1])]
    penalty = sum((weight * (factors ** 2).sum(axis=1)).sum() for weight, factors in zip(weights, (x, y)))
    return total + ((x.T @ x) * (y.T @ y)).sum() + lam * penalty


def first_at_most(losses, target):
    """The first sweep, counted from 1, whose loss is no more than the target; None when there is none."""
    for sweep in sorted(losses):
        if losses[sweep] <= target:
            return sweep
    return None


def median_ratio(above, below):
    """Of two programs' seconds, turn by turn; one that ran fewer turns stands with its median in the others."""
    if not above or not below:
        return None
    turns = max(len(above), len(below))
    above, below = ([*times, *[statistics.median(times)] * (turns - len(times))] for times in (above, below))
    return statistics.median(a / b for a, b in zip(above, below))


def execute(*words, threads=1):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def say(*words):
    print(*words, file=sys.stderr, flush=True)


class Worker:
    """A peer's process. Its answers come through a queue, so that one that takes too long can be given up."""

    def __init__(self, peer, folder, threads):
        few, all_of_them = "1", str(threads)
        env = {**os.environ, "OMP_NUM_THREADS": all_of_them, "OPENBLAS_NUM_THREADS": all_of_them if peer == "cmfrec" else few,
               "MKL_NUM_THREADS": few, "RAYON_NUM_THREADS": all_of_them, "LK_NUM_THREADS": all_of_them,
               "LK_NUM_BACKEND_THREADS": few, "PYTHONWARNINGS": "ignore"}
        script = pathlib.Path(__file__).with_name("bench_als_peers.py")
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([sys.executable, script, peer, folder, str(threads)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True, env=env)
        self.answers = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()
        self.error = self.take(600).get("error")

    def listen(self):
        for line in self.process.stdout:
            self.answers.put(json.loads(line))
        self.answers.put({"error": self.last_words()})

    def last_words(self):
        """Why a process ended that was not asked to."""
        code = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return f"ended with {code}: {lines[-1] if lines else 'no word'}"

    def take(self, limit):
        try:
            return self.answers.get(timeout=limit)
        except queue.Empty:
            self.close()
            return {"error": f"no answer within {limit:.0f} s"}

    def ask(self, patience, **request):
        if self.error:
            return {"error": self.error}
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except OSError:
            return {"error": self.last_words()}
        return self.take(patience)

    def close(self):
        self.process.kill()
        self.process.wait()


Row = collections.namedtuple("Row", "program mode threads layout race")


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.workers, self.failed = {}, dict(args.missing)
        self.rough = set()  # (factors, peer, mode): may need fewer sweeps than were found
        self.times = collections.defaultdict(list)  # (factors, row): a dict of each turn
        self.needed, self.losses = {}, {}           # (factors, race, program, mode): sweeps to the target, loss there
        self.targets, self.races, self.turns_of = [], [], {}
        self.prepare()

    # ---- data --------------------------------------------------------------------------------------------------------

    def prepare(self):
        args, folder = self.args, self.folder
        if args.data:
            self.name = pathlib.Path(args.data).name
            self.data = args.data
            if not self.name.endswith(".h5"):
                self.data = folder / "data.h5"
                execute(args.gridmf, "import", args.data, "-o", self.data, "--quiet")
            self.stars = self.data
        else:
            self.name, self.data, self.stars = args.like, folder / "counts.h5", folder / "stars.h5"
            execute(args.gridmf, "synth", "-o", self.data, "--like", args.like, "--implicit", "--quiet", threads=2)
            execute(args.gridmf, "synth", "-o", self.stars, "--like", args.like, "--factors", 10, "--quiet", threads=2)
        self.ratings = Ratings.of_dataset(self.data)
        args.limit = args.limit or 600 * max(1, self.ratings.nnz / 2e6)
        m, n = self.ratings.shape
        self.problem = {"alpha": args.alpha, "lambda": args.lam, "spark_lambda": args.lam * (m + n) / (2 * self.ratings.nnz)}
        self.ratings.save(folder / "ratings")
        (folder / "ratings" / "problem.json").write_text(json.dumps(self.problem))
        if "libmf" in args.peers:
            execute(args.gridmf, "split", self.stars, "--train", folder / "train.h5", "--test", folder / "test.h5", "--method",
                    "random", "--fraction", 0.1, "--quiet")
            execute(args.gridmf, "split", folder / "train.h5", "--train", folder / "fit.h5", "--test", folder / "valid.h5", "--method",
                    "random", "--fraction", 0.1, "--seed", 2, "--quiet")
            for part in ("train", "test", "fit", "valid"):
                Ratings.of_dataset(folder / f"{part}.h5").save(folder / part)

    def worker(self, peer, threads):
        """The process of a peer, or None when it does not run."""
        if peer in self.failed:
            return None
        if (peer, threads) not in self.workers:
            data = self.folder / ("train" if peer == "libmf" else "ratings")
            self.workers[peer, threads] = Worker(peer, data, threads)
            if self.workers[peer, threads].error:
                self.failed[peer] = self.workers[peer, threads].error
                say(f"{peer}: {self.failed[peer]}")
                return None
        return self.workers[peer, threads]

    def close(self):
        for worker in self.workers.values():
            worker.close()

    # ---- gridmf ------------------------------------------------------------------------------------------------------

    def gridmf(self, data, factors, layout, sweeps, *options):
        """layout: ranks, threads of each. Sweeps' seconds but the first's, what comes beside them, the objectives."""
        ranks, threads = layout
        log = self.folder / "log.json"
        log.unlink(missing_ok=True)
        launch = ["mpirun", "-n", ranks] if ranks > 1 else []
        execute(*launch, self.args.gridmf, "train", data, "-o", self.folder / "model.h5", "--factors", factors, "--iterations",
                sweeps, "--threads", threads, "--no-seen", "--quiet", "--log-json", log, *options, threads=threads)
        return read_log(log)

    def implicit_options(self, solver, race):
        lam, scale = ((self.problem["spark_lambda"], "count") if race == "count" else (self.problem["lambda"], "none"))
        return ["--algorithm", "ials", "--loss", "hkv", "--alpha", self.problem["alpha"], "--lambda", lam, "--lambda-scale", scale,
                *SOLVERS[solver]]

    def layouts(self, threads):
        return [(1, threads)] if threads == 1 else [(1, threads), (threads, 1)]

    # ---- curves: how many sweeps each needs --------------------------------------------------------------------------

    def curve_of_peer(self, peer, mode, factors, limit, target):
        worker = self.worker(peer, max(self.args.threads))
        if worker is None:
            return {}
        first = min(limit, SPARK_SWEEPS if peer == "spark" else self.args.sweeps)
        answer = worker.ask(self.args.limit, ask="curve", mode=mode, factors=factors, limit=limit, target=target, first=first,
                            budget=self.args.budget, since=self.args.sweeps // 2 if self.args.short else 1)
        if "error" in answer:
            self.failed[peer] = answer["error"]
            say(f"{peer}: {answer['error']}")
        if answer.get("rough"):
            self.rough.add((factors, peer, mode))
        return {int(sweep): loss for sweep, loss in answer.get("losses", {}).items()}

    def curve_of_gridmf(self, solver, factors, race):
        sweeps = self.args.sweeps + 1 if self.args.short else 2 * self.args.sweeps
        run = self.gridmf(self.data, factors, (1, max(self.args.threads)), sweeps, *self.implicit_options(solver, race))
        with h5py.File(self.folder / "model.h5") as f:
            x, y = f["users/factors"][()], f["items/factors"][()]
        lam = self.problem["spark_lambda" if race == "count" else "lambda"]
        found = hkv_loss(self.ratings, self.problem["alpha"], lam, x, y, race == "count")
        said = run["objectives"][max(run["objectives"])]
        if abs(said / found - 1) > 1e-4:
            sys.exit(f"gridmf {solver} says that its objective is {said}, but it is {found}")
        return run["objectives"]

    def note(self, factors, race, program, mode, losses, target):
        sweeps = first_at_most(losses, target)
        self.needed[factors, race, program, mode] = sweeps
        self.losses[factors, race, program, mode] = losses.get(sweeps) if sweeps else (min(losses.values()) if losses else None)
        say(f"{factors} factors, {program} {mode}: " + (f"{sweeps} sweeps to the loss {target:.6g}" if sweeps else
            f"has not come to the loss {target:.6g}, but to {self.losses[factors, race, program, mode]}"))

    def make_start(self, factors):
        """The start that gridmf draws, for the peers that take one."""
        self.gridmf(self.data, factors, (1, 1), 0, *self.implicit_options("auto", "none"))
        with h5py.File(self.folder / "model.h5") as f:
            np.savez(self.folder / "ratings" / f"start-{factors}.npz", users=f["users/factors"][()], items=f["items/factors"][()])

    def find_sweeps(self, factors):
        sweeps, target = self.args.sweeps, None
        self.make_start(factors)
        if "implicit" in self.args.peers and not self.args.short:
            reference = self.curve_of_peer("implicit", "Cholesky", factors, sweeps, None)
            target = EQUAL * reference[sweeps] if reference else None
        ours = {solver: self.curve_of_gridmf(solver, factors, "none") for solver in SOLVERS}
        if target is None:
            target = EQUAL * ours["Cholesky"][sweeps]
            say("the target is the loss of gridmf's exact sweeps")
        else:
            self.note(factors, "none", "implicit", "Cholesky", reference, target)
        for solver, losses in ours.items():
            self.note(factors, "none", "gridmf", solver, losses, target)
        for peer in self.args.peers:
            for mode in MODES.get(peer, []):
                if self.args.short and mode != "CG":
                    continue
                if peer == "spark":
                    losses = self.curve_of_peer(peer, mode, factors, SPARK_SWEEPS, "own")
                    if losses:
                        own = EQUAL * losses[SPARK_SWEEPS]
                        self.note(factors, "count", peer, mode, losses, own)
                        for solver in SOLVERS:
                            self.note(factors, "count", "gridmf", solver, self.curve_of_gridmf(solver, factors, "count"), own)
                elif (factors, "none", peer, mode) not in self.needed:
                    losses = self.curve_of_peer(peer, mode, factors, 2 * sweeps, target)
                    if losses:
                        self.note(factors, "none", peer, mode, losses, target)

    # ---- seconds -----------------------------------------------------------------------------------------------------

    def rows(self, threads):
        for solver in SOLVERS:
            for layout in self.layouts(threads):
                yield Row("gridmf", solver, threads, layout, "none")
                if "spark" in self.args.peers and "spark" not in self.failed:
                    yield Row("gridmf", solver, threads, layout, "count")
        for solver in ("auto", "Cholesky"):
            for layout in self.layouts(threads):
                yield Row("gridmf als", solver, threads, layout, "als")
        for peer in self.args.peers:
            for mode in MODES.get(peer, []):
                yield Row(peer, mode, threads, None, "count" if peer == "spark" else "none")

    def measure(self, row, factors):
        """One turn of one row; {} when it does not run."""
        n = self.args.turn_sweeps
        if row.program == "gridmf":
            return self.gridmf(self.data, factors, row.layout, n + 1, *self.implicit_options(row.mode, row.race))
        if row.program == "gridmf als":
            return self.gridmf(self.stars, factors, row.layout, n + 1, "--algorithm", "als", *SOLVERS[row.mode])
        worker = self.worker(row.program, row.threads)
        if worker is None:
            return {}
        answer = worker.ask(self.args.limit, ask="time", mode=row.mode, factors=factors, sweeps=n + 1)
        if "error" in answer:
            self.failed[row.program] = answer["error"]
            say(f"{row.program} {row.mode}: {answer['error']}")
            return {}
        return answer

    def take_times(self, factors, threads):
        slow = set()
        for turn in range(self.args.repeat):
            for row in self.rows(threads):
                if row in slow:
                    continue
                begin = time.perf_counter()
                run = self.measure(row, factors)
                if time.perf_counter() - begin > self.args.slow:
                    slow.add(row)
                if run:
                    each = statistics.median(run["sweep"])
                    needed = self.needed.get((factors, row.race, row.program, row.mode))
                    self.times[factors, row].append({"sweep": each, "setup": run["setup"],
                                                     "total": run["setup"] + needed * each if needed else None})
            say(f"{factors} factors, {threads} threads: turn {turn + 1} of {self.args.repeat}")

    def seconds(self, factors, row, what):
        return [turn[what] for turn in self.times.get((factors, row), []) if turn[what] is not None]

    # ---- ratings held out --------------------------------------------------------------------------------------------

    def als_rmse(self, train, held_out, factors, options, layout):
        """A training of gridmf als, with the rmse of what is held out after each sweep, until it has been worse twice."""
        run = self.gridmf(self.folder / train, factors, layout, self.args.sweeps, "--algorithm", "als", *options, "--test",
                          self.folder / held_out, "--metrics", "rmse", "--early-stop", 2)
        say(f"als {train} {factors} factors {' '.join(map(str, options))}: rmse {min(run['rmse'].values()):.4f}")
        return run

    def choose_als(self, factors, layout):
        """Factors and options of gridmf als whose rmse of the validation part is least."""
        settings = [["--lambda", lam, *more] for lam in (0.02, 0.03, 0.05) for more in (["--center", "global"], ["--bias"])]
        settings += [["--lambda", lam, "--lambda-exponent", 0.8, "--center", "global"] for lam in (0.06, 0.08, 0.1, 0.13)]
        tried = [(k, setting) for k in fewer(factors) for setting in settings]
        return min(tried, key=lambda setting: min(self.als_rmse("fit.h5", "valid.h5", *setting, layout)["rmse"].values()))

    def sweeps_to_rmse(self, chosen, target, layout):
        """Of the exact solver and cg, what comes to the target with less work: (sweeps, factors, options), or None."""
        found = []
        for solver in ("auto", "cg"):
            factors, options = chosen[0], [*chosen[1], "--solver", solver]
            run = self.als_rmse("train.h5", "test.h5", factors, options, layout)
            sweeps = first_at_most(run["rmse"], target)
            if sweeps:
                found.append((sweeps * statistics.median(run["sweep"]), (sweeps, factors, options)))
        return min(found)[1] if found else None

    def ask_libmf(self, threads, **request):
        """LIBMF's answer; {} when it has none. On a busy machine it was seen to stand still, so that it is asked again, once."""
        answer = {}
        for _ in range(2):
            worker = self.worker("libmf", threads)
            patience = self.args.limit / (2 if request["ask"] == "race" else 5)
            answer = worker.ask(patience, **request) if worker else {"error": self.failed["libmf"]}
            if "error" not in answer:
                return answer
            self.workers.pop(("libmf", threads), None)
        self.failed.setdefault("libmf", answer["error"])
        say(f"libmf: {answer['error']}")
        return {}

    def race(self, factors):
        """Both have the setting, with as many factors or fewer, that is best on a part of the training, and LIBMF the number of
        epochs; what it comes to with them on the test set is the target."""
        threads = max(self.args.threads)
        runs = []
        for k in fewer(factors):
            answer = self.ask_libmf(threads, ask="race", factors=k, epochs=self.args.epochs)
            runs += [{**run, "setting": {"factors": k, **run["setting"]}} for run in answer.get("runs", [])]
        if not runs:
            return
        best, epochs, setting = best_of_race(runs)
        answer = self.ask_libmf(threads, ask="test", setting=setting, epochs=epochs)
        if not answer:
            return
        target = answer["rmse"]
        say(f"{factors} factors, LIBMF: rmse {best:.4f} of the validation part after {epochs} epochs, {setting}; of the test set {target:.4f}")
        found = {"factors": factors, "rmse": target, "epochs": epochs, "setting": setting, "libmf": {}, "gridmf": {}}
        chosen = self.sweeps_to_rmse(self.choose_als(factors, (1, threads)), target, (1, threads))
        for turn in range(self.args.repeat):
            for t in self.args.threads:
                answer = self.ask_libmf(t, ask="time", setting=setting, epochs=epochs)
                if answer:
                    found["libmf"].setdefault(t, []).append(answer["seconds"])
                for layout in self.layouts(t) if chosen else []:
                    sweeps, k, options = chosen
                    run = self.gridmf(self.folder / "train.h5", k, layout, sweeps, "--algorithm", "als", *options)
                    found["gridmf"].setdefault((t, layout), []).append(run["total"])
        found["sweeps"], found["ours"], found["options"] = chosen or (None, None, [])
        self.races.append(found)

    # ---- what came out -----------------------------------------------------------------------------------------------

    def best(self, factors, what, keep):
        """The seconds, by turns, of the row with the least median among those that `keep` takes; [] without any."""
        found = [self.seconds(factors, row, what) for f, row in self.times if f == factors and keep(row)]
        return min((times for times in found if times), key=statistics.median, default=[])

    def check(self, text, wanted, above, below, missing, factor=1):
        """A target: above / below, turn by turn, at least `wanted`."""
        if missing in self.failed or missing not in self.args.peers:
            why = self.failed.get(missing, "not among --peers")
            self.targets.append({"text": text, "target": wanted, "measured": None, "verdict": f"not measured ({missing}: {why})"})
            return
        ratio = median_ratio([factor * a for a in above], below)
        # A peer that never comes to the loss is not faster; one of ours is missed.
        verdict = "met" if below and (not above or ratio >= wanted) else "missed"
        self.targets.append({"text": text, "target": wanted, "measured": ratio, "verdict": verdict})

    def judge(self, factors):
        threads = max(self.args.threads)

        def of(program, *modes, race="none"):
            return lambda row: (row.program == program and row.threads == threads and row.race == race and
                                (not modes or row.mode in modes))

        def sweep(*which, **how):
            return self.best(factors, "sweep", of(*which, **how))

        def total(*which, **how):
            return self.best(factors, "total", of(*which, **how))

        k = f"{factors} factors"
        exact, cg = sweep("gridmf", "auto", "Cholesky"), sweep("gridmf", "CG")
        self.check(f"{k}: exact sweep, irspack's Cholesky / gridmf", 4, sweep("irspack", "Cholesky"), exact, "irspack")
        self.check(f"{k}: exact sweep, implicit's Cholesky / gridmf", 15, sweep("implicit", "Cholesky"), exact, "implicit")
        self.check(f"{k}: cg sweep, irspack's CG(3) / gridmf", 2, sweep("irspack", "CG"), cg, "irspack")
        self.check(f"{k}: cg sweep, implicit's CG(3) / gridmf", 5, sweep("implicit", "CG"), cg, "implicit")
        self.check(f"{k}: equal loss, irspack's best / gridmf's", 2, total("irspack"), total("gridmf"), "irspack")
        self.check(f"{k}: equal loss, implicit's CG / gridmf's best", 6, total("implicit", "CG"), total("gridmf"), "implicit")
        self.check(f"{k}: equal loss, Spark / gridmf's best", 25, total("spark", race="count"), total("gridmf", race="count"), "spark")
        self.check(f"{k}: als sweep, SPLATT as 1.1 x implicit's CG(3) / gridmf", 3, sweep("implicit", "CG"),
                   sweep("gridmf als", "auto", "Cholesky", race="als"), "implicit", factor=1.1)
        for race in self.races:
            if race["factors"] == factors:
                ours = min((times for (t, _), times in race["gridmf"].items() if t == threads), key=statistics.median, default=[])
                self.check(f"at most {k}: held-out rmse {race['rmse']:.4f}, LIBMF / gridmf", 1, race["libmf"].get(threads, []), ours, "libmf")
        if not any(race["factors"] == factors for race in self.races):
            self.check(f"at most {k}: held-out rmse, LIBMF / gridmf", 1, [], [], "libmf")

    def table(self):
        """Dicts of what the printed table, the Markdown and the JSON have."""
        lines = []
        for (factors, row), turns in self.times.items():
            sweep, total = (self.seconds(factors, row, what) for what in ("sweep", "total"))
            needed = self.needed.get((factors, row.race, row.program, row.mode))
            lines.append({"factors": factors, "race": row.race, "program": NAMES.get(row.program, row.program), "mode": row.mode,
                          "threads": row.threads, "ranks": row.layout[0] if row.layout else None, "turns": len(turns),
                          "sweep": statistics.median(sweep), "least": min(sweep), "most": max(sweep), "sweeps": needed,
                          "rough": (factors, row.program, row.mode) in self.rough,
                          "setup": statistics.median(turn["setup"] for turn in turns),
                          "to_loss": statistics.median(total) if total else None,
                          "loss": self.losses.get((factors, row.race, row.program, row.mode))})
        for race in self.races:
            for threads, times in race["libmf"].items():
                lines.append(race_line(race, "LIBMF", "SGD, " + libmf_words(race["setting"]), threads, None, race["epochs"], times))
            for (threads, layout), times in race["gridmf"].items():
                options = f"{race['ours']} factors, " + " ".join(str(word) for word in race["options"]).replace(" --", ", ").lstrip("-")
                lines.append(race_line(race, "gridmf als", options, threads, layout[0], race["sweeps"], times))
        return lines


def libmf_words(setting):
    return f"{setting['factors']} factors, " + ", ".join(f"{name} {value:g}" for name, value in setting.items() if name != "factors")


def fewer(factors):
    """Numbers of factors for a race: that one, a half and a quarter of it."""
    return sorted({factors, factors // 2 or 1, factors // 4 or 1}, reverse=True)


def race_line(race, program, mode, threads, ranks, sweeps, times):
    return {"factors": race["factors"], "race": "rmse", "program": program, "mode": mode, "threads": threads, "ranks": ranks,
            "turns": len(times), "sweep": statistics.median(times) / sweeps, "least": min(times) / sweeps,
            "most": max(times) / sweeps, "sweeps": sweeps, "rough": False, "setup": 0, "to_loss": statistics.median(times), "loss": race["rmse"]}


def read_log(path):
    """Of a run of gridmf train: seconds of its sweeps but the first, of what comes beside them, objectives by sweep."""
    events = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    sweeps = [e for e in events if e["event"] == "sweep"]
    end = [e for e in events if e["event"] == "end"][-1]
    each = [e["seconds"] for e in sweeps]
    # From ratings in memory to factors: everything but the files, though ratings are read as they are distributed. Each
    # phase counts with its slowest rank.
    total = sum(max(seconds) for phase, seconds in end["phases"].items() if phase not in ("read", "write"))
    late = each[1:] or each or [0.0]
    return {"sweep": late, "total": total, "setup": max(0.0, total - len(each) * statistics.median(late)),
            "objectives": {e["n"]: e["objective"] for e in sweeps},
            "rmse": {e["n"]: e["rmse"] for e in sweeps if "rmse" in e}}


def best_of_race(runs):
    """The least held-out rmse of all settings and epochs, the first epoch that has it, and the setting."""
    return min(((min(run["rmse"]), 1 + int(np.argmin(run["rmse"])), run["setting"]) for run in runs), key=lambda r: r[:2])


def machine():
    names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{len(os.sched_getaffinity(0))} cores of {names[0] if names else platform.machine()}"


def versions(peers):
    from importlib import metadata
    found = {}
    for peer in peers:
        try:
            found[peer] = metadata.version({"spark": "pyspark"}.get(peer, peer))
        except metadata.PackageNotFoundError:
            continue
    return found


def main():
    def numbers(text):
        return [int(n) for n in text.split(",")]

    parser = argparse.ArgumentParser()
    parser.add_argument("--gridmf", required=True)
    parser.add_argument("--like", default="ml-1m")
    parser.add_argument("--data")
    parser.add_argument("--peers", type=lambda t: [p for p in t.split(",") if p])
    parser.add_argument("--factors", type=numbers)
    parser.add_argument("--threads", type=numbers)
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--sweeps", type=int)
    parser.add_argument("--turn-sweeps", type=int)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--alpha", type=float, default=1)
    parser.add_argument("--lambda", type=float, default=5, dest="lam")
    parser.add_argument("--limit", type=float, help="seconds for one answer of a peer; default 600, in proportion more for over 2 million ratings")
    parser.add_argument("--slow", type=float, default=8, help="seconds of a turn after which a row is not taken again")
    parser.add_argument("--budget", type=float, default=40, help="seconds for the sweeps that a peer needs which cannot be watched")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--markdown")
    parser.add_argument("--json")
    parser.add_argument("--figures", action="store_true")
    parser.add_argument("--missing", type=lambda t: tuple(t.split("=", 1)), action="append", default=[])
    args = parser.parse_args()
    args.peers = args.peers or (["implicit", "irspack"] if args.short else [*MODES, "libmf"])
    args.factors = args.factors or ([64] if args.quick or args.short else [64, 128])
    args.threads = args.threads or ([2] if args.quick or args.short else [1, 2])
    args.repeat = args.repeat or (1 if args.short else 2 if args.quick else 3)
    args.sweeps = args.sweeps or (8 if args.short else 15)
    args.turn_sweeps = args.turn_sweeps or (1 if args.short else 3)
    unknown = sorted(set(args.peers) - set(MODES) - {"libmf"})
    if unknown:
        sys.exit(f"--peers: no {unknown[0]}; there are {', '.join([*MODES, 'libmf'])}")
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(args, pathlib.Path(temporary))
        try:
            sys.exit(compare(args, bench))
        finally:
            bench.close()


def compare(args, bench):
    m, n = bench.ratings.shape
    for factors in args.factors:
        bench.find_sweeps(factors)
        for threads in args.threads:
            bench.take_times(factors, threads)
        if "libmf" in args.peers:
            bench.race(factors)
        bench.judge(factors)
    title = (f"{bench.name}: {m:,} users, {n:,} items, {bench.ratings.nnz:,} ratings; alpha {args.alpha:g}, lambda {args.lam:g}; {machine()}; "
             + ", ".join(f"{peer} {version}" for peer, version in versions(args.peers).items()))
    result = {"title": title, "shape": bench.name, "rows": bench.table(), "targets": bench.targets, "failed": {p: bench.failed[p] for p in args.peers if p in bench.failed}}
    print_plain(result)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(result, indent=1) + "\n")
    if args.markdown:
        pathlib.Path(args.markdown).write_text(markdown(result))
    if args.figures:
        write_figures(result)
    return 1 if any(target["verdict"] == "missed" for target in bench.targets) else 0


if __name__ == "__main__":
    main()
