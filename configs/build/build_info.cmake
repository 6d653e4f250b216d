# Run at every build (cmake -P): writes OUTPUT from INPUT, untouched when nothing changed.
set(NAMM_GIT_REVISION unknown)
set(NAMM_GIT_DIRTY false)
find_program(git git)
if(git)
  execute_process(COMMAND ${git} rev-parse HEAD WORKING_DIRECTORY ${SOURCE_DIR} RESULT_VARIABLE failed
                  OUTPUT_VARIABLE revision ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT failed)
    set(NAMM_GIT_REVISION ${revision})
    # --no-optional-locks: a build must not get into the way of a commit.
    execute_process(COMMAND ${git} --no-optional-locks status --porcelain --untracked-files=no WORKING_DIRECTORY ${SOURCE_DIR}
                    OUTPUT_VARIABLE changes ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(changes)
      set(NAMM_GIT_DIRTY true)
    endif()
  endif()
endif()
configure_file(${INPUT} ${OUTPUT} @ONLY)
