set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
# The program and its tests stand together in the build folder: build/namm.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

option(NAMM_TESTS "Build the test programs" OFF)
option(NAMM_WARNINGS_AS_ERRORS "Treat warnings in our own code as errors" ON)
set(NAMM_CUDA AUTO CACHE STRING "Use LibTorch's CUDA back end: AUTO (where nvcc and libtorch_cuda are), ON, OFF")
set_property(CACHE NAMM_CUDA PROPERTY STRINGS AUTO ON OFF)
set(NAMM_SANITIZER "" CACHE STRING "Sanitizer for all targets: empty, address, thread, fuzzer (clang; address and fuzz targets)")

find_program(NAMM_CCACHE ccache)
if(NAMM_CCACHE)
  # The precompiled headers differ only by the time they were made.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${NAMM_CCACHE})
endif()

if(NAMM_SANITIZER STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
elseif(NAMM_SANITIZER STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(NAMM_SANITIZER STREQUAL "fuzzer")
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "NAMM_SANITIZER=fuzzer needs clang: cmake --preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
elseif(NAMM_SANITIZER)
  message(FATAL_ERROR "NAMM_SANITIZER=${NAMM_SANITIZER}: allowed are address, thread, fuzzer or nothing")
endif()
