-- Module file for Lmod, installed with gridmf: `module use PREFIX/share/gridmf/modulefiles; module load gridmf`.
-- The folder may move: the prefix is found from the place of this file.
help([[gridmf trains recommender models on MPI clusters; man gridmf, and scripts for Slurm in $GRIDMF_JOBS.]])
whatis("Name: gridmf")
whatis("Description: recommender-model trainer for MPI clusters")

local prefix = myFileName():match("^(.*)/share/gridmf/modulefiles/")
-- The MPI that it was built with has to be there too; a site that has modules for it adds here, for example
-- depends_on("openmpi", "hdf5")
prepend_path("PATH", pathJoin(prefix, "bin"))
prepend_path("MANPATH", pathJoin(prefix, "share/man"))
prepend_path("CMAKE_PREFIX_PATH", prefix)
for _, lib in ipairs({"lib", "lib64", "lib/x86_64-linux-gnu"}) do
  if isDir(pathJoin(prefix, lib, "pkgconfig")) then
    prepend_path("PKG_CONFIG_PATH", pathJoin(prefix, lib, "pkgconfig"))
  end
end
setenv("GRIDMF_JOBS", pathJoin(prefix, "share/gridmf/jobs"))
