"""cpack -G DEB: the package installs on a clean Debian of the same release, and works there without the sources.

It takes some minutes and the network: debootstrap and apt fetch what a clean system has.
"""

import os
import pathlib
import re
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import harness  # pylint: disable=wrong-import-position
from harness import execute  # pylint: disable=wrong-import-position

SOURCE = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).parents[2]))
MIRROR = os.environ.get("GRIDMF_DEBIAN", "http://deb.debian.org/debian")
TOOLS = ("cmake", "cpack", "debootstrap", "dpkg-shlibdeps", "dpkg-deb")


def unavailable():
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    if missing:
        return f"{', '.join(missing)} not found"
    if os.geteuid() != 0:
        return "only root can make a system to install on"
    if "VERSION_CODENAME=bookworm" not in pathlib.Path("/etc/os-release").read_text(encoding="utf-8"):
        return "a package for Debian 12 is built on Debian 12"
    return None


@unittest.skipIf(unavailable(), unavailable())
class TestPackage(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        build, cls.system = cls.folder / "build", cls.folder / "system"
        cls.good("cmake", "--preset", "package", "-B", build, cwd=SOURCE)
        cls.good("cmake", "--build", build)
        cls.good("cpack", "-G", "DEB", cwd=build)
        cls.package = next(build.glob("gridmf_*.deb"))
        cls.good("debootstrap", "--variant=minbase", "bookworm", cls.system, MIRROR)
        shutil.copy(cls.package, cls.system / "opt")
        cls.inside(f"apt-get update && apt-get install --yes --no-install-recommends /opt/{cls.package.name} man-db bash-completion")

    @staticmethod
    def good(*command, **how):
        result = execute(command, timeout=1800, **how)
        if result.rc != 0:
            raise AssertionError(str(result))
        return result.stdout

    @classmethod
    def inside(cls, script):
        """What a script prints on the clean system, which has devices and processes, and no environment of this one."""
        return cls.good("unshare", "--mount", "--pid", "--fork", "sh", "-c", """
            mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"
            cp /etc/resolv.conf "$1/etc/resolv.conf"
            exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
              http_proxy="$http_proxy" OMPI_MCA_btl=self,vader bash -c "$2" """, "sh", cls.system, script)

    def test_control(self):
        """The libraries' packages were found, and both kinds of HDF5 are among them."""
        depends = re.split(", *", self.good("dpkg-deb", "--field", self.package, "Depends").strip())
        names = {entry.split(" ")[0] for entry in depends}
        self.assertLessEqual({"openmpi-bin", "libopenmpi3", "libhdf5-openmpi-103-1", "libhdf5-103-1", "libscalapack-openmpi2.2", "libxxhash0",
                              "libinih1", "libjansson4", "libzstd1"}, names)
        self.assertFalse([name for name in names if name.endswith("-dev")])

    def test_demo(self):
        """From the sample to recommendations; neither sources nor compiler are there."""
        output = self.inside("! command -v gcc cmake && cd /tmp && /usr/share/gridmf/scripts/demo")
        self.assertRegex(output, r"Western\n")
        self.assertRegex(output, r"ndcg@10 +0\.[23]\d+")

    def test_man_pages(self):
        for verb in ("", "-train", "-import", "-query"):
            page = self.inside(f"man gridmf{verb} | cat")
            self.assertIn(f"GRIDMF{verb.upper()}(1)", page)
        self.assertIn("--lambda-scale", self.inside("man gridmf-train | cat"))

    def test_completion(self):
        """As an interactive shell finds it."""
        script = """source /usr/share/bash-completion/bash_completion; _completion_loader gridmf
            COMP_WORDS=(gridmf train --lambda-s) COMP_CWORD=2; _gridmf gridmf --lambda-s train; echo "${COMPREPLY[@]}" """
        self.assertEqual(self.inside(script).strip(), "--lambda-scale")

    def test_module(self):
        """Lmod finds the prefix from the place of the module file, also after the folder has moved."""
        init = pathlib.Path("/usr/share/lmod/lmod/init/bash")
        if not init.exists():
            self.skipTest("lmod is not installed")
        shutil.copytree(self.system / "usr/share/gridmf", self.out / "moved/share/gridmf")
        output = self.good("bash", "-c", 'source "$1"; module use "$2/share/gridmf/modulefiles" && module load gridmf && echo "$PATH $GRIDMF_JOBS"',
                           "bash", init, self.out / "moved")
        self.assertTrue(output.startswith(f"{self.out}/moved/bin:"), output)
        self.assertIn(f" {self.out}/moved/share/gridmf/jobs", output)


if __name__ == "__main__":
    unittest.main()
