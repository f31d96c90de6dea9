# SPDX-License-Identifier: Apache-2.0
"""The docker provider driven against a scripted engine."""
import json
import os

import common
from drivecase import DriveCase
from fakeengine import FakeEngine, fake_program

WORKSPACE, TARGET, KEY = "77aa10bc9d2e", "0a1b2c3d4e5f", "NTUwZTg0MDAtc2VjcmV0LWtleQ"
IMAGE = "acme/app:1"
LIMITS = ("call_timeout", "agent_timeout", "pull_stall")


class EngineCase(DriveCase):
    provider = "docker-provider"

    def setUp(self):
        super().setUp()
        self.engine = self.start_engine("engine.sock")
        self.engine.add_image(IMAGE)
        self.program = fake_program(self.path("program"))

    def start_engine(self, name, **kwargs):
        engine = FakeEngine(self.path(name), **kwargs)
        self.addCleanup(engine.stop)
        return engine

    def workspace(self, socket=None, options=None, **changes):
        """Path of a WorkspaceDTO whose target uses the engine."""
        options = dict({"Sock Path": socket or self.engine.path}, **(options or {}))
        document = {
            "id": WORKSPACE, "name": "app", "image": IMAGE, "user": "dev", "targetId": TARGET, "labels": None,
            "repository": {"id": "app", "url": "https://example.test/acme/app", "name": "app", "branch": "main",
                           "sha": "", "owner": "acme", "source": "example.test"},
            "envVars": {"DAYTONA_TARGET_ID": TARGET, "DAYTONA_WORKSPACE_ID": WORKSPACE,
                        "DAYTONA_SERVER_API_KEY": KEY, "DAYTONA_SERVER_API_URL": "http://127.0.0.1:9",
                        "FOO": "a=b=c"},
            "apiKey": KEY, "metadata": None, "lastJobId": None, "lastJob": None,
            "state": {"name": "creating", "error": None, "updatedAt": "2026-01-01T00:00:00Z"},
            "target": {"id": TARGET, "name": "local", "targetConfigId": "c", "envVars": {}, "default": True,
                       "targetConfig": {"id": "c", "name": "local", "options": json.dumps(options), "deleted": False,
                                        "providerInfo": {"name": "docker-provider", "agentlessTarget": True}}}}
        document.update(changes)
        path = self.path(f"workspace-{len(os.listdir(self.tmp))}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return path

    def drive(self, document, *actions, options=(), **kwargs):
        # Nothing waits for these but a test in which the engine is silent, and that sets its own.
        base = [f"agent_binary={self.program}", *(f"{name}={60 * common.PATIENCE:.0f}" for name in LIMITS)]
        return super().drive(document, *actions, options=[*base, *options], **kwargs)
