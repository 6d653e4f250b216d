# What the program stands on. Debian's packages give the small libraries, the wheel in .venv (or a LibTorch archive named
# by CMAKE_PREFIX_PATH) gives LibTorch. ./setup.sh installs all of it.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(hwy REQUIRED)
find_package(ZLIB REQUIRED)  # libhdf5-dev brings it
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(ZIP REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(NATS REQUIRED IMPORTED_TARGET libnats)
pkg_check_modules(ICU REQUIRED IMPORTED_TARGET icu-uc)

# Debian's package has no pkg-config file.
find_path(NAMM_MECAB_INCLUDE mecab.h REQUIRED)
find_library(NAMM_MECAB mecab REQUIRED)
add_library(namm_mecab INTERFACE)
target_include_directories(namm_mecab SYSTEM INTERFACE ${NAMM_MECAB_INCLUDE})
target_link_libraries(namm_mecab INTERFACE ${NAMM_MECAB})

add_library(namm_hdf5 INTERFACE)
target_include_directories(namm_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(namm_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
target_compile_definitions(namm_hdf5 INTERFACE ${HDF5_C_DEFINITIONS})

# OpenBLAS, static, its symbols hidden: LibTorch exports LAPACK names of its own.
find_library(NAMM_OPENBLAS NAMES libopenblas.a PATHS /usr/lib/x86_64-linux-gnu/openblas-pthread
                                                     /usr/lib/aarch64-linux-gnu/openblas-pthread REQUIRED)
add_library(namm_openblas INTERFACE)
target_link_libraries(namm_openblas INTERFACE ${NAMM_OPENBLAS} -lgfortran Threads::Threads)
target_link_options(namm_openblas INTERFACE -Wl,--exclude-libs,ALL)

# The wheel's own CMake package stops where there is no CUDA toolkit, so its libraries are imported here.
file(GLOB namm_torch_candidates ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
find_path(NAMM_TORCH_DIR NAMES lib/libtorch_cpu.so HINTS ${CMAKE_PREFIX_PATH} ${namm_torch_candidates})
if(NOT NAMM_TORCH_DIR)
  message(FATAL_ERROR
    "LibTorch was not found. Either run ./setup.sh (installs the wheel torch==2.11.0 into .venv), or unpack a LibTorch 2.11 "
    "archive and pass -DCMAKE_PREFIX_PATH=DIR, or pass -DNAMM_TORCH_DIR=DIR of an installed torch package.")
endif()

add_library(namm_torch INTERFACE)
target_include_directories(namm_torch SYSTEM INTERFACE ${NAMM_TORCH_DIR}/include
                                                       ${NAMM_TORCH_DIR}/include/torch/csrc/api/include)
target_link_libraries(namm_torch INTERFACE -Wl,--no-as-needed ${NAMM_TORCH_DIR}/lib/libtorch_cpu.so
                                           ${NAMM_TORCH_DIR}/lib/libc10.so)
# LibTorch's own OpenMP: with another one beside it there would be two pools of threads.
file(GLOB NAMM_TORCH_OPENMP ${NAMM_TORCH_DIR}/lib/libgomp*.so*)
list(GET NAMM_TORCH_OPENMP 0 NAMM_TORCH_OPENMP)
add_library(namm_torch_openmp INTERFACE)
target_link_libraries(namm_torch_openmp INTERFACE ${NAMM_TORCH_OPENMP})
# The wheel's libraries find their own neighbours by run path; the linker need not see them.
target_link_options(namm_torch INTERFACE -Wl,-rpath,${NAMM_TORCH_DIR}/lib -Wl,--allow-shlib-undefined)

# Device code of this slice is LibTorch's own (cuFFT inside): a CUDA build loads libtorch_cuda when a CUDA device is asked
# for, so that the program starts as fast as the CPU build.
find_program(NAMM_NVCC nvcc PATHS /usr/local/cuda/bin)
set(NAMM_WITH_CUDA OFF)
if(NOT NAMM_CUDA STREQUAL "OFF")
  if(EXISTS ${NAMM_TORCH_DIR}/lib/libtorch_cuda.so AND (NAMM_NVCC OR NAMM_CUDA STREQUAL "ON"))
    set(NAMM_WITH_CUDA ON)
    target_compile_definitions(namm_torch INTERFACE NAMM_WITH_CUDA)
  elseif(NAMM_CUDA STREQUAL "ON")
    message(FATAL_ERROR "NAMM_CUDA=ON, but ${NAMM_TORCH_DIR}/lib has no libtorch_cuda.so: install a CUDA build of LibTorch "
                        "or configure with -DNAMM_CUDA=OFF")
  endif()
endif()
message(STATUS "LibTorch: ${NAMM_TORCH_DIR} (CUDA back end: ${NAMM_WITH_CUDA})")

if(NAMM_TESTS)
  find_package(GTest REQUIRED)
endif()
