"""The peers of scripts/bench als: one process for each peer and number of threads, asked by bench_als.py.

    bench_als_peers.py PEER FOLDER THREADS        requests on standard input, answers on standard output, JSON, one a line

FOLDER has the ratings as NumPy arrays (bench_als.Ratings.save) and is in memory before any clock starts. A request

    {"ask": "time", "mode": .., "factors": .., "sweeps": ..}                 -> {"setup": seconds, "sweep": [seconds, ..]}
    {"ask": "curve", "mode": .., "factors": .., "limit": .., "target": ..}   -> {"losses": {sweep: loss}, "rough": ..}

"setup" is what a training takes beside its sweeps: the transposed matrix, the start. A curve ends at the first sweep whose loss is
no more than the target ("own": the peer's own loss after "first" sweeps, times EQUAL); peers that cannot be watched are trained anew for each of a few numbers of sweeps. Where a peer takes
a start, it gets gridmf's.
"""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import re
import sys
import tempfile
import time

import numpy as np

from bench_als import EQUAL, Ratings, hkv_loss


def read_problem(folder):
    """alpha, lambda and Spark's lambda."""
    return json.loads((folder / "problem.json").read_text())


class Enough(Exception):
    """Thrown through a peer's loop when its training is to end."""


class Clock:
    """Seconds of a training, without what is done between its sweeps."""

    def __init__(self):
        self.marks, self.seconds, self.begin = [], 0.0, time.perf_counter()

    def stop(self):
        self.seconds += time.perf_counter() - self.begin
        self.marks.append(self.seconds)

    def go_on(self):
        self.begin = time.perf_counter()


class Peer:
    """modes: what bench_als.py may ask for. fit(mode, factors, sweeps, visit) calls visit(f) after each sweep; f() is x, y."""

    spark_scale = False

    def __init__(self, folder, threads):
        self.folder, self.threads = folder, threads
        self.ratings, self.problem = Ratings.load(folder), read_problem(folder)

    def start(self, factors):
        with np.load(self.folder / f"start-{factors}.npz") as arrays:
            return arrays["users"], arrays["items"]

    def loss(self, x, y):
        lam = self.problem["spark_lambda"] if self.spark_scale else self.problem["lambda"]
        return hkv_loss(self.ratings, self.problem["alpha"], lam, x, y, self.spark_scale)

    def time(self, mode, factors, sweeps):
        clock = Clock()

        def visit(_factors):
            clock.stop()
            clock.go_on()

        self.fit(mode, factors, sweeps, visit)
        each = np.diff(clock.marks)
        return {"setup": max(0.0, clock.marks[0] - float(np.median(each))), "sweep": each.tolist()}

    def curve(self, mode, factors, limit, target, since=1, **_):
        """since: the first sweep whose loss is asked for; it takes longer than a sweep does."""
        losses, sweeps = {}, itertools.count(1)

        def visit(factors_now):
            sweep = next(sweeps)
            if sweep < since:
                return
            losses[sweep] = self.loss(*factors_now())
            if target is not None and losses[sweep] <= target:
                raise Enough

        with contextlib.suppress(Enough):
            self.fit(mode, factors, limit, visit)
        return {"losses": losses}


class Unwatched(Peer):
    """A peer that trains in one call: train(mode, factors, sweeps) gives x and y."""

    def time(self, mode, factors, sweeps):
        seconds = {}
        for n in (1, 1 + sweeps):
            begin = time.perf_counter()
            self.train(mode, factors, n)
            seconds[n] = time.perf_counter() - begin
        each = max(1e-9, (seconds[1 + sweeps] - seconds[1]) / sweeps)
        return {"setup": max(0.0, seconds[1] - each), "sweep": [each]}

    def curve(self, mode, factors, limit, target, first=None, budget=np.inf, **_):
        """first: what is trained first, and "own" is about. No training is begun after `budget` seconds: then the first
        sweep that reaches the target may be an earlier one than was found ("rough")."""
        losses, begin, first = {}, time.perf_counter(), first or limit

        def reaches(n):
            losses[n] = self.loss(*self.train(mode, factors, n))
            wanted = EQUAL * losses[first] if target == "own" else target
            return wanted is not None and losses[n] <= wanted

        low, high = 0, 0  # the loss falls from sweep to sweep: the first that reaches the target is in (low, high]
        if reaches(first):
            high = first
        elif first < limit and reaches(limit):
            low, high = first, limit
        while high - low > 1 and time.perf_counter() - begin < budget:
            middle = (low + high) // 2
            low, high = (low, middle) if reaches(middle) else (middle, high)
        return {"losses": losses, "rough": high - low > 1}


class Implicit(Peer):
    modes = ["CG", "Cholesky"]

    def __init__(self, *args):
        super().__init__(*args)
        import implicit.cpu.als
        self.als = implicit.cpu.als.AlternatingLeastSquares
        self.confidence = self.ratings.matrix()  # c = 1 + alpha r, which it takes as it is
        self.confidence.data = 1 + self.problem["alpha"] * self.confidence.data

    def fit(self, mode, factors, sweeps, visit):
        als = self.als(factors=factors, regularization=self.problem["lambda"], alpha=1.0, iterations=sweeps,
                       use_cg=mode == "CG", num_threads=self.threads)
        als.user_factors, als.item_factors = self.start(factors)
        als.fit(self.confidence, show_progress=False, callback=lambda *_: visit(lambda: (als.user_factors, als.item_factors)))


class Irspack(Peer):
    modes = ["CG", "Cholesky", "iALS++"]

    def __init__(self, *args):
        super().__init__(*args)
        from irspack import IALSRecommender
        self.recommender = IALSRecommender
        self.weights = self.ratings.matrix()  # c = alpha0 + x with alpha0 = 1: loss ORIGINAL
        self.weights.data = self.problem["alpha"] * self.weights.data

    def fit(self, mode, factors, sweeps, visit):
        model = self.recommender(self.weights, n_components=factors, alpha0=1.0, reg=self.problem["lambda"], nu=0.0,
                                 loss_type="ORIGINAL", solver_type={"iALS++": "IALSPP"}.get(mode, mode.upper()),
                                 n_threads=self.threads)
        model.trainer = model._create_trainer()
        core = model.trainer.core_trainer
        core.user, core.item = self.start(factors)
        for _ in range(sweeps):
            model.trainer.run_epoch()
            visit(lambda: (core.user, core.item))


class Lenskit(Peer):
    modes = ["Cholesky"]

    def __init__(self, *args):
        super().__init__(*args)
        import logging

        import pandas
        import structlog
        from lenskit.als import ImplicitMFScorer
        from lenskit.data import from_interactions_df
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        self.scorer = ImplicitMFScorer
        coo = self.ratings.matrix().tocoo()
        self.data = from_interactions_df(pandas.DataFrame({"user_id": coo.row, "item_id": coo.col, "rating": coo.data}))
        self.rows = [np.asarray(ids.ids()) for ids in (self.data.users, self.data.items)]

    def fit(self, mode, factors, sweeps, visit):
        from lenskit.training import TrainingOptions
        model = self.scorer(embedding_size=factors, epochs=sweeps, regularization=self.problem["lambda"],
                            weight=self.problem["alpha"], use_ratings=True)
        trainer = model.create_trainer(self.data, TrainingOptions(rng=1))
        for _ in range(sweeps):
            trainer.train_epoch()
            visit(lambda: (model.user_embeddings, model.item_embeddings))

    def loss(self, x, y):
        whole = []  # it has rows only for those with ratings
        for part, rows, n in zip((x, y), self.rows, self.ratings.shape):
            whole.append(np.zeros((n, part.shape[1]), "f4"))
            whole[-1][rows] = part
        return super().loss(*whole)


class Cmfrec(Unwatched):
    """With CG, 3.5.1 settles on factors of a higher loss than with Cholesky, however many steps it is given."""

    modes = ["CG", "Cholesky"]

    def __init__(self, *args):
        super().__init__(*args)
        from cmfrec import CMF_implicit
        self.cmf, self.coo = CMF_implicit, self.ratings.matrix().tocoo()

    def train(self, mode, factors, sweeps):
        model = self.cmf(k=factors, lambda_=self.problem["lambda"], alpha=self.problem["alpha"], use_cg=mode == "CG",
                         niter=sweeps, use_float=True, precompute_for_predictions=False, produce_dicts=False,
                         finalize_chol=False, verbose=False, nthreads=self.threads)
        model.fit(self.coo)
        return model.A_, model.B_


class Spark(Unwatched):
    modes = ["Cholesky"]
    spark_scale = True  # lambda n of each row; nothing else

    def __init__(self, *args):
        super().__init__(*args)
        import pandas
        from pyspark.ml.recommendation import ALS
        from pyspark.sql import SparkSession
        self.als, self.folder = ALS, tempfile.TemporaryDirectory()
        memory = f"{max(2, self.ratings.nnz // 3_000_000)}g"
        self.session = (SparkSession.builder.master(f"local[{self.threads}]").config("spark.driver.memory", memory)
                        .config("spark.ui.enabled", "false").config("spark.local.dir", self.folder.name)
                        .config("spark.driver.host", "localhost").config("spark.driver.bindAddress", "127.0.0.1")
                        .config("spark.driver.extraJavaOptions", "--add-modules=jdk.incubator.vector")
                        .config("spark.sql.shuffle.partitions", str(2 * self.threads)).getOrCreate())
        self.session.sparkContext.setLogLevel("ERROR")
        coo = self.ratings.matrix().tocoo()
        path = os.path.join(self.folder.name, "ratings.parquet")
        pandas.DataFrame({"user": coo.row, "item": coo.col, "rating": coo.data}).to_parquet(path)
        self.data = self.session.read.parquet(path).repartition(2 * self.threads).cache()
        self.data.count()
        self.train("Cholesky", 8, 1)  # the virtual machine compiles what it runs often

    def train(self, mode, factors, sweeps):
        model = self.als(rank=factors, maxIter=sweeps, implicitPrefs=True, alpha=self.problem["alpha"], seed=1,
                         regParam=self.problem["spark_lambda"], nonnegative=False, checkpointInterval=-1,
                         userCol="user", itemCol="item", ratingCol="rating").fit(self.data)
        return model.userFactors, model.itemFactors

    def loss(self, *frames):
        factors = []
        for frame, n in zip(frames, self.ratings.shape):
            rows = frame.toPandas()
            values = np.stack(rows["features"].to_numpy()).astype("f4")
            factors.append(np.zeros((n, values.shape[1]), "f4"))
            factors[-1][rows["id"].to_numpy()] = values
        return super().loss(*factors)


class Libmf:
    """SGD on explicit ratings, for settings that may have fewer factors than others. {"ask": "race", "factors": .., "epochs": ..} ->
    the rmse of the validation part after each epoch, for each of a few settings; {"ask": "test", "setting": .., "epochs": ..} -> the rmse
    of the test set after them; {"ask": "time", ..} likewise -> seconds."""

    SETTINGS = [{"lambda": lam, "eta": eta} for lam in (0.01, 0.025, 0.05) for eta in (0.05, 0.1, 0.2)]

    def __init__(self, folder, threads):
        with quiet_c():
            from libmf import mf
        self.mf, self.threads = mf, threads
        self.parts = {part: self.triples(Ratings.load(folder.with_name(part))) for part in ("fit", "valid", "train", "test")}

    @staticmethod
    def triples(ratings):
        coo = ratings.matrix().tocoo()
        return np.stack([coo.row, coo.col, coo.data], axis=1).astype("f4")

    def model(self, setting, epochs):
        return self.mf.MF(fun=0, k=setting["factors"], nr_threads=self.threads, nr_iters=epochs, nr_bins=max(20, 2 * self.threads),
                          lambda_p1=0.0, lambda_q1=0.0, lambda_p2=setting["lambda"], lambda_q2=setting["lambda"],
                          eta=setting["eta"], quiet=False)

    def rmse(self, setting, epochs, train, held_out):
        with quiet_c() as printed:
            self.model(setting, epochs).mf_train_test(self.parts[train], self.parts[held_out])
        return parse_libmf(printed())

    def race(self, factors, epochs):
        return {"runs": [{"setting": setting, "rmse": self.rmse({**setting, "factors": factors}, epochs, "fit", "valid")}
                         for setting in self.SETTINGS]}

    def test(self, setting, epochs):
        return {"rmse": self.rmse(setting, epochs, "train", "test")[-1]}

    def time(self, setting, epochs):
        model = self.model(setting, epochs)
        with quiet_c():
            begin = time.perf_counter()
            model.fit(self.parts["train"])
            seconds = time.perf_counter() - begin
        return {"seconds": seconds}


def parse_libmf(text):
    """The column va_rmse of the table that LIBMF prints."""
    lines = [line.split() for line in text.splitlines()]
    header = next(words for words in lines if "va_rmse" in words)
    column = header.index("va_rmse")
    return [float(words[column]) for words in lines if len(words) == len(header) and re.fullmatch(r"\d+", words[0])]


@contextlib.contextmanager
def quiet_c():
    """What C code prints meanwhile goes to a file; the value is a function that reads it."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(1)
        sys.stdout.flush()
        os.dup2(file.fileno(), 1)
        text = []
        try:
            yield lambda: text[0]
        finally:
            ctypes.CDLL(None).fflush(None)
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            text.append(file.read().decode(errors="replace"))


PEERS = {"implicit": Implicit, "irspack": Irspack, "cmfrec": Cmfrec, "lenskit": Lenskit, "spark": Spark, "libmf": Libmf}


def main():
    name, folder, threads = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints is no answer

    def answer(what):
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    try:
        peer = PEERS[name](folder, threads)
        answer({"ready": True})
    except Exception as reason:  # a peer that fails is a line of the table
        answer({"error": f"{type(reason).__name__}: {reason}"})
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(getattr(peer, request.pop("ask"))(**request))
        except Exception as reason:
            answer({"error": f"{type(reason).__name__}: {reason}"})


if __name__ == "__main__":
    main()
