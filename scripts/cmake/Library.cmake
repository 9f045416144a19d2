# How other programs find libgridmf once it is installed: pkg-config, CMake, man pages of section 3.
include(CMakePackageConfigHelpers)

target_include_directories(gridmf_api INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
set_target_properties(gridmf_api PROPERTIES EXPORT_NAME gridmf)
install(TARGETS gridmf_api EXPORT gridmfTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gridmf)
install(EXPORT gridmfTargets NAMESPACE gridmf:: DESTINATION ${package_dir})
file(WRITE ${PROJECT_BINARY_DIR}/gridmfConfig.cmake "include(\${CMAKE_CURRENT_LIST_DIR}/gridmfTargets.cmake)\n")
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gridmfConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gridmfConfig.cmake ${PROJECT_BINARY_DIR}/gridmfConfigVersion.cmake
  DESTINATION ${package_dir})

# Relative to the file, so that a prefix may move.
file(RELATIVE_PATH pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
file(WRITE ${PROJECT_BINARY_DIR}/gridmf.pc "prefix=\${pcfiledir}/${pc_to_prefix}
libdir=\${prefix}/${CMAKE_INSTALL_LIBDIR}
includedir=\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}

Name: gridmf
Description: asks recommender models that gridmf trained
Version: ${PROJECT_VERSION}
Cflags: -I\${includedir}
Libs: -L\${libdir} -lgridmf
")
install(FILES ${PROJECT_BINARY_DIR}/gridmf.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_file(scripts/packaging/gridmf.3.in ${PROJECT_BINARY_DIR}/gridmf.3 @ONLY)
file(WRITE ${PROJECT_BINARY_DIR}/libgridmf.3 ".so man3/gridmf.3\n")
install(FILES ${PROJECT_BINARY_DIR}/gridmf.3 ${PROJECT_BINARY_DIR}/libgridmf.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
