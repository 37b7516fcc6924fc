# The last touch on the files of each Debian package, in the folder that cpack packs: licence and
# changelogs under the names Debian wants, manuals compressed, no search path in what lies in /usr,
# and what lintian is told.
cmake_policy(VERSION 3.25)
set(here ${CMAKE_CURRENT_LIST_DIR})
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC) # SOURCE_DATE_EPOCH's where it is set
set(mode FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)

foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  string(TOUPPER ${component} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  set(root ${CPACK_TEMPORARY_DIRECTORY}/${component}/usr)
  set(doc ${root}/share/doc/${package})

  file(GLOB programs ${root}/bin/* ${root}/lib/*/libsot-cuda.so)
  foreach(program IN LISTS programs)
    file(RPATH_REMOVE FILE ${program})
  endforeach()

  # A package whose case is another has a file of its own.
  foreach(file copyright lintian-overrides)
    set(${file} ${here}/${file})
    if(EXISTS ${here}/${file}.${component})
      string(APPEND ${file} .${component})
    endif()
  endforeach()
  configure_file(${copyright} ${doc}/copyright COPYONLY ${mode})
  configure_file(${lintian-overrides} ${root}/share/lintian/overrides/${package} COPYONLY ${mode})
  configure_file(${CPACK_SOT_SOURCE_DIR}/CHANGELOG.md ${doc}/changelog COPYONLY ${mode})
  file(REMOVE ${root}/share/doc/libsot/CHANGELOG.md)
  configure_file(${here}/changelog.in ${doc}/changelog.Debian @ONLY ${mode})
  file(GLOB pages ${root}/share/man/*/*)
  execute_process(COMMAND gzip -9 -n -f ${doc}/changelog ${doc}/changelog.Debian ${pages}
    COMMAND_ERROR_IS_FATAL ANY)
endforeach()
