# SPDX-License-Identifier: Apache-2.0
# C files made at build time: CA roots, licence texts, build id, scripts.
set(out ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${out})

file(GLOB certificates CONFIGURE_DEPENDS ${DR_CA_DIR}/*.crt)
if(NOT certificates AND EXISTS ${DR_CA_DIR} AND NOT IS_DIRECTORY ${DR_CA_DIR})
	set(certificates ${DR_CA_DIR})
endif()
if(NOT certificates)
	message(FATAL_ERROR "${DR_CA_DIR}: no *.crt: install ca-certificates, or set DR_CA_DIR to a folder of them or a bundle")
endif()
set(packer ${CMAKE_SOURCE_DIR}/cmake/packer.py)
set(script ${CMAKE_SOURCE_DIR}/cmake/gen-ca-roots)
add_custom_command(OUTPUT ${out}/ca_roots.c
	COMMAND ${Python3_EXECUTABLE} ${script} ${DR_CA_DIR} ${out}/ca_roots.c
	DEPENDS ${script} ${packer} ${certificates} COMMENT "Generating ca_roots.c" VERBATIM)
set(DR_GENERATED_net ${out}/ca_roots.c)

set(script ${CMAKE_SOURCE_DIR}/cmake/gen-licenses)
set(texts jsmn=${DR_SRC_jsmn}/LICENSE inih=${DR_SRC_inih}/LICENSE.txt zlib=${DR_SRC_zlib}/LICENSE
	zstd=${DR_SRC_zstd}/LICENSE musl=${DR_SRC_musl}/COPYRIGHT)
if(DR_SSH)
	list(APPEND texts dropbear=${DR_SRC_dropbear}/LICENSE)
endif()
list(TRANSFORM texts REPLACE "=.*" "" OUTPUT_VARIABLE versions)
list(APPEND versions mbedtls)
list(TRANSFORM versions REPLACE "(.+)" "third_party/\\1/VERSION")
list(TRANSFORM texts REPLACE "[^=]*=" "" OUTPUT_VARIABLE files)
add_custom_command(OUTPUT ${out}/licenses.c
	COMMAND ${Python3_EXECUTABLE} ${script} ${CMAKE_SOURCE_DIR}/third_party ${texts} ${out}/licenses.c
	DEPENDS ${script} ${packer} ${files} ${versions}
	COMMENT "Generating licenses.c" VERBATIM)

# The id is the commit's, so one commit always gives the same bytes; a new commit reconfigures.
set(build_id ${DR_BUILD_ID})
if(NOT build_id)
	execute_process(COMMAND git -c safe.directory=* -C ${CMAKE_SOURCE_DIR} rev-parse --short=12 HEAD
		OUTPUT_VARIABLE build_id OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
	if(EXISTS ${CMAKE_SOURCE_DIR}/.git/logs/HEAD)
		set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/.git/logs/HEAD)
	endif()
endif()
if(NOT build_id)
	set(build_id unknown)
endif()
execute_process(COMMAND git -c safe.directory=* -C ${CMAKE_SOURCE_DIR} log -1 --format=%ct
	OUTPUT_VARIABLE build_epoch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT build_epoch)
	set(build_epoch 1764028800) # 2025-11-25: older than any build
endif()
list(APPEND packages mbedtls jsmn inih zlib zstd)
if(DR_SSH)
	list(APPEND packages dropbear)
endif()
if(DR_STATIC)
	list(APPEND packages musl)
endif()
foreach(package ${packages})
	file(STRINGS third_party/${package}/VERSION version LIMIT_COUNT 1)
	list(APPEND libraries "${package} ${version}")
endforeach()
list(JOIN libraries ", " libraries)
file(CONFIGURE OUTPUT ${out}/build_id.c CONTENT [[
#include "base/version.h"

const char dr_build_id[] = "@build_id@";
const char dr_libraries[] = "@libraries@";
const long long dr_build_epoch = @build_epoch@;
]] @ONLY)
set(DR_GENERATED_base ${out}/licenses.c ${out}/build_id.c ${out}/scripts.c)

# Scripts that the executable gives away.
set(script ${CMAKE_SOURCE_DIR}/cmake/gen-scripts)
set(texts install.sh get-daytona.sh completion.sh completion.bash completion.zsh completion.fish examples.txt)
list(TRANSFORM texts PREPEND ${CMAKE_SOURCE_DIR}/share/)
add_custom_command(OUTPUT ${out}/scripts.c
	COMMAND ${Python3_EXECUTABLE} ${script} ${out}/scripts.c ${texts}
	DEPENDS ${script} ${packer} ${texts} COMMENT "Generating scripts.c" VERBATIM)

# The Server's page.
set(script ${CMAKE_SOURCE_DIR}/cmake/gen-page)
set(texts page.html page.css terminal.js page.js)
list(TRANSFORM texts PREPEND ${CMAKE_SOURCE_DIR}/share/page/)
add_custom_command(OUTPUT ${out}/page.c
	COMMAND ${Python3_EXECUTABLE} ${script} ${out}/page.c ${texts}
	DEPENDS ${script} ${packer} ${texts} COMMENT "Generating page.c" VERBATIM)
set(DR_GENERATED_server ${out}/page.c)
