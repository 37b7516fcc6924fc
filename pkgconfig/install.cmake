# What `cmake --install` puts where, in GNU's folders: each file in the component of the package that
# carries it (packages.cmake). All of it finds its parts relative to itself, so that an installed copy
# can be moved; docs/packaging.md says what a host sees of it.
include(CMakePackageConfigHelpers)

# A package of a data file or a program is its component; a library is split as Debian splits it.
install(TARGETS sot EXPORT sot_shared
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development)
install(TARGETS sot_static EXPORT sot_static
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY include/sot DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
  FILES_MATCHING PATTERN *.h)
if(TARGET sot_cuda) # libsot looks for it in its own folder
  install(TARGETS sot_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT cuda)
endif()

# Programs find the library relative to themselves, except where the loader finds it anyway.
if(TARGET example_sot)
  if(NOT CMAKE_INSTALL_FULL_LIBDIR IN_LIST CMAKE_C_IMPLICIT_LINK_DIRECTORIES)
    file(RELATIVE_PATH SOT_LIBRARY_FROM_PROGRAM
      ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
    set_target_properties(example_sot example_bench example_eval PROPERTIES
      INSTALL_RPATH "$ORIGIN/${SOT_LIBRARY_FROM_PROGRAM}")
  endif()
  install(TARGETS example_sot example_bench example_eval
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
  install(FILES examples/model/demo.gguf DESTINATION ${CMAKE_INSTALL_DATADIR}/sot COMPONENT tools)
endif()

# The trained router is under another licence than the rest, which therefore lies beside it.
install(FILES examples/router/lima.router DESTINATION ${CMAKE_INSTALL_DATADIR}/sot
  COMPONENT router)
install(FILES examples/router/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME lima.router.md
  COMPONENT router)

# pkg-config: from the .pc file's own folder to the prefix, unless a folder is absolute.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(SOT_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH SOT_PC_PREFIX
    ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
  string(REGEX REPLACE "/$" "" SOT_PC_PREFIX "\${pcfiledir}/${SOT_PC_PREFIX}")
endif()
foreach(folder LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${folder}}")
    set(SOT_PC_${folder} "${CMAKE_INSTALL_${folder}}")
  else()
    set(SOT_PC_${folder} "\${prefix}/${CMAKE_INSTALL_${folder}}")
  endif()
endforeach()
configure_file(pkgconfig/libsot.pc.in libsot.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/libsot.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT development)

# find_package(sot). Two sets of targets, since only the static one has dependencies to look for.
# Before 1.0 a minor version may break what the one before it promised.
set(folder ${CMAKE_INSTALL_LIBDIR}/cmake/sot)
set_target_properties(sot_static PROPERTIES EXPORT_NAME static)
install(EXPORT sot_shared NAMESPACE sot:: FILE sot-shared.cmake DESTINATION ${folder}
  COMPONENT development)
install(EXPORT sot_static NAMESPACE sot:: FILE sot-static.cmake DESTINATION ${folder}
  COMPONENT development)
configure_package_config_file(pkgconfig/sot-config.cmake.in sot-config.cmake
  INSTALL_DESTINATION ${folder} NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatibility SameMinorVersion)
else()
  set(compatibility SameMajorVersion)
endif()
write_basic_package_version_file(sot-config-version.cmake COMPATIBILITY ${compatibility})
install(FILES ${PROJECT_BINARY_DIR}/sot-config.cmake ${PROJECT_BINARY_DIR}/sot-config-version.cmake
  DESTINATION ${folder} COMPONENT development)

# Manuals. Packages have the licence in a file of another name and form: it is no part of theirs.
foreach(section 1 3)
  file(GLOB pages CONFIGURE_DEPENDS docs/man/*.${section})
  set(component tools)
  if(section EQUAL 3)
    set(component development)
  elseif(NOT TARGET example_sot)
    continue()
  endif()
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT ${component})
endforeach()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT licence)
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development
  FILES_MATCHING PATTERN *.md PATTERN *.png PATTERN *.gif PATTERN man EXCLUDE)
install(FILES examples/minimal.c examples/threads.c DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples
  COMPONENT development)
