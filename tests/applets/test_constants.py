#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Static: only the release executable has its constants packed.
"""What cmake/pack-constants packed is back in its place in a program that runs, where it cannot be written to, and in
no other; and the file has it once."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402

PACK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "cmake", "pack-constants")
LITERAL = b"no applet is named \"%s\"%s; see daytona-runner help\0"


class ConstantsTest(common.Case):
    def test_they_are_in_memory_that_cannot_be_written_to(self):
        constants = subprocess.run([sys.executable, PACK, "-u", common.BIN], capture_output=True, check=True).stdout
        self.assertEqual(constants.count(LITERAL), 1)
        with open(common.BIN, "rb") as file:
            self.assertNotIn(LITERAL, file.read())

        runner = self.runner(self.server())
        runner.start()
        common.need_proc(self, runner.pid)
        found = []
        with open(f"/proc/{runner.pid}/maps", encoding="ascii") as maps, \
                open(f"/proc/{runner.pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                place, mode, rest = line.split(maxsplit=2)
                start, end = (int(number, 16) for number in place.split("-"))
                if "r" not in mode or "[v" in rest:  # vvar, vsyscall
                    continue
                memory.seek(start)
                if LITERAL in (content := memory.read(end - start)):
                    found.append((mode, content[:len(constants)] == constants))
        self.assertEqual(found, [("r--p", True)])

    def test_no_memory_to_unpack_them(self):
        """The first text that is written is none of them."""
        inject = "strace -f -o /dev/null -e trace=mmap,brk -e inject=mmap,brk:error=ENOMEM:when={}".split()
        if common.run([*inject[:-1], "inject=mmap,brk:error=ENOMEM:when=60000", "true"]).returncode:
            self.skipTest("no strace that can make calls fail")
        for n in (1, 2):
            result = common.run([*inject[:-1], inject[-1].format(n), common.BIN, "version"])
            self.assertEqual((result.returncode, result.stderr), (1, "daytona-runner: out of memory\n"), n)

    def test_a_file_without_them_is_refused(self):
        path = self.path("plain")
        for content in (b"", b"#!/bin/sh\n", b"\x7fELF\x02\x02" + bytes(58)):
            with open(path, "wb") as file:
                file.write(content)
            result = common.run([sys.executable, PACK, path])
            self.assertNotEqual(result.returncode, 0)
            with open(path, "rb") as file:
                self.assertEqual(file.read(), content)


if __name__ == "__main__":
    common.main()
