# SPDX-License-Identifier: Apache-2.0
# dr_common: flags of everything, third-party code included. dr_own: what our own code adds.
add_library(dr_common INTERFACE)
add_library(dr_own INTERFACE)

# Functions with arrays of bytes are guarded; those that only hand out the address of a local, which is nearly every
# function here (struct buf, struct err), would cost 49 KB and have nothing that runs over.
# Paths in the binary are relative to the source tree, so where it was built does not show.
target_compile_options(dr_common INTERFACE
	-fno-strict-aliasing -fstack-protector -ffunction-sections -fdata-sections
	-ffile-prefix-map=${CMAKE_BINARY_DIR}=build -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
target_link_options(dr_common INTERFACE -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack)
target_compile_definitions(dr_common INTERFACE _GNU_SOURCE)

if(DR_SANITIZE)
	set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
	if(DR_FUZZ)
		target_compile_options(dr_common INTERFACE -fsanitize=fuzzer-no-link)
	endif()
	target_compile_options(dr_common INTERFACE ${sanitize})
	target_link_options(dr_common INTERFACE ${sanitize})
	# What a function forgot to set is then wrong every time, and not by luck.
	include(CheckCCompilerFlag)
	check_c_compiler_flag(-ftrivial-auto-var-init=pattern DR_HAS_INIT_PATTERN)
	if(DR_HAS_INIT_PATTERN)
		target_compile_options(dr_common INTERFACE -ftrivial-auto-var-init=pattern)
	endif()
endif()

if(DR_LTO)
	target_compile_options(dr_common INTERFACE -flto=auto)
	target_link_options(dr_common INTERFACE -flto=auto)
endif()

if(DR_STATIC)
	target_compile_options(dr_common INTERFACE -fno-pie -fno-asynchronous-unwind-tables -fno-unwind-tables)
	target_link_options(dr_common INTERFACE -static -no-pie -s -Wl,--build-id=none
		-Wl,-z,noseparate-code) # no padding between code and constants, as everywhere but on x86
	# Each is worth some KB here; what a compiler does not know is left out.
	include(CheckCCompilerFlag)
	set(CMAKE_REQUIRED_FLAGS -Werror)
	foreach(flag -Oz -fno-caller-saves -fno-tree-dominator-opts -fno-expensive-optimizations
			-fno-optimize-sibling-calls -fno-tree-tail-merge -fno-if-conversion
			-fno-move-loop-invariants -fno-tree-loop-im -fno-shrink-wrap -fno-jump-tables
			-fipa-pta -flto-partition=one)
		string(MAKE_C_IDENTIFIER "DR_HAS${flag}" known)
		check_c_compiler_flag(${flag} ${known})
		if(${known})
			target_compile_options(dr_common INTERFACE ${flag})
			target_link_options(dr_common INTERFACE ${flag})
		endif()
	endforeach()
	unset(CMAKE_REQUIRED_FLAGS)
endif()

# musl's own headers stand alone; the kernel's come from the system, reached through links so that
# nothing of glibc's is seen beside them.
if(DR_STATIC)
	execute_process(COMMAND ${CMAKE_C_COMPILER} -print-multiarch
		OUTPUT_VARIABLE multiarch OUTPUT_STRIP_TRAILING_WHITESPACE)
	set(kernel ${CMAKE_BINARY_DIR}/kernel-headers)
	file(MAKE_DIRECTORY ${kernel})
	foreach(name linux asm-generic mtd asm)
		# A cross compiler's first, then the machine's own.
		find_path(DR_KERNEL_${name} ${name}/ PATHS /usr/${multiarch}/include /usr/include/${multiarch} /usr/include
			NO_DEFAULT_PATH REQUIRED)
		file(CREATE_LINK ${DR_KERNEL_${name}}/${name} ${kernel}/${name} SYMBOLIC)
	endforeach()
	target_include_directories(dr_common SYSTEM INTERFACE ${kernel})
endif()

target_include_directories(dr_own INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(dr_own INTERFACE DR_VERSION="${PROJECT_VERSION}")
target_compile_options(dr_own INTERFACE
	-include ${CMAKE_SOURCE_DIR}/src/base/banned.h
	-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes
	-Wvla -Wundef -Wold-style-definition -Wwrite-strings -Wcast-qual -Wpointer-arith
	-Wimplicit-fallthrough)
if(DR_ANALYZER)
	target_compile_options(dr_own INTERFACE -fanalyzer)
endif()
if(DR_WERROR)
	target_compile_options(dr_own INTERFACE -Werror)
endif()
