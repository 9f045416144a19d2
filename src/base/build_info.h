/* What was built, from CMake. */
#ifndef GMF_BASE_BUILD_INFO_H
#define GMF_BASE_BUILD_INFO_H

typedef struct gmf_build_info {
  const char *version, *git_commit, *compiler, *build_type, *flags;
} gmf_build_info;

extern const gmf_build_info GMF_BUILD;

#endif
