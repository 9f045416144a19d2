"""The scripts of jobs/ on a Slurm of the test's own: each runs as documented, and what was stopped ends with the bits of
what was not."""

import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

import h5py
import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / "e2e"), str(pathlib.Path(__file__).parent)]
import cluster  # pylint: disable=wrong-import-position
import harness  # pylint: disable=wrong-import-position
from harness import GRIDMF, GRIDMF_QUERY, run_good  # pylint: disable=wrong-import-position

SOURCE = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).parents[2]))
JOBS = SOURCE / "jobs"
SLOW = os.environ.get("GRIDMF_SLOW") == "1"
SWEEPS = 800  # some seconds
TRAIN = ["--algorithm", "ials", "--factors", 16, "--alpha", 1, "--lambda", 5]


class SlurmCase(harness.Case):
    N_NODES = 2

    @classmethod
    def setUpClass(cls):
        why = cluster.unavailable()
        if why:
            raise unittest.SkipTest(why)
        super().setUpClass()
        cls.slurm = cluster.Cluster(cls.N_NODES)
        cls.addClassCleanup(cls.slurm.close)
        # The programs under their names, as an installation has them.
        (cls.folder / "bin").mkdir()
        for program in (GRIDMF, GRIDMF_QUERY):
            (cls.folder / "bin" / pathlib.Path(program).name).symlink_to(program)
        cls.slurm.environment["PATH"] = f"{cls.folder}/bin:{cls.slurm.environment['PATH']}"
        cls.ratings = SOURCE / "inputs/ratings.csv"
        run_good(1, "import", cls.ratings, "-o", cls.folder / "data.h5")
        run_good(1, "split", cls.folder / "data.h5", "--train", cls.folder / "train.h5", "--test", cls.folder / "test.h5", "--method",
                 "random", "--fraction", "0.1")

    def submit(self, script, *arguments, options=(), **environment):
        """Starts a job in the folder of the test. One thread a rank, on two cores."""
        return self.slurm.submit(JOBS / script, *arguments, options=["--cpus-per-task=1", *options], cwd=self.out, **environment)

    def output(self, number):
        """What a job has printed."""
        return "".join(path.read_text() for path in sorted(self.out.glob(f"*-{number}.out")))

    def succeeds(self, number, timeout=120):
        job = self.slurm.wait(number, timeout)
        self.assertEqual((job["JobState"], job["ExitCode"]), ("COMPLETED", "0:0"), f"{self.output(number)}\n{job}")
        return self.output(number)

    def wait_for_output(self, number, pattern, timeout=60):
        harness.wait_for(lambda: re.search(pattern, self.output(number), re.MULTILINE), timeout)

    def assertSameModel(self, a, b):
        """The same bits in all that training computes."""
        with h5py.File(a) as f, h5py.File(b) as g:
            for name in ("users/factors", "items/factors", "history/objective", "users/id", "items/id"):
                self.assertEqual(f[name][()].tobytes(), g[name][()].tobytes(), name)

    def train(self, name, *, iterations=SWEEPS, options=(), script="train.sbatch", words=(), **environment):
        """Starts train.sbatch: many short sweeps, with a checkpoint only when it is asked to stop."""
        return self.submit(script, self.folder / "train.h5", self.out / name, *TRAIN, "--iterations", iterations, *words,
                           options=options, **environment)


class TestScripts(SlurmCase):
    """Each script once."""

    def test_import(self):
        output = self.succeeds(self.submit("import.sbatch", self.ratings, "data.h5", "--min-rating", 0))
        self.assertIn("4 ranks x 1 threads by srun on n1, 4096 MB a rank", output)
        self.assertRegex(output, r"ratings\.csv: \d+ bytes")
        with h5py.File(self.out / "data.h5") as f, h5py.File(self.folder / "data.h5") as g:
            self.assertEqual(f["ratings/data"][()].tobytes(), g["ratings/data"][()].tobytes())

    def test_train_small_by_either_launcher(self):
        """srun and mpirun start the same ranks, and these compute the same bits."""
        jobs = [self.train(f"{launcher}.h5", iterations=5, script="train-small.sbatch", GRIDMF_LAUNCHER=launcher)
                for launcher in ("srun", "mpirun")]
        for number, launcher in zip(jobs, ("srun", "mpirun")):
            output = self.succeeds(number)
            self.assertIn(f"2 ranks x 1 threads by {launcher} on n", output)
            self.assertRegex(output, "memory: about .* MB a rank of 2147 MB allowed .from Slurm.")
        self.assertSameModel(self.out / "srun.h5", self.out / "mpirun.h5")

    def test_train_on_two_nodes(self):
        """As its head asks, with 8 threads a rank; mpirun on several nodes too."""
        number = self.slurm.submit(JOBS / "train.sbatch", self.folder / "train.h5", "srun.h5", *TRAIN, "--iterations", 2, cwd=self.out)
        output = self.succeeds(number)
        self.assertRegex(output, r"run 1: 4 ranks x 8 threads by srun on n\[1-2\], 16384 MB a rank")
        output = self.succeeds(self.train("mpirun.h5", iterations=2, GRIDMF_LAUNCHER="mpirun"))
        self.assertRegex(output, r"run 1: 4 ranks x 1 threads by mpirun on n\[1-2\]")
        factors = [harness.read_factors(self.out / name) for name in ("srun.h5", "mpirun.h5")]
        for a, b in zip(*factors):  # threads share the sums otherwise
            np.testing.assert_allclose(a, b, atol=1e-5)

    def test_signal(self):
        """SIGUSR1 to the script, by either launcher: checkpoint, 75, queued again, and the bits of an undisturbed run."""
        whole, *stopped = (self.train(f"{name}.h5", GRIDMF_LAUNCHER=launcher, options=["--nodes=1"])
                           for name, launcher in (("whole", "srun"), ("srun", "srun"), ("mpirun", "mpirun")))
        for number in stopped:
            self.wait_for_output(number, r"^sweep +\d+/")
            self.slurm.command("scancel", "--batch", "--signal=USR1", number)
        self.succeeds(whole)
        for number, name in zip(stopped, ("srun", "mpirun")):
            output = self.succeeds(number)
            self.assertIn("stopped by a signal after sweep", output)
            self.assertIn("stopped with a checkpoint; queueing again", output)
            self.assertRegex(output, r"run 2: 2 ranks(.|\n)*resumed after sweep \d+")
            self.assertSameModel(self.out / "whole.h5", self.out / f"{name}.h5")

    def test_stop_file_and_limits_of_requeueing(self):
        """A person's STOP ends the job; so does 75 where no run is left."""
        endless = 100_000
        stopped = self.train("stopped.h5", iterations=endless)
        last = self.train("last.h5", iterations=endless, GRIDMF_MAX_REQUEUE="0", words=["--max-time", "2s"])
        self.wait_for_output(stopped, r"^sweep +\d+/")
        (self.out / "stopped.ckpt/STOP").touch()
        for number, said in ((stopped, "stopped by the file STOP"), (last, "stopped by --max-time")):
            job = self.slurm.wait(number)
            self.assertEqual((job["JobState"], job["ExitCode"], job["Restarts"]), ("FAILED", "75:0", "0"), self.output(number))
            self.assertIn(said, self.output(number))

    def test_wrong_use(self):
        """Errors are those of the program or a line of the script, with an exit code of their own."""
        for script, words, code, said in (("train-small.sbatch", ["missing.h5"], "64:0", "missing.h5 is not there"),
                                          ("train.sbatch", [self.folder / "train.h5", "m.h5", "--factors", "x"], "64:0", "--factors x"),
                                          ("train-small.sbatch", [SOURCE / "README.md"], "65:0", "README.md")):
            number = self.submit(script, *words)
            job = self.slurm.wait(number)
            self.assertEqual((job["JobState"], job["ExitCode"]), ("FAILED", code), self.output(number))
            self.assertIn(said, self.output(number))

    def test_recommend(self):
        run_good(1, "train", self.folder / "train.h5", "-o", self.out / "m.h5", *TRAIN)
        self.assertIn("2 ranks", self.succeeds(self.submit("recommend.sbatch", "m.h5", "r.h5", "--top", 3)))
        run_good(1, "recommend", self.out / "m.h5", "-o", self.out / "wanted.h5", "--top", 3)
        with h5py.File(self.out / "r.h5") as f, h5py.File(self.out / "wanted.h5") as g:
            self.assertEqual(f["top/item"].shape, (1000, 3))
            for name in ("top/item", "top/score"):
                self.assertEqual(f[name][()].tobytes(), g[name][()].tobytes(), name)

    def test_sweep(self):
        """A task a line; lines too many are no error, a line that fails is left out; the best comes first."""
        (self.out / "list").write_text("# comment\n--algorithm ials --alpha 1 --lambda 5 --factors 8\n\n--algorithm popularity\n--factors 0\n")
        number = self.submit("sweep.sbatch", self.folder / "train.h5", self.folder / "test.h5", "found", "list", options=["--array=0-3"])
        harness.wait_for(lambda: all(self.slurm.job(f"{number}_{k}")["JobState"] in ("COMPLETED", "FAILED") for k in range(4)), 120)
        self.assertEqual([self.slurm.job(f"{number}_{k}")["ExitCode"] for k in range(4)], ["0:0", "0:0", "64:0", "0:0"])
        done = subprocess.run([JOBS / "collect.sh", self.out / "found"], capture_output=True, text=True, check=True)
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        self.assertEqual([line[1:] for line in lines], [["task", "options"], ["0", "--algorithm ials --alpha 1 --lambda 5 --factors 8"],
                                                        ["1", "--algorithm popularity"], ["2", "--factors 0"]])
        self.assertEqual([line[0] for line in (lines[0], lines[3])], ["ndcg@10", "-"])
        for line in lines[1:3]:
            self.assertEqual(float(line[0]), json.loads((self.out / "found" / line[1] / "metrics.json").read_text())["ndcg@10"])
        self.assertGreater(float(lines[1][0]), float(lines[2][0]))

    def test_pipeline(self):
        """Three jobs that wait for each other; when the first fails the others are taken away."""
        small = self.out / "small.csv"
        with self.ratings.open(encoding="utf-8") as lines:
            small.write_text("".join(itertools.islice(lines, 20000)))
        (self.out / "bad.csv").write_text("user,item,rating\n1,2,x\n")
        for ratings, states in ((small, ["COMPLETED"] * 3), (self.out / "bad.csv", ["FAILED", "CANCELLED", "CANCELLED"])):
            folder = self.out / ratings.stem
            # More than the two nodes' memory is not there: the jobs' own sizes are taken.
            listed = self.slurm.command(JOBS / "pipeline.sh", ratings, folder, *TRAIN, "--iterations", 2, cwd=self.out)
            jobs = dict(line.split() for line in listed.splitlines())
            self.assertEqual(list(jobs), ["import", "train", "recommend"])
            self.assertEqual([self.slurm.wait(number)["JobState"] for number in jobs.values()], states)
        with h5py.File(self.out / "small/data.h5") as f, h5py.File(self.out / "small/recommended.h5") as g:
            self.assertEqual(g["top/item"].shape, (len(f["users/id"]), 20))

    def test_chain(self):
        """Runs that are stopped are gone on with by the next, and the last ones find nothing to do."""
        numbers = self.slurm.command(JOBS / "chain.sh", 4, "--cpus-per-task=1", "--nodes=1", JOBS / "train.sbatch", self.folder / "train.h5",
                                     "chained.h5", *TRAIN, "--iterations", SWEEPS, cwd=self.out).split()
        self.assertEqual(len(numbers), 4)
        self.wait_for_output(numbers[0], r"^sweep +\d+/")
        self.slurm.command("scancel", "--batch", "--signal=USR1", numbers[0])
        self.assertEqual([self.slurm.wait(number)["ExitCode"] for number in numbers], ["75:0", "0:0", "0:0", "0:0"])
        self.assertIn("resumed after sweep", self.output(numbers[1]))
        for number in numbers[2:]:
            self.assertIn("chained.h5 is complete; nothing is left to do", self.output(number))

    def test_selftest(self):
        """All is well here; and a library that gives other lists, or a checkpoint that is not gone on with, is noticed."""
        output = self.succeeds(self.submit("selftest.sbatch"))
        self.assertIn("all is well", output)
        self.assertEqual([output.count(word) for word in ("  ok ", "FAILED", "train on")], [2 + 3 * 4 + 5, 0, 3])
        self.assertEqual(list(self.out.glob("gridmf-selftest.*")), [])
        (self.out / "bin").mkdir()
        (self.out / "bin/gridmf-query").write_text(f'#!/bin/sh\n{GRIDMF_QUERY} "$@" && echo $$\n')
        (self.out / "bin/gridmf-query").chmod(0o755)
        (self.out / "bin/gridmf").write_text(f'#!/bin/sh\nexec {GRIDMF} "$@" $([ "$1" != train ] || echo --resume never)\n')
        (self.out / "bin/gridmf").chmod(0o755)
        number = self.submit("selftest.sbatch", "spoiled", options=["--nodes=1"], PATH=f"{self.out}/bin:{self.slurm.environment['PATH']}")
        self.assertEqual(self.slurm.wait(number)["ExitCode"], "1:0", self.output(number))
        self.assertEqual(re.findall("FAILED  (.*) .exit", self.output(number)), ["the lists of 1 rank", "that it went on"])
        self.assertTrue((self.out / "spoiled/log").exists())

    def test_copied_script(self):
        """A script that was copied from its folder finds common.sh where gridmf is installed."""
        for path in ("bin", "share/gridmf"):
            (self.out / path).mkdir(parents=True)
        for program in (GRIDMF, GRIDMF_QUERY):
            (self.out / "bin" / pathlib.Path(program).name).symlink_to(program)
        (self.out / "share/gridmf/jobs").symlink_to(JOBS)
        shutil.copy(JOBS / "train-small.sbatch", self.out / "mine.sbatch")
        number = self.slurm.submit(self.out / "mine.sbatch", self.folder / "train.h5", cwd=self.out, options=["--cpus-per-task=1"],
                                   PATH=f"{self.out}/bin:{self.slurm.environment['PATH']}")
        self.succeeds(number)
        self.assertTrue((self.out / "model.h5").exists())


@unittest.skipUnless(SLOW, "the long tests: scripts/test -L slow")
class TestFourNodes(SlurmCase):
    """What takes minutes: limits are whole minutes, and failed nodes are found by silence."""

    N_NODES = 4
    MANY = 1500  # sweeps of ten milliseconds

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The bits that all must end with, on 4 ranks.
        run_good(4, "train", cls.folder / "train.h5", "-o", cls.folder / "whole.h5", *TRAIN, "--iterations", cls.MANY, timeout=600)

    def test_eight_ranks_on_four_nodes(self):
        jobs = [self.train(f"{launcher}.h5", iterations=20, options=["--nodes=4"], GRIDMF_LAUNCHER=launcher) for launcher in ("srun", "mpirun")]
        for number in jobs:
            self.assertRegex(self.succeeds(number), r"run 1: 8 ranks x 1 threads by .* on n\[1-4\], 16384 MB a rank")
        self.assertSameModel(self.out / "srun.h5", self.out / "mpirun.h5")

    def test_node_that_dies(self):
        """Ranks, step daemons and slurmd of a node are gone: Slurm notices, and the job goes on elsewhere."""
        for launcher, which in (("srun", 1), ("mpirun", 1), ("srun", 0)):  # node 0 has the batch script
            with self.subTest(launcher=launcher, which=which):
                name = f"{launcher}-{which}"
                number = self.train(f"{name}.h5", iterations=self.MANY, words=["--checkpoint-every", "1s"], GRIDMF_LAUNCHER=launcher)
                self.wait_for_output(number, "^checkpoint ")
                victim = self.slurm.command("scontrol", "show", "hostnames", self.slurm.job(number)["NodeList"]).split()[which]
                self.slurm.kill_node(victim)
                self.slurm.wait_for_state(number, "PENDING")
                output = self.succeeds(number, 300)
                self.assertRegex(output, r"run 2: 4 ranks(.|\n)*resumed after sweep \d+")
                self.assertEqual(self.slurm.job(number)["Restarts"], "1")
                self.assertSameModel(self.folder / "whole.h5", self.out / f"{name}.h5")
                self.slurm.start_node(victim)
                harness.wait_for(lambda: self.slurm.nodes_in("idle") == self.N_NODES, 120)

    def test_node_taken_down(self):
        """An administrator takes a node from a running job, which goes on elsewhere."""
        number = self.train("m.h5", iterations=self.MANY, words=["--checkpoint-every", "1s"])
        self.wait_for_output(number, "^checkpoint ")
        node = self.slurm.job(number)["BatchHost"]
        for state in ("drain", "down"):  # nothing new begins there, and what runs ends
            self.slurm.command("scontrol", "update", f"nodename={node}", f"state={state}", "reason=test")
        self.succeeds(number, 300)
        self.assertNotIn(node, self.slurm.command("scontrol", "show", "hostnames", self.slurm.job(number)["NodeList"]).split())
        self.assertSameModel(self.folder / "whole.h5", self.out / "m.h5")
        self.slurm.command("scontrol", "update", f"nodename={node}", "state=resume")
        harness.wait_for(lambda: self.slurm.nodes_in("idle") == self.N_NODES, 120)

    def test_time_limit(self):
        """With the signal in time the job queues itself again; without it Slurm ends it, and the next submission goes on."""
        begin = time.monotonic()
        run_good(4, "train", self.folder / "train.h5", "-o", self.out / "short.h5", *TRAIN, "--iterations", 1000)
        long = int(1000 * 120 / (time.monotonic() - begin))  # two minutes
        run_good(4, "train", self.folder / "train.h5", "-o", self.out / "whole.h5", *TRAIN, "--iterations", long, timeout=900)
        signalled = self.train("signalled.h5", iterations=long, options=["--time=2", "--signal=B:USR1@60"])  # 0 to 60 s after its start
        killed = self.train("killed.h5", iterations=long, options=["--time=1", "--signal=B:USR1@0"], words=["--checkpoint-every", "1s"])
        job = self.slurm.wait(killed, 300)
        self.assertEqual(job["JobState"], "TIMEOUT", self.output(killed))
        again = self.train("killed.h5", iterations=long)
        output = self.succeeds(signalled, 900)
        self.assertRegex(output, r"stopped with a checkpoint; queueing again(.|\n)*run 2: 4 ranks(.|\n)*resumed after sweep \d+")
        self.assertSameModel(self.out / "whole.h5", self.out / "signalled.h5")
        self.assertRegex(self.succeeds(again, 900), r"resumed after sweep \d+")
        self.assertSameModel(self.out / "whole.h5", self.out / "killed.h5")

    def test_signal_before_ranks_listen(self):
        """It ends them; the job queues itself again all the same."""
        (self.out / "bin").mkdir()
        (self.out / "bin/gridmf").write_text(f'#!/bin/sh\n[ -n "$SLURM_RESTART_COUNT" ] || {{ touch waits; sleep 60; }}\nexec {GRIDMF} "$@"\n')
        (self.out / "bin/gridmf").chmod(0o755)
        for launcher in ("srun", "mpirun"):
            number = self.train(f"{launcher}.h5", iterations=5, GRIDMF_LAUNCHER=launcher, PATH=f"{self.out}/bin:{self.slurm.environment['PATH']}")
            harness.wait_for((self.out / "waits").exists)
            time.sleep(1)
            self.slurm.command("scancel", "--batch", "--signal=USR1", number)
            self.assertIn("run 2", self.succeeds(number))
            (self.out / "waits").unlink()

    def test_large_sweep(self):
        """Twelve tasks, four at a time; some are signalled."""
        (self.out / "list").write_text("".join(f"--algorithm ials --alpha 1 --factors 8 --lambda {k + 1} --iterations 200\n" for k in range(12)))
        number = self.submit("sweep.sbatch", self.folder / "train.h5", self.folder / "test.h5", "found", "list", options=["--array=0-11%4"])
        for k in (1, 3):
            log = self.out / f"found/{k}/log.jsonl"
            harness.wait_for(lambda: log.exists() and '"sweep"' in log.read_text())  # pylint: disable=cell-var-from-loop
            self.slurm.command("scancel", "--batch", "--signal=USR1", f"{number}_{k}", check=False)
        harness.wait_for(lambda: all(self.slurm.job(f"{number}_{k}")["JobState"] == "COMPLETED" for k in range(12)), 300)
        done = subprocess.run([JOBS / "collect.sh", self.out / "found"], capture_output=True, text=True, check=True)
        figures = [float(line.split("\t")[0]) for line in done.stdout.splitlines()[1:]]
        self.assertEqual(len(figures), 12)
        self.assertEqual(figures, sorted(figures, reverse=True))


class TestWorkstation(harness.Case):
    """The script that needs no Slurm."""

    def start(self, *words, **environment):
        path = f"{pathlib.Path(GRIDMF).parent}:{os.environ['PATH']}"
        return harness.start([JOBS / "workstation.sh", self.data, "model.h5", *TRAIN, *words], cwd=self.out,
                             env={"PATH": path, "RANKS": "2", "THREADS": "1", **environment})

    def setUp(self):
        super().setUp()
        self.data = harness.random_dataset(self.folder / "data.h5", 300, 200, 12000)

    def test_control_c(self):
        """SIGINT to the script and its processes, as a terminal sends it: checkpoint, 75, and the same command goes on."""
        process = self.start("--iterations", SWEEPS)
        log = self.out / "model.jsonl"
        harness.wait_for(lambda: log.exists() and '"sweep"' in log.read_text())
        os.killpg(process.pid, signal.SIGINT)
        stopped = harness.finish(process)
        self.assertEqual(stopped.rc, 75, str(stopped))
        self.assertIn("2 ranks x 1 threads by mpirun", stopped.stdout)
        self.assertIn("stopped by a signal", stopped.stderr)
        resumed = harness.finish(self.start("--iterations", SWEEPS))
        self.assertEqual(resumed.rc, 0, str(resumed))
        self.assertIn("resumed after sweep", resumed.stderr)

    def test_launch_that_fails(self):
        """It is tried three times at the most, and only when no rank has begun."""
        for code, n_launches, wanted in ((1, 1, 0), (1, 9, 1), (65, 9, 65)):  # what the first n launches end with
            folder = self.out / f"{code}-{n_launches}"
            folder.mkdir()
            (folder / "mpirun").write_text(f'#!/bin/sh\necho >>{folder}/log\n[ $(wc -l <{folder}/log) -gt {n_launches} ] || exit {code}\n'
                                           f'PATH=${{PATH#*:}}\nexec mpirun "$@"\n')
            (folder / "mpirun").chmod(0o755)
            path = f"{folder}:{pathlib.Path(GRIDMF).parent}:{os.environ['PATH']}"
            result = harness.finish(self.start("--iterations", 1, PATH=path))
            self.assertEqual(result.rc, wanted, str(result))
            self.assertEqual(len((folder / "log").read_text().splitlines()), {0: 2, 1: 3, 65: 1}[wanted])

    def test_binding(self):
        """Each rank has its threads' cores, where Open MPI is not told otherwise."""
        cores = len(os.sched_getaffinity(0))
        for ranks in {1, cores}:
            process = self.start("--iterations", 1, RANKS=str(ranks), THREADS=str(cores // ranks), OMPI_MCA_hwloc_base_binding_policy="",
                                 OMPI_MCA_hwloc_base_report_bindings="1")
            result = harness.finish(process)
            self.assertEqual(result.rc, 0, str(result))
            bound = re.findall(r"rank \d+ (is not bound|bound to .*)", result.stderr)
            self.assertEqual(len(bound), ranks, result.stderr)
            self.assertEqual(len(set(bound)), ranks, result.stderr)


if __name__ == "__main__":
    unittest.main()
