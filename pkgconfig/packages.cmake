# What CPack makes: Debian packages of the components of install.cmake (cpack -G DEB), and the source
# tarball (target package_source). Here is what is fixed when the build is configured; what depends on
# the built files is found by debian_fields.cmake and debian_files.cmake when cpack runs.
set(CPACK_PACKAGE_NAME libsot)
set(CPACK_PACKAGE_VENDOR "The libsot authors")
if(NOT CPACK_PACKAGE_CONTACT)
  set(CPACK_PACKAGE_CONTACT "The libsot authors <maintainers@libsot.invalid>")
endif()
set(CPACK_GENERATOR DEB)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
  GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/pkgconfig/project.cmake)
# For the scripts that cpack runs: they are handed on as any variable of CPack's is.
set(CPACK_SOT_SOURCE_DIR ${PROJECT_SOURCE_DIR})
set(CPACK_SOT_BINARY_DIR ${PROJECT_BINARY_DIR})
set(CPACK_SOT_LIBDIR ${CMAKE_INSTALL_LIBDIR})
set(CPACK_SOT_MULTIARCH ${CMAKE_LIBRARY_ARCHITECTURE})

set(CPACK_SOURCE_GENERATOR TGZ)
set(CPACK_SOURCE_PACKAGE_FILE_NAME libsot-${PROJECT_VERSION})
set(CPACK_SOURCE_INSTALLED_DIRECTORIES "") # source_files.cmake says what belongs in it

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SOURCE libsot)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(version ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
set(library_package libsot${PROJECT_VERSION_MAJOR})

# debian_package(COMPONENT NAME SECTION MULTI-ARCH DESCRIPTION): its other fields are set by the caller.
# CPack knows no field Multi-Arch before 3.31, but writes a section as it is.
macro(debian_package component name section multi_arch description)
  string(TOUPPER ${component} upper)
  list(APPEND CPACK_COMPONENTS_ALL ${component})
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name})
  set(CPACK_DEBIAN_${upper}_PACKAGE_MULTIARCH ${multi_arch})
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section})
  if(CMAKE_VERSION VERSION_LESS 3.31)
    string(APPEND CPACK_DEBIAN_${upper}_PACKAGE_SECTION "\nMulti-Arch: ${multi_arch}")
  endif()
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${description}")
endmacro()
set(about "libsot answers questions by Skeleton-of-Thought: it asks a LLaMA for the
skeleton of an answer, then expands all of its points as one batch. It is
a LLaMA FP16 runtime written for this job, for CPUs and, by a plugin, for
NVIDIA GPUs.
.
")

set(CPACK_COMPONENTS_ALL)
debian_package(runtime ${library_package} libs same
  "Skeleton-of-Thought on a LLaMA runtime: shared library
${about}This package has the shared library.")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SUGGESTS "libsot-cuda, sot-router-lima")

debian_package(development libsot-dev libdevel same
  "Skeleton-of-Thought on a LLaMA runtime: development files
${about}This package has the headers, the static library, the files for
pkg-config and CMake's find_package, and the documentation.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
  "${library_package} (= ${version}), libpcre2-dev, libjansson-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "pkg-config | pkgconf")

if(TARGET sot_cuda)
  get_filename_component(CPACK_SOT_CUBLAS_DIR ${SOT_CUBLASLT} DIRECTORY)
  debian_package(cuda libsot-cuda contrib/libs same
    "Skeleton-of-Thought on a LLaMA runtime: plugin for NVIDIA GPUs
${about}This package has the plugin by which the library uses NVIDIA GPUs. It
needs NVIDIA's driver and cuBLAS (libcublasLt), neither of which is part
of Debian; they are found at run time, and without them the library says
which is missing and goes on with the CPU.")
  file(READ ${PROJECT_BINARY_DIR}/kernels/release release)
  string(STRIP "${release}" release)
  string(REGEX MATCH "^[0-9]+" major "${release}")
  string(REPLACE . - release "${release}")
  set(CPACK_DEBIAN_CUDA_PACKAGE_RECOMMENDS "libcublaslt${major} | libcublas-${release}")
endif()
if(TARGET example_sot)
  debian_package(tools sot-tools science foreign
    "Skeleton-of-Thought on a LLaMA runtime: commands
${about}This package has sot, which asks a model and keeps conversations,
sot-bench, which measures it on this machine, sot-eval, which runs files
of questions and reports on the answers, and a small model to try them
with, which knows nothing beyond how to show the method.")
  set(CPACK_DEBIAN_TOOLS_PACKAGE_SUGGESTS sot-router-lima)
endif()
# Derived from LIMA, which forbids commercial use: no package of the others may depend on it.
debian_package(router sot-router-lima non-free/science foreign
  "Skeleton-of-Thought on a LLaMA runtime: router trained on LIMA
${about}This package has a small classifier that says which questions suit
Skeleton-of-Thought. It was trained on LIMA's questions and carries
LIMA's licence, CC BY-NC-SA, which forbids commercial use.")
set(CPACK_DEBIAN_ROUTER_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_ROUTER_PACKAGE_ENHANCES ${library_package})
include(CPack)
