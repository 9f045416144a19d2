"""Two runs that name one output, and what a killed run leaves: tests/io/test_lock.c has the cases, here are the verbs."""

import errno
import hashlib
import os
import signal
import subprocess
import time
import unittest

import harness
from harness import GRIDMF, run, run_good

CREATE, IO = 73, 74
ALS = ["--algorithm", "als", "--factors", 4, "--seed", 1, "--quiet"]


class Locks(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.text = cls.folder / "data.h5", cls.folder / "ratings.csv"
        run_good(1, "synth", "-o", cls.data, "--users", 200, "--items", 100, "--ratings", 2000, "--quiet")
        cls.text.write_text("user,item,rating\n1,1,5\n1,2,3\n2,1,4\n")

    def start(self, n_ranks, output, env=None):
        """A training that does not end, as a process; returns when it has its lock."""
        words = [*harness.launch(n_ranks), GRIDMF, "train", self.data, "-o", output, *ALS, "--iterations", 1000000]
        process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True,
                                   env={**harness.MPI_ENVIRONMENT, **os.environ, **(env or {})})
        self.addCleanup(process.wait)
        self.addCleanup(harness._kill_session, process.pid)
        deadline = time.monotonic() + 30
        while not list(output.parent.glob(output.name + ".tmp.*")):
            self.assertLess(time.monotonic(), deadline, "it does not start")
            time.sleep(0.02)
        return process

    @staticmethod
    def holder(output):
        """What the lock file says."""
        lines = (output.parent / (output.name + ".lock")).read_text().splitlines()
        return dict(line.split(" ", 1) for line in lines[1:] if " " in line)

    def names(self):
        return sorted(p.name for p in self.out.iterdir())

    def kill_holder(self, process, output):
        """kill -9 of rank 0, as the kernel does it when memory is short; then mpirun ends the others."""
        os.kill(int(self.holder(output)["pid"]), signal.SIGKILL)
        process.wait(30)

    def test_second_run_is_refused(self):
        output = self.out / "model.h5"
        output.write_bytes(b"of yesterday")
        (self.out / "link.h5").symlink_to("model.h5")
        (self.out / "dangling.h5").symlink_to("new.h5")
        (self.folder / "elsewhere").symlink_to(self.out)
        process = self.start(2, output, {"SLURM_JOB_ID": "4711"})
        self.start(1, self.out / "new.h5")
        holder = self.holder(output)
        before = self.names()
        for name, word in (("model.h5", "Slurm job 4711"), ("./model.h5", "process " + holder["pid"]),
                           ("link.h5", "host " + holder["host"]), ("../elsewhere/model.h5", holder["since"]),
                           ("dangling.h5", "another run"), ("new.h5", "name another output")):
            with self.subTest(name=name):
                result = run(3, "train", self.data, "-o", f"{self.out}/{name}", *ALS)
                self.assertEqual(result.rc, CREATE, result)
                self.assertEqual(len(result.said()), 1, result)
                self.assertIn(word, result.said()[0])
        for words in (["import", self.text, "-o", output],
                      ["synth", "-o", output],
                      ["split", self.data, "--train", self.out / "a.h5", "--test", output, "--method", "random",
                       "--fraction", 0.1]):
            result = run(1, *words, "--quiet")
            self.assertEqual(result.rc, CREATE, result)
            self.assertIn("another run", result.said()[0])
        self.assertEqual(self.names(), before, "the refused runs left something, or took something away")
        self.assertIsNone(process.poll(), "the run that has the lock goes on")
        self.assertEqual(output.read_bytes(), b"of yesterday")

    def test_killed_run_is_cleared_away(self):
        for n_ranks in (1, 3):
            with self.subTest(ranks=n_ranks):
                output = self.out / f"model{n_ranks}.h5"
                process = self.start(n_ranks, output)
                pid, before = self.holder(output)["pid"], self.names()
                self.kill_holder(process, output)
                self.assertEqual(self.names(), before, "kill -9 leaves files: else this tests nothing")
                strange = self.out / f"{output.name}.tmp.another-host.12"
                strange.write_bytes(b"")
                words = [w for w in ALS if w != "--quiet"]
                result = run_good(n_ranks, "train", self.data, "-o", output, *words, "--iterations", 1)
                log = "\n".join(result.said())
                self.assertRegex(log, rf"took over \S*{output.name}.lock, .* process {pid} on host")
                self.assertRegex(log, rf"removed \S*{output.name}\.tmp\.\S*\.{pid},")
                self.assertIn("another-host.12 stays", log)
                run_good(1, "verify", output)
                strange.unlink()
                self.assertEqual(self.names(), [output.name])
                output.unlink()

    def test_every_verb_says_what_it_removed(self):
        for words in (["import", self.text, "-o", "OUT"], ["synth", "-o", "OUT"],
                      ["split", self.data, "--train", self.out / "a.h5", "--test", "OUT", "--method", "random",
                       "--fraction", 0.1]):
            with self.subTest(verb=words[0]):
                output = self.out / "out.h5"
                process = self.start(1, output)
                pid = self.holder(output)["pid"]
                self.kill_holder(process, output)
                result = run_good(2, *[output if w == "OUT" else w for w in words])
                self.assertRegex("\n".join(result.said()), rf"removed \S*out\.h5\.tmp\.\S*\.{pid},")
                self.assertLessEqual(set(self.names()), {"a.h5", "out.h5"})

    @unittest.skipUnless(os.environ.get("FAULTIO"), "FAULTIO is not set")
    def test_lock_that_cannot_be_written(self):
        output = self.out / "model.h5"
        for call in ("write", "fsync"):
            fault = {"LD_PRELOAD": os.environ["FAULTIO"], "FAULT_PATH": f"{output}.lock", "FAULT_RANK": "0",
                     "FAULT_AFTER": "0", "FAULT_CALL": call, "FAULT_HOW": str(errno.ENOSPC)}
            words = [w for name in fault for w in ("-x", name)]
            result = harness.execute([*harness.MPIRUN, "-n", "3", *words, GRIDMF, "train", self.data, "-o", output,
                                      *ALS], env=fault)
            self.assertEqual(result.rc, IO, result)
            self.assertEqual(len(result.messages()), 1, result)
            self.assertIn("model.h5.lock", result.messages()[0])
            self.assertEqual(self.names(), [])

    def test_read_while_written(self):
        """Whoever opens the name has a whole file: the old one, or the new one."""
        output = self.out / "model.h5"
        train = ["train", self.data, "-o", output, "--algorithm", "als", "--factors", 8, "--iterations", 1, "--quiet"]
        run_good(2, *train)
        first, seen = hashlib.sha256(output.read_bytes()).digest(), set()
        for seed in range(2, 6):
            process = harness.start([*harness.launch(2), GRIDMF, *train, "--seed", seed])
            while process.poll() is None:
                seen.add(hashlib.sha256(output.read_bytes()).digest())
                run_good(1, "verify", output)
            result = harness.finish(process)
            self.assertEqual(result.rc, 0, result)
        self.assertIn(first, seen)
        self.assertGreater(len(seen), 1)

    def test_started_at_once(self):
        """Of runs that start together each one writes a good file or is refused, and the file is one of theirs."""
        output, n_runs = self.out / "model.h5", 5
        words = [GRIDMF, "train", self.data, "-o", output, *ALS, "--iterations", 300]
        runs = [subprocess.Popen([str(w) for w in words], stderr=subprocess.PIPE,
                                 env={**harness.MPI_ENVIRONMENT, **os.environ}) for _ in range(n_runs)]
        results = [(p.communicate(timeout=60)[1].decode(), p.returncode) for p in runs]
        self.assertLessEqual({rc for _, rc in results}, {0, CREATE}, results)
        self.assertIn(0, [rc for _, rc in results], results)
        self.assertIn(CREATE, [rc for _, rc in results], "none was refused: they did not meet")
        self.assertEqual(self.names(), ["model.h5"])
        run_good(1, "verify", output)


if __name__ == "__main__":
    unittest.main()
