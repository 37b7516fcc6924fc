# Read by cpack before it begins, for packages and for the source tarball: says which scripts do what
# CPack does not do by itself.
cmake_policy(VERSION 3.25)
set(here ${CMAKE_CURRENT_LIST_DIR})
if(NOT CPACK_INSTALL_CMAKE_PROJECTS)
  set(CPACK_INSTALL_SCRIPTS ${here}/source_files.cmake)
elseif(CPACK_GENERATOR STREQUAL DEB)
  set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # would come before each package's own
  include(${here}/debian/debian_fields.cmake)
  set(CPACK_PRE_BUILD_SCRIPTS ${here}/debian/debian_files.cmake)
endif()
