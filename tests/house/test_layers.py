"""The layers of design.md section 3: who may include whom, and which names stay inside one folder."""

import os
import pathlib
import re
import unittest

ROOT = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).resolve().parents[2]))

# What each folder may include besides itself, in the order of design.md. gridmf is include/gridmf.
MAY_INCLUDE = {
    "gridmf": [],
    "base": ["gridmf"],
    "kernel": ["gridmf", "base"],
    "runtime": ["gridmf", "base"],
    "dist": ["gridmf", "base", "kernel", "runtime"],
    "linalg": ["gridmf", "base", "kernel", "runtime", "dist"],
    "io": ["gridmf", "base", "kernel", "runtime", "dist"],
    "algo": ["gridmf", "base", "kernel", "runtime", "dist", "linalg"],
    "app": ["gridmf", "base", "kernel", "runtime", "dist", "linalg", "io", "algo"],
    "query": ["gridmf", "base", "kernel", "io"],
    "cli": ["gridmf", "base", "kernel", "runtime", "dist", "linalg", "io", "algo", "app"],
}
# The reading half of libgridmf and gridmf-query, which know no MPI.
SERIAL_IO = {"io/model_read", "io/model_ids", "io/model_attributes", "io/model_rule", "io/item_weights", "io/features",
             "io/model_features", "io/h5", "io/layout", "io/checksum"}
QUERY_CLI = ["gridmf", "base", "query"]
STANDARD = r"(assert|ctype|errno|float|inttypes|limits|math|stdarg|stdbool|stddef|stdint|stdio|stdlib|string|time)\.h"


def without_comments(text):
    """Comments and, for everything but #include lines, the contents of strings are blanked; lines stay lines."""
    pattern = r'(?P<include>^[ \t]*#[ \t]*include[^\n]*)|/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\''

    def blank(match):
        return match.group(0) if match.group("include") else re.sub(r"[^\n]", " ", match.group(0))

    return re.sub(pattern, blank, text, flags=re.S | re.M)


class Source:
    def __init__(self, path):
        self.name = str(path.relative_to(ROOT))
        self.short = re.sub(r"\.[a-z.]+$", "", self.name.removeprefix("src/").removeprefix("include/"))
        self.folder, self.stem = self.short.split("/")[0], self.short.split("/")[-1]
        self.code = without_comments(path.read_text())
        self.includes = re.findall(r'^\s*#\s*include\s*"([^"]+)"', self.code, re.M)
        self.system_includes = re.findall(r"^\s*#\s*include\s*<([^>]+)>", self.code, re.M)

    def is_query_side(self):
        """Part of libgridmf or gridmf-query."""
        return (self.folder in ("gridmf", "base", "kernel", "query") or self.short in SERIAL_IO
                or self.folder == "cli" and self.stem.startswith("query_"))

    def find(self, pattern):
        """"file:line: match" of every place."""
        return ["%s:%d: %s" % (self.name, self.code.count("\n", 0, m.start()) + 1, m.group(0).strip())
                for m in re.finditer(pattern, self.code)]


SOURCES = [Source(p) for folder in ("src", "include") for p in sorted((ROOT / folder).rglob("*"))
           if p.suffix in (".c", ".h", ".in")]


class Case(unittest.TestCase):
    def check_none(self, pattern, allowed, why):
        """Nothing outside `allowed(source)` matches the pattern."""
        found = [place for s in SOURCES if not allowed(s) for place in s.find(pattern)]
        self.assertEqual(found, [], why)


class TestLayers(Case):
    def test_sources_are_found(self):
        self.assertGreater(len(SOURCES), 60)
        self.assertEqual({s.folder for s in SOURCES} - set(MAY_INCLUDE), set(), "a folder that design.md does not know")

    def test_direction_of_includes(self):
        wrong = []
        for s in SOURCES:
            allowed = QUERY_CLI if s.folder == "cli" and s.stem.startswith("query_") else MAY_INCLUDE[s.folder]
            for include in s.includes:
                if "/" in include and include.split("/")[0] not in [s.folder, *allowed]:
                    wrong.append("%s includes %s" % (s.name, include))
        self.assertEqual(wrong, [])

    def test_includes_name_their_folder_and_exist(self):
        wrong = []
        for s in SOURCES:
            for include in s.includes:
                places = [ROOT / "src" / include, ROOT / "include" / include]
                if "/" not in include or not any(p.exists() for p in places):
                    wrong.append("%s includes %s" % (s.name, include))
        self.assertEqual(wrong, [])

    def test_query_side_reads_models_only(self):
        """libgridmf and gridmf-query reach no file beyond the serial reader."""
        wrong = []
        for s in SOURCES:
            if s.is_query_side():
                for include in s.includes:
                    folder, short = include.split("/")[0], re.sub(r"\.h$", "", include)
                    if folder == "io" and short not in SERIAL_IO or folder in ("runtime", "dist", "linalg", "algo", "app"):
                        wrong.append("%s includes %s" % (s.name, include))
                if s.folder == "query":
                    wrong += ["%s includes %s" % (s.name, i) for i in s.includes
                              if i.startswith("io/") and i not in ("io/model_read.h", "io/model_rule.h", "io/model_features.h")]
        self.assertEqual(wrong, [])

    def test_query_main_is_not_mixed_with_the_trainer(self):
        """The files of the two programs in cli/ do not include each other's headers."""
        wrong = ["%s includes %s" % (s.name, i) for s in SOURCES if s.folder == "cli" for i in s.includes
                 if i.startswith("cli/") and i.startswith("cli/query_") != s.stem.startswith("query_")]
        self.assertEqual(wrong, [])

    def test_public_headers_need_nothing_else(self):
        wrong = [s.name + " includes " + i for s in SOURCES if s.folder == "gridmf"
                 for i in s.system_includes + s.includes if not re.fullmatch(STANDARD + r"|gridmf/\w+\.h", i)]
        self.assertEqual(wrong, [])
        self.check_none(r"\b(MPI_|H5|hid_t)\w*", lambda s: s.folder != "gridmf", "public headers are free of MPI and HDF5")

    def test_no_mpi_on_the_query_side(self):
        self.check_none(r"\bMPI_[A-Z]\w*|<mpi\.h>", lambda s: not s.is_query_side(), "no MPI here")

    def test_hdf5_in_io_only(self):
        self.check_none(r"<hdf5\w*\.h>|\bH5[A-Z]{1,3}\w*|\bhid_t\b|\bhsize_t\b|\bherr_t\b", lambda s: s.folder == "io",
                        "HDF5 is named in src/io only")

    def test_algorithms_know_no_files(self):
        self.check_none(r"\bfopen\b|\bFILE\b|\bopen\(", lambda s: s.folder not in ("algo", "dist", "kernel", "linalg"),
                        "algorithms do no input or output")

    def test_blacs_in_linalg_only(self):
        self.check_none(r"\b(C?blacs_\w+|Csys2blacs\w*|descinit_|numroc_|p[sd][a-z]{4,}_)\s*\(", lambda s: s.folder == "linalg",
                        "BLACS and ScaLAPACK are named in src/linalg only")

    def test_communicators_in_runtime_only(self):
        self.check_none(r"\bMPI_(Comm_(i?dup\w*|split\w*|create\w*|spawn\w*)|Cart_\w+|Intercomm_\w+|Group_\w+)",
                        lambda s: s.folder == "runtime", "communicators are made in src/runtime only")

    def test_collectives_are_watched(self):
        """The watchdog, and the comparison of call sites in debug builds, know of every collective call."""
        calls = r"(GMF_COLLECTIVE\([^;]*?)?MPI_(I?(All|Red|Bcast|Gather|Scatter|Scan|Exscan|Barrier)\w*)\([^;]*"
        found = [place for s in SOURCES if s.name not in ("src/runtime/collective.c", "src/runtime/watchdog.c")
                 for place in s.find(calls) if "GMF_COLLECTIVE" not in place]
        # gmf_grid_create has no grid yet, and comes before anything is watched; gmf_groups_finish waits without blocking.
        excepted = ("&first, 1, MPI_INT, MPI_MIN, comm", "MPI_Ibarrier(g->world->all, &all_here)")
        self.assertEqual([f for f in found if not any(e in f for e in excepted)], [])

    def test_world_in_main_only(self):
        self.check_none(r"\bMPI_COMM_WORLD\b", lambda s: s.name == "src/cli/main.c", "a library takes its communicator")


class TestLibraryManners(Case):
    """What library code does not do: everything but the programs in src/cli."""

    def library(self, pattern, why, also=()):
        self.check_none(pattern, lambda s: s.folder == "cli" or s.name in also, why)

    def test_does_not_end_the_process(self):
        self.library(r"\b(exit|quick_exit|abort|assert|MPI_Abort)\s*\(", "errors are returned")
        self.library(r"\b_Exit\s*\(", "only a bug of ours ends a process", also=("src/base/error.c",))

    def test_does_not_print(self):
        self.library(r"(?<![\w>.])(printf|puts|putchar|perror)\s*\(|\bstdout\b", "the programs print, the library returns")

    def test_is_reproducible(self):
        self.library(r"\b(s?rand|rand_r|[delmnj]rand48|s?random|arc4random\w*|getrandom|getentropy)\s*\(",
                     "random numbers come from base/random.h, counter-based")
        self.library(r"(?<!\w)time\s*\(", "the clock seeds nothing", also=("src/app/provenance.c",))
        self.check_none(r"__(DATE|TIME|TIMESTAMP)__", lambda s: False, "two builds alike give the same bytes")


if __name__ == "__main__":
    unittest.main()
