"""libgridmf as others use it: installed into a prefix, found by pkg-config and CMake, called from many threads.

GRIDMF_QUERY names the program, GRIDMF_BUILD the build that is installed, CONCURRENT the program of concurrent.c.
"""

import os
import pathlib
import re
import shutil
import subprocess
import unittest

import h5py
import numpy as np
from test_fold_in import Trained
from test_query import Case

SOURCE, BUILD = (pathlib.Path(os.environ["GRIDMF_" + name]) for name in ("SOURCE", "BUILD"))
EXAMPLE = SOURCE / "tests/query/example"
CACHE = (BUILD / "CMakeCache.txt").read_text()
SANITIZED = re.search("^GRIDMF_SANITIZE[A-Z_]*:BOOL=ON", CACHE, re.M) is not None


def execute(*args, env=None):
    result = subprocess.run(list(map(str, args)), capture_output=True, text=True, timeout=900, check=False,
                            env={**os.environ, **(env or {})})
    if result.returncode != 0:
        raise AssertionError("%s: exit %d\n%s%s" % (args, result.returncode, result.stdout, result.stderr))
    return result.stdout + result.stderr


def installed_files(prefix):
    return {str(p.relative_to(prefix)) for p in prefix.rglob("*") if p.is_file() or p.is_symlink()}


@unittest.skipIf(SANITIZED, "a program without the sanitizer's run time cannot load a library with it")
class Installed(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = pathlib.Path(BUILD, "installed")
        shutil.rmtree(cls.root, ignore_errors=True)
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        execute("cmake", "--install", BUILD, "--prefix", cls.root / "first")
        (cls.root / "first").rename(cls.root / "prefix") # it may move
        cls.prefix = cls.root / "prefix"
        cls.libraries = next(cls.prefix.rglob("libgridmf.so")).parent

    def check_example(self, program):
        model = Trained(bias=True)
        model.write(self.path)
        u, i = str(model.user_ids[3]), str(model.item_ids[7])
        facts = [line.split() for line in
                 execute(program, self.path, u, i, env={"LD_LIBRARY_PATH": str(self.libraries)}).splitlines()]

        def fact(name):
            return [f[1:] for f in facts if f[0] == name]

        def same(name, entries, key="item"):
            self.assertEqual([(f[0], float(f[1])) for f in fact(name)], [(e[key], e["score"]) for e in entries])

        self.assertEqual(fact("model"), [["als", "30", "50", "6"]])
        self.assertEqual(fact("lambda"), [["0.07"]])
        self.assertEqual(fact("library")[0][0], "libgridmf")
        score = self.json_lines(self.path, "score", "--user", u, "--item", i)[0]["score"]
        self.assertEqual(float(fact("score")[0][0]), score)
        same("recommend", self.json_lines(self.path, "recommend", "--user", u, "--top", 5)[0]["items"])
        same("similar-items", self.json_lines(self.path, "similar-items", "--item", i, "--top", 5)[0]["items"])
        same("similar-users", self.json_lines(self.path, "similar-users", "--user", u, "--top", 5)[0]["users"], "user")
        same("new", self.json_lines(self.path, "fold-in", "--ratings", i + ":4", "--top", 5)[0]["items"])
        row = model.fold([7], [4])
        np.testing.assert_allclose([float(x) for x in fact("row")[0]], [row[0], row[-1]], rtol=1e-4, atol=1e-5)
        self.assertEqual(int(fact("explained")[0][0]), len(model.seen[3]))
        self.assertAlmostEqual(float(fact("explained")[0][1]), score, 5)

    def test_pkg_config(self):
        env = {"PKG_CONFIG_PATH": str(self.libraries / "pkgconfig")}
        flags = execute("pkg-config", "--cflags", "--libs", "gridmf", env=env).split()
        version = execute("pkg-config", "--modversion", "gridmf", env=env).strip()
        self.assertIn(" %s " % version, execute(os.environ["GRIDMF_QUERY"], "--version").split("\n", maxsplit=1)[0])
        program = self.root / "by-pkg-config"
        execute("cc", "-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", EXAMPLE / "example.c", "-o", program, *flags)
        self.check_example(program)

    def test_cmake(self):
        execute("cmake", "-S", EXAMPLE, "-B", self.root / "build", "-DCMAKE_PREFIX_PATH=%s" % self.prefix)
        execute("cmake", "--build", self.root / "build")
        self.check_example(self.root / "build/example")

    @unittest.skipUnless(shutil.which("c++"), "no C++ compiler")
    def test_headers_are_cxx(self):
        source = self.root / "main.cc"
        source.write_text("#include <gridmf/query.h>\ngmf_status (*open_model)(const char *, gmf_model **, gmf_error *) = gmf_model_open;\n")
        execute("c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I", self.prefix / "include", "-c", source, "-o",
                self.root / "main.o")

    def test_every_function_is_in_the_man_page(self):
        page = (self.prefix / "share/man/man3/gridmf.3").read_text()
        declared = set()
        for header in (self.prefix / "include/gridmf").glob("*.h"):
            declared |= set(re.findall(r"^GMF_API .*?\b(gmf_\w+)\(", header.read_text(), re.M))
        self.assertGreater(len(declared), 15)
        self.assertEqual({f for f in declared if not re.search(r"\b%s\b" % f, page)}, set())
        self.assertEqual(set(re.findall(r"Fn (gmf_\w+)", page)) - declared, set())
        execute("mandoc", "-T", "lint", "-W", "error", self.prefix / "share/man/man3/gridmf.3")

    def test_the_example_of_the_man_page(self):
        page = (self.prefix / "share/man/man3/gridmf.3").read_text()
        program = re.search(r"\.Sh EXAMPLES\n\.Bd -literal\n(.*?)\.Ed", page, re.S).group(1).replace("\\en", "\\n")
        source = self.root / "page.c"
        source.write_text(program)
        env = {"PKG_CONFIG_PATH": str(self.libraries / "pkgconfig")}
        execute("cc", "-std=c11", "-Wall", "-Werror", source, "-o", self.root / "page",
                *execute("pkg-config", "--cflags", "--libs", "gridmf", env=env).split())

    def test_the_installed_program_finds_its_library(self):
        self.assertIn("libgridmf", execute(self.prefix / "bin/gridmf-query", "--version"))
        self.assertLessEqual({"include/gridmf/model.h", "include/gridmf/query.h", "include/gridmf/status.h",
                              "share/man/man1/gridmf-query.1", "share/man/man3/libgridmf.3"}, installed_files(self.prefix))


class Threads(Case):
    """Under the thread sanitizer too, in a build of the preset tsan."""

    def ask(self, n_queries):
        program, env = os.environ["CONCURRENT"], {}
        threads = "GRIDMF_SANITIZE_THREADS:BOOL=ON" in CACHE
        if threads: # clang's OpenMP tells the sanitizer of its barriers by this tool, which it does not find by itself
            openmp = re.search(r"libomp\.so\S* => (\S+)/", execute("ldd", program)).group(1)
            env = {"OMP_TOOL_LIBRARIES": openmp + "/libarcher.so", "ARCHER_OPTIONS": "verbose=1"}
        result = execute(program, self.path, 16, n_queries, env=env)
        self.assertEqual("Archer detected" in result, threads, result)
        self.assertRegex(result, "(?m)^%d queries from 16 threads, 0 answers differ" % n_queries)

    def test_sixteen(self):
        for options in ({"bias": True}, {"algorithm": "ials", "loss": "hkv", "alpha": 4.0}):
            model = Trained(**options)
            model.write(self.path)
            self.ask(10000)

    def test_svd(self):
        model = Trained()
        model.attributes.update(algorithm="svd", center="both", scaling="sqrt")
        model.write(self.path)
        with h5py.File(self.path, "r+") as f:
            f["singular_values"] = np.arange(6, 0, -1.0)
        self.ask(2000)


if __name__ == "__main__":
    unittest.main()
