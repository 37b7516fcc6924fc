# The fields and control files of Debian's packages that come from the built files: what each depends
# on, and which symbols libsot.so offers since when. CPack's own dpkg-shlibdeps is left off, since with
# it come scripts that call ldconfig, where Debian wants a trigger.
cmake_policy(VERSION 3.25)
if(NOT CPACK_SOT_LIBDIR STREQUAL "lib/${CPACK_SOT_MULTIARCH}")
  message(FATAL_ERROR "Debian's packages want libraries in lib/${CPACK_SOT_MULTIARCH}; this build was "
    "configured for ${CPACK_SOT_LIBDIR}. Configure a new one (cmake --fresh), for /usr/local or /usr.")
endif()
set(build ${CPACK_SOT_BINARY_DIR})
set(version ${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
set(library ${CPACK_DEBIAN_RUNTIME_PACKAGE_NAME})
string(REGEX REPLACE "^libsot" "" soversion ${library})
set(work ${build}/packaging/debian)
file(REMOVE_RECURSE ${work})
# dpkg's tools want to be in a package's source.
file(WRITE ${work}/debian/control "Source: libsot\n\nPackage: ${library}\nArchitecture: any\n")

# symbols.in states for each node of lib/api/libsot.map the release that brought it; -c4 refuses a
# library with another node.
configure_file(${CMAKE_CURRENT_LIST_DIR}/symbols.in ${work}/symbols.in @ONLY)
execute_process(COMMAND dpkg-gensymbols -p${library} -v${version} -c4 -P${work}/none
  -e${build}/libsot.so.${CPACK_PACKAGE_VERSION} -I${work}/symbols.in -O${work}/symbols
  WORKING_DIRECTORY ${work} OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "dpkg-gensymbols: ${said}")
endif()
file(WRITE ${work}/shlibs "libsot ${soversion} ${library} (>= ${CPACK_PACKAGE_VERSION})\n")
file(WRITE ${work}/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${work}/symbols ${work}/shlibs ${work}/triggers)

# Sets CPACK_DEBIAN_<COMPONENT>_PACKAGE_DEPENDS for files of the build. A part that belongs to no
# package, such as NVIDIA's, becomes no dependency. What was built with a library goes with that one.
file(WRITE ${work}/shlibs.local "libsot ${soversion} ${library} (= ${version})\n")
function(find_dependencies component)
  string(TOUPPER ${component} upper)
  execute_process(COMMAND dpkg-shlibdeps -O --ignore-missing-info -L${work}/shlibs.local -l${build}
    -l${CPACK_SOT_CUBLAS_DIR} ${ARGN} WORKING_DIRECTORY ${work}
    OUTPUT_VARIABLE depends ERROR_VARIABLE said RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "dpkg-shlibdeps: ${said}")
  endif()
  string(REGEX REPLACE "^.*Depends=([^\n]*).*$" "\\1" depends "${depends}")
  if(component STREQUAL cuda) # no library of it is linked to libsot, but each serves one version of it
    string(PREPEND depends "${library} (= ${version}), ")
  endif()
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${depends}" PARENT_SCOPE)
endfunction()
find_dependencies(runtime ${build}/libsot.so.${CPACK_PACKAGE_VERSION})
if(cuda IN_LIST CPACK_COMPONENTS_ALL)
  find_dependencies(cuda ${build}/libsot-cuda.so)
endif()
if(tools IN_LIST CPACK_COMPONENTS_ALL)
  find_dependencies(tools ${build}/examples/sot ${build}/examples/sot-bench
    ${build}/examples/sot-eval)
endif()
