# What an installation has besides programs and library, and `cpack -G DEB`.
install(PROGRAMS scripts/demo scripts/report DESTINATION ${CMAKE_INSTALL_DATADIR}/gridmf/scripts)
install(FILES scripts/lib.sh scripts/ratings.awk DESTINATION ${CMAKE_INSTALL_DATADIR}/gridmf/scripts)
install(DIRECTORY inputs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/gridmf/inputs)
install(DIRECTORY jobs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/gridmf/jobs USE_SOURCE_PERMISSIONS)
configure_file(scripts/packaging/modulefile.lua ${PROJECT_BINARY_DIR}/${PROJECT_VERSION}.lua COPYONLY)
install(FILES ${PROJECT_BINARY_DIR}/${PROJECT_VERSION}.lua DESTINATION ${CMAKE_INSTALL_DATADIR}/gridmf/modulefiles/gridmf)

set(CPACK_PACKAGE_NAME gridmf)
set(CPACK_PACKAGE_VENDOR "gridmf")
set(CPACK_PACKAGE_CONTACT "the gridmf project <gridmf@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "recommender-model trainer for MPI clusters")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Factorises rating matrices that are distributed over the ranks of an MPI job,
by alternating least squares or truncated SVD, and writes the factors to
HDF5. gridmf-query and libgridmf recommend from such a file without MPI.")
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
# Of the shared libraries dpkg-shlibdeps knows the packages; mpirun is started by name.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})
set(CPACK_DEBIAN_PACKAGE_DEPENDS openmpi-bin)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libopenblas0-openmp, bash-completion")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "slurm-client, python3-h5py")
include(CPack)
