# SPDX-License-Identifier: Apache-2.0
"""Drives a program through a pseudo-terminal as a person would: waits for a text, types an answer."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

from lib import common


class Terminal:
    """argv on a terminal of its own (its controlling one, so Ctrl-C is a signal)."""

    def __init__(self, case, argv, env, columns=80, cwd=None, stdout=None):
        self.output, self.seen, self.status = b"", 0, None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                # Here, so that the program never sees another size.
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                if cwd:
                    os.chdir(cwd)
                if stdout is not None:
                    os.dup2(stdout, 1)
                os.execve(argv[0], argv, env)
            finally:
                os._exit(127)
        case.addCleanup(self.close)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.waitpid(self.pid, 0)
            self.status = -1

    def _read(self, timeout):
        """True if there was something; False at the end."""
        ready, _, _ = select.select([self.fd], [], [], timeout)
        if not ready:
            raise AssertionError(f"nothing more came; so far:\n{self.text()}")
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.output += data
        return bool(data)

    def text(self):
        return self.output.decode(errors="replace").replace("\r\n", "\n")

    def expect(self, pattern, timeout=10.0):
        """Waits for pattern behind what was expected before: the match."""
        end = time.monotonic() + timeout * common.PATIENCE
        while True:
            text = self.text()
            match = re.compile(pattern).search(text, self.seen)
            if match:
                self.seen = match.end()
                return match
            if not self._read(max(0.01, end - time.monotonic())):
                raise AssertionError(f"{pattern!r} did not come:\n{self.text()}")

    def echo_is_off(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ECHO

    def send(self, text):
        os.write(self.fd, text if isinstance(text, bytes) else text.encode())

    def answer(self, pattern, text):
        self.expect(pattern)
        self.send(text + "\n")

    def secret(self, pattern, text):
        """As answer, after the terminal has stopped echoing."""
        self.expect(pattern)
        common.wait_for(self.echo_is_off, 10 * common.PATIENCE, "echo off")
        self.send(text + "\n")

    def wait(self, timeout=60.0):
        """Reads to the end: the exit status (negative: the signal)."""
        end = time.monotonic() + timeout * common.PATIENCE
        while self._read(max(0.01, end - time.monotonic())):
            pass
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        return self.status
