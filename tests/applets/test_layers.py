#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/checks/layers on trees of one file: which #include it takes and which it refuses."""
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import common  # noqa: E402

CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "checks", "layers")
RIGHT = "include to the right"
SHELF = "include of another shelf"
ROWS = (  # file below src/, what it includes, what is said; None: nothing
    ("oci/x.c", "base/err.h", None),
    ("oci/x.c", "providers/provider.h", RIGHT),
    ("oci/x.c", "api/model.h", RIGHT),
    ("base/x.c", "x.h", "path does not start with a layer"),
    ("providers/docker/docker.c", "providers/docker/engine/engine.h", None),
    ("providers/docker/engine/x.c", "providers/spec.h", None),
    ("providers/docker/engine/x.c", "providers/native/box.h", SHELF),
    ("providers/docker/workspace/x.c", "providers/devcontainer/dclife.h", None),
    ("providers/docker/workspace/x.c", "providers/exec/exec.h", SHELF),
    ("providers/native/x.c", "providers/native/box.h", None),
    ("providers/native/x.c", "providers/buildname.h", None),
    ("providers/native/x.c", "providers/devcontainer/features.h", None),
    ("providers/native/x.c", "providers/docker/engine/policy.h", SHELF),
    ("providers/native/x.h", "providers/docker/docker.h", SHELF),
    ("providers/devcontainer/x.c", "providers/asker.h", None),
    ("providers/devcontainer/x.h", "providers/docker/engine/exec.h", SHELF),
    ("providers/devcontainer/x.c", "providers/native/box.h", SHELF),
    ("providers/exec/x.c", "providers/provider.h", None),
    ("providers/exec/x.c", "providers/devcontainer/devcontainer.h", SHELF),
    ("providers/spec.h", "providers/docker/engine/options.h", SHELF),
    ("providers/provider.h", "providers/devcontainer/devcontainer.h", SHELF),
    ("providers/providers.c", "providers/docker/docker.h", None),
    ("jobs/x.c", "providers/native/native.h", None),
)


class Layers(common.Case):
    def test_rows(self):
        for file, include, said in ROWS:
            with self.subTest(file=file, include=include):
                top = self.path("tree")
                os.makedirs(os.path.dirname(os.path.join(top, "src", file)))
                os.makedirs(os.path.join(top, "scripts", "checks"))
                shutil.copy(CHECK, os.path.join(top, "scripts", "checks"))
                with open(os.path.join(top, "src", file), "w", encoding="utf-8") as out:
                    out.write(f'#include <stdio.h>\n#include "{include}"\n')
                result = common.run([os.path.join(top, "scripts", "checks", "layers")])
                shutil.rmtree(top)
                wanted = f'src/{file}:2: {said}: #include "{include}"' if said else "checks/layers: 1 includes are right"
                self.assertEqual((result.returncode == 0, result.stdout), (not said, wanted + "\n"), result.stderr)


if __name__ == "__main__":
    common.main()
