# namm_folder(NAME SOURCES ... LINK ... [PCH header ...]): one library a folder, `namm_NAME` with alias `namm::NAME`.
function(namm_folder name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK;PRIVATE_LINK;PCH" ${ARGN})
  add_library(namm_${name} STATIC ${arg_SOURCES})
  add_library(namm::${name} ALIAS namm_${name})
  target_include_directories(namm_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(namm_${name} PUBLIC ${arg_LINK} PRIVATE ${arg_PRIVATE_LINK})
  namm_own_code(namm_${name})
  if(arg_PCH)
    target_precompile_headers(namm_${name} PRIVATE ${arg_PCH})
  endif()
endfunction()

# What every target of ours is compiled with. -ffp-contract=off: the same bits whatever the optimiser fuses.
function(namm_own_code target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                                           -ffp-contract=off)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 warns falsely of overlapping copies in "literal" + std::string (GCC bug 105329), and of strings that are not
    # initialised where a large aggregate of them is built and something after them may throw.
    target_compile_options(${target} PRIVATE -Wno-restrict -Wno-maybe-uninitialized)
  endif()
  if(NAMM_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(NAMM_CCACHE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fpch-preprocess)
  endif()
endfunction()
