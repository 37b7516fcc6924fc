# Puts into the source tarball what git tracks, as it lies in the working tree; where there is no git,
# as in an unpacked tarball, everything but build folders. CMAKE_INSTALL_PREFIX is where it goes.
cmake_policy(VERSION 3.25)
set(source ${CPACK_SOT_SOURCE_DIR})
set(target $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX})
file(MAKE_DIRECTORY ${target})
if(EXISTS ${source}/.git)
  execute_process(COMMAND git ls-files -z COMMAND tar --null -c -T - COMMAND tar -x -C ${target}
    WORKING_DIRECTORY ${source} RESULTS_VARIABLE results COMMAND_ERROR_IS_FATAL ANY)
else()
  file(COPY ${source}/ DESTINATION ${target}
    REGEX "/(build|build-[^/]*|out|__pycache__|\\.venv|[^/]*\\.pyc)$" EXCLUDE)
endif()
