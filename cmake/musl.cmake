# SPDX-License-Identifier: Apache-2.0
# The static executable has one C library wherever it is built: musl from third_party/musl, built once in each build
# folder, before the compiler is looked at. DR_TRIPLET: a cross compiler's, as in aarch64-linux-gnu.
set(DR_TRIPLET "" CACHE STRING "triplet of a cross compiler for the static executable (empty: this machine's)")
set(prefix ${DR_TRIPLET})
if(prefix)
	string(APPEND prefix -)
endif()
set(recipe ${CMAKE_SOURCE_DIR}/third_party/musl/build)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${recipe})
file(SHA256 ${recipe} wanted)
string(APPEND wanted " ${DR_SRC_musl} ${DR_TRIPLET}")
set(libc ${CMAKE_BINARY_DIR}/musl)
set(have)
if(EXISTS ${libc}.done)
	file(READ ${libc}.done have)
endif()
if(NOT have STREQUAL wanted)
	message(STATUS "Building musl: once in this folder, under a minute")
	execute_process(COMMAND ${recipe} ${DR_SRC_musl} ${libc}.work ${libc} ${prefix}gcc ${DR_TRIPLET}
		RESULT_VARIABLE failed OUTPUT_FILE ${libc}.log ERROR_FILE ${libc}.log)
	if(failed)
		file(READ ${libc}.log log)
		message(FATAL_ERROR "${log}\nmusl cannot be built with ${prefix}gcc, see above")
	endif()
	file(WRITE ${libc}.done ${wanted})
endif()

if(DEFINED CMAKE_C_COMPILER AND NOT CMAKE_C_COMPILER STREQUAL ${libc}/bin/musl-gcc)
	message(FATAL_ERROR "${CMAKE_BINARY_DIR} was configured for another C library: remove it, or use cmake --fresh")
endif()
set(CMAKE_C_COMPILER ${libc}/bin/musl-gcc CACHE FILEPATH "for musl of third_party/musl" FORCE)
string(APPEND CMAKE_EXE_LINKER_FLAGS " -static -no-pie") # this libc serves nothing else
foreach(tool AR RANLIB) # those that see into objects of link-time optimisation
	string(TOLOWER ${prefix}gcc-${tool} program)
	find_program(DR_${tool} ${program} REQUIRED)
	set(CMAKE_${tool} ${DR_${tool}} CACHE FILEPATH "" FORCE)
	set(CMAKE_C_COMPILER_${tool} ${DR_${tool}} CACHE FILEPATH "" FORCE)
endforeach()
