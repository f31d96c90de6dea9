# SPDX-License-Identifier: Apache-2.0
"""docker-provider against a scripted engine: what is sent, faults of each call, repeats, adoption."""
import base64
import hashlib
import io
import json
import os
import sys
import tarfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import common  # noqa: E402
import drivecase  # noqa: E402
from enginecase import IMAGE, KEY, LIMITS, TARGET, WORKSPACE, EngineCase  # noqa: E402
from fakeengine import fake_program  # noqa: E402
from gitserver import make_repo  # noqa: E402

LABELS = {"daytona.target.id": TARGET, "daytona.workspace.id": WORKSPACE,
          "daytona.workspace.repository.url": "https://example.test/acme/app"}
NAME = f"{TARGET}-{WORKSPACE}"


class Calls(EngineCase):
    def test_whole_life(self):
        result = self.drive(self.workspace(), "check", "target-create", "create", "condition", "start", "condition",
                            "info", "start", "stop", "stop", "condition", "delete", "delete", "condition",
                            "target-delete", options=[f"sock_path={self.engine.path}"]).ok(self)
        self.assertEqual(json.loads(result["info"]), dict(LABELS, **{"daytona.runner.id": "c06076b18f00"}))
        self.assertEqual([text for name, text in result.actions if name == "condition"],
                         ["incomplete", "running", "stopped", "missing"])
        self.assertEqual(self.engine.containers, {})
        self.assertEqual(len(self.engine.calls("POST /containers/create")), 1)
        self.assertEqual(len(self.engine.calls("POST /images/create")), 0)
        self.assertEqual(len(self.engine.calls("POST .*/exec$")), 1, "a second agent")
        self.assertEqual(self.engine.wait_open(0), 0)

    def test_create_body(self):
        options = {"CPUs": "1.5", "Memory": "512m", "Network": "mynet", "Extra Hosts": "a:1.2.3.4"}
        self.drive(self.workspace(options=options), "create").ok(self)
        request = self.engine.calls("POST /containers/create")[0]
        body = request.json()
        self.assertEqual(request.version, "1.41")
        self.assertEqual(request.query["name"], NAME)
        self.assertEqual(body["Hostname"], WORKSPACE)
        self.assertEqual(body["Image"], IMAGE)
        self.assertEqual(body["User"], "dev")
        self.assertRegex(body["Labels"].pop("daytona.runner.nonce"), "^[0-9a-f]{32}$")
        self.assertEqual(body["Labels"], dict(LABELS, **{
            "daytona.runner.id": "c06076b18f00", "daytona.build.id": "", "daytona.runner.helper": ""}))
        self.assertIn("FOO=a=b=c", body["Env"])
        self.assertNotIn(KEY, request.body.decode())
        host = body["HostConfig"]
        self.assertEqual(host["Privileged"], False)
        self.assertEqual((host["NanoCpus"], host["Memory"], host["NetworkMode"]), (1500000000, 512 << 20, "mynet"))
        self.assertEqual(host["ExtraHosts"], ["host.docker.internal:host-gateway", "a:1.2.3.4"])
        self.assertEqual(self.engine.calls("POST .*/(start|stop)"), [], "create starts nothing")
        self.assertTrue(request.headers["host"])

    def test_an_image_that_is_not_allowed(self):
        """Neither looked for nor pulled, whether the engine has it or not; and what is there can be ended."""
        for image in (IMAGE, "evil/other:2"):
            self.drive(self.workspace(image=image), "create", DRIVE_ALLOW_IMAGES="acme/base, debian:*").error(
                self, "is not allowed on this runner .*allow_images")
        for call in ("POST /containers/create", "POST /images/create", "GET /images/acme.*", "GET /images/evil.*"):
            self.assertEqual(self.engine.calls(call), [], call)
        self.drive(self.workspace(), "create", DRIVE_ALLOW_IMAGES="acme/*").ok(self)
        self.drive(self.workspace(), "stop", "delete", DRIVE_ALLOW_IMAGES="debian").ok(self)

    def test_privileged_only_when_asked(self):
        self.drive(self.workspace(options={"Privileged": True}), "create").ok(self)
        self.assertTrue(self.engine.calls("POST /containers/create")[0].json()["HostConfig"]["Privileged"])

    def test_all_is_delivered_before_the_start(self):
        """The engine mounts a container's mounts anew, by path, for each file that is put into it."""
        for options in ({"Agent": "builtin"}, {}):
            with self.subTest(options=options):
                del self.engine.requests[:]
                self.drive(self.workspace(options=options), "create", "start", "delete").ok(self)
                order = [f"{r.method} {r.path}" for r in self.engine.requests]
                start = next(i for i, text in enumerate(order) if text.startswith("POST") and text.endswith("/start"))
                puts = [i for i, text in enumerate(order) if text.startswith("PUT")]
                self.assertTrue(puts)
                self.assertLess(max(puts), start, order)

    def test_into_one_that_can_exchange_its_mounts_nothing_is_put(self):
        """It runs without its agent: the next start goes on with what the last one gave it."""
        document = self.workspace(options={"Agent": "builtin"})
        self.drive(document, "create", "start").ok(self)
        part = os.path.join(self.state, "workspaces", WORKSPACE, "app", "part")
        os.makedirs(part)
        container = next(iter(self.engine.containers.values()))
        for mounts, puts in (([], True), ([{"Type": "bind", "Source": os.path.dirname(part), "Target": "/app"}], True),
                             ([{"Type": "bind", "Source": part, "Target": "/p"}], False)):
            with self.subTest(mounts=mounts):
                container.body["HostConfig"]["Mounts"] = mounts
                container.execs.clear()
                container.files.clear()
                del self.engine.requests[:]
                self.drive(document, "start").ok(self)
                self.assertEqual(bool(self.engine.calls("PUT .*")), puts)
                self.assertTrue(self.engine.calls("POST .*/exec"))

    def starts_anew(self, document, path):
        """How often the file was put by a start of the stopped container."""
        del self.engine.requests[:]
        self.drive(document, "stop", "start").ok(self)
        return sum(path[1:] in tarfile.open(fileobj=io.BytesIO(r.body)).getnames() for r in self.engine.calls("PUT .*"))

    def put_only_once(self, document, path, source):
        """The agent's program at path, a copy of the host's source."""
        self.drive(document, "create", "start").ok(self)
        container = next(iter(self.engine.containers.values()))
        self.assertEqual(self.starts_anew(document, path), 0, "it is there")
        for change in ({"size": 1}, {"mtime": 5}, {"mode": 0o644}, {"mode": 0o755 | 1 << 27}):
            with self.subTest(change=change):
                for name, value in change.items():
                    setattr(container.files[path], name, value)
                self.assertEqual(self.starts_anew(document, path), 1)
                self.assertEqual(self.starts_anew(document, path), 0)
        del container.files[path]
        self.assertEqual(self.starts_anew(document, path), 1, "it was removed in there")
        os.utime(source, (1, 1))
        self.assertEqual(self.starts_anew(document, path), 1, "another one on the host")

    def test_our_program_is_put_at_each_start(self):
        """Root in there can make another look like it."""
        document = self.workspace(options={"Agent": "builtin"})
        self.drive(document, "create", "start").ok(self)
        self.assertEqual([self.starts_anew(document, "/.daytona/daytona-runner") for _ in range(2)], [1, 1])

    def test_an_agent_that_is_there_is_neither_read_nor_put_again(self):
        """It has 90 MB: to hash and copy them took four times as long as all else of a start."""
        cache = os.path.join(self.state, "agents", "v0.53.0")
        os.makedirs(cache, mode=0o700)
        agent, sum_file = (os.path.join(cache, f"daytona-linux-amd64{end}") for end in ("", ".sha256"))
        with open(fake_program(agent), "rb") as file:
            right = hashlib.sha256(file.read()).hexdigest()
        with open(sum_file, "w", encoding="ascii") as file:
            file.write(right)
        document = self.workspace(options={"Agent": "daytona"}, envVars={"DAYTONA_SERVER_VERSION": "v0.53.0"})
        path = "/usr/local/bin/daytona"
        self.put_only_once(document, path, agent)
        # Nor is the first process then: it does not get the key.
        first = "/.daytona/daytona-runner"
        self.assertEqual(self.starts_anew(document, first), 0)
        next(iter(self.engine.containers.values())).files[first].size = 1
        self.assertEqual([self.starts_anew(document, first) for _ in range(2)], [1, 0])
        with open(sum_file, "w", encoding="ascii") as file:
            file.write("0" * 64)        # who reads it refuses it
        self.assertEqual(self.starts_anew(document, path), 0)
        os.utime(agent, (2, 2))
        self.drive(document, "stop", "start").error(self, "not in the cache")

    def test_key_only_in_environment_of_exec(self):
        self.drive(self.workspace(), "create", "start").ok(self)
        bodies = [(r, r.body.decode("latin-1")) for r in self.engine.requests if KEY in r.body.decode("latin-1")]
        self.assertEqual(len(bodies), 1)
        spec = bodies[0][0].json()
        self.assertNotIn(KEY, json.dumps(spec["Cmd"]))
        self.assertEqual(spec["Env"][0], "DEBIAN_FRONTEND=noninteractive")
        self.assertIn(f"DAYTONA_SERVER_API_KEY={KEY}", spec["Env"])
        self.assertEqual(spec["User"], "dev")
        self.assertFalse([r for r in self.engine.requests if KEY in r.target])

    def test_agent_reaches_the_server_as_the_runner_does(self):
        with open(self.path("ca.pem"), "w", encoding="ascii") as file:
            file.write("a certificate")
        link = dict(DRIVE_CA_FILE=self.path("ca.pem"), DRIVE_PIN="ab" * 32, DRIVE_PROXY="http://127.0.0.1:3128")

        def agent_env(url, options=(), **extra):
            self.engine.containers.clear()
            self.engine.requests.clear()
            env = {"DAYTONA_SERVER_API_URL": url, "DAYTONA_SERVER_API_KEY": KEY}
            self.drive(self.workspace(envVars=env), "create", "start", options=options, **extra).ok(self)
            pairs = [p.split("=", 1) for p in self.engine.calls("POST .*/exec$")[0].json()["Env"]]
            self.assertNotIn("DAYTONA_AGENT", self.engine.calls("POST /containers/create")[0].body.decode())
            return {k: v for k, v in pairs if k.startswith("DAYTONA_AGENT_")}
        git_ca = f"git_ca_file={self.path('ca.pem')}"
        env = agent_env("https://daytona.test", [git_ca], **link)
        files = list(self.engine.containers.values())[0].files
        for name in ("DAYTONA_AGENT_CA_FILE", "DAYTONA_AGENT_GIT_CA_FILE"):
            self.assertEqual(files[env[name]].size, len("a certificate"))
        self.assertEqual(env["DAYTONA_AGENT_PIN_SHA256"], "ab" * 32)
        self.assertEqual(env["DAYTONA_AGENT_PROXY"], "http://host.docker.internal:3128")
        env = agent_env("http://127.0.0.1:3986", **link)
        self.assertEqual(env["DAYTONA_AGENT_NO_PROXY"], "host.docker.internal", "the Server is on this host")
        self.assertNotIn("DAYTONA_AGENT_PROXY", env)
        for name in ("CA_FILE", "PIN_SHA256", "PROXY"):
            self.assertNotIn("DAYTONA_AGENT_" + name, agent_env("https://daytona.test", HTTPS_PROXY="http://127.0.0.1:1"))
        os.unlink(self.path("ca.pem"))
        self.engine.containers.clear()
        self.drive(self.workspace(), "create", "start", **link).error(self, "ca.pem")

    def test_few_looks_into_a_container_before_its_start(self):
        """Each costs a mount of its files: one for its users, one brings all that it needs."""
        self.drive(self.workspace(), "create", "start").ok(self)
        before = []
        for request in self.engine.requests:
            if request.path.endswith("/start"):
                break
            before += [request.method] if "/archive" in request.path else []
        self.assertEqual(before, ["HEAD", "GET", "PUT"])
        files = list(self.engine.containers.values())[0].files
        self.assertIn("/etc/passwd", files)
        self.assertIn("/.daytona/daytona-runner", files)

    def test_users_are_read_again_when_their_file_has_changed(self):
        def home_at_start(user="dev"):
            """The home that the checkout is in, and how often the file was read for it."""
            del self.engine.requests[:]
            self.drive(self.workspace(user=user), "stop", "start").ok(self)
            env = dict(e.split("=", 1) for r in self.engine.calls("POST .*/exec") for e in r.json().get("Env") or [])
            reads = [r for r in self.engine.calls("GET .*/archive") if r.query["path"] == "/etc/passwd"]
            return os.path.dirname(env["DAYTONA_AGENT_DIR"]), len(reads)

        def write(text, mtime):
            container.contents[passwd.name] = text
            container.files[passwd.name].size, container.files[passwd.name].mtime = len(text), mtime
        self.drive(self.workspace(), "create", "start").ok(self)
        container = next(iter(self.engine.containers.values()))
        passwd = tarfile.TarInfo("/etc/passwd")
        container.files[passwd.name] = passwd
        write(b"dev:x:7:7::/srv/dev:/bin/sh\nops:x:8:8::/srv/ops:/bin/sh\n", 5)
        self.assertEqual([home_at_start() for _ in range(3)], [("/srv/dev", n) for n in (1, 0, 0)])
        write(b"dev:x:7:7::/srv/new:/bin/sh\nops:x:8:8::/srv/ops:/bin/sh\n", 6)
        self.assertEqual([home_at_start() for _ in range(2)], [("/srv/new", n) for n in (1, 0)])
        write(b"dev:x:7:7::/srv/longer:/bin/sh\nops:x:8:8::/srv/ops:/bin/sh\n", 6)
        self.assertEqual(home_at_start(), ("/srv/longer", 1))
        self.assertEqual([home_at_start("ops") for _ in range(2)], [("/srv/ops", n) for n in (1, 0)])
        passwd.mode |= 1 << 27      # a link: what it leads to may change
        self.assertEqual([home_at_start("ops") for _ in range(2)], [("/srv/ops", 1)] * 2)
        # The same id in another container says nothing.
        notes = os.path.join(self.state, "workspaces", WORKSPACE, ".docker-notes")
        with open(notes, encoding="utf-8") as file:
            kept = json.load(file)
        self.assertEqual(kept["account"]["of"], "ops")
        passwd.mode = 0o644
        kept["container"] = "0" * 64
        with open(notes, "w", encoding="utf-8") as file:
            json.dump(kept, file)
        self.assertEqual(home_at_start("ops"), ("/srv/ops", 1))

    def test_odd_users(self):
        for user in ("", "0", "1000:1000", "a:b", "dev;rm", "dev/x", "dev\nx", ":", "-"):
            self.engine.containers.clear()
            self.drive(self.workspace(user=user), "create", "start").ok(self)

    def test_a_user_whom_the_engine_overlooks(self):
        """It says so of a container whose own list has him: a passing fault (fuse-overlayfs, loaded machine), asked again."""
        text = "unable to find user dev: no matching entries in passwd file"

        def refuse(conn, request):
            self.engine.reply(conn, request, 400, {"message": text})
            return True
        for call in ("POST /containers/[^/]+/start", "POST /exec/[^/]+/start"):
            for times in (1, 2, 3):
                with self.subTest(call=call, times=times):
                    self.engine.faults.clear()
                    self.engine.containers.clear()
                    before = len(self.engine.calls(call))
                    self.engine.fault(call, refuse, times)
                    result = self.drive(self.workspace(), "create", "start")
                    self.assertEqual(len(self.engine.calls(call)) - before, min(times + 1, 3))
                    if times < 3:
                        result.ok(self)
                    else:
                        result.error(self, text)
        # One whom the container's list does not have is not there.
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            line = b"root:x:0:0:root:/root:/bin/sh\n"
            member = tarfile.TarInfo("passwd")
            member.size = len(line)
            tar.addfile(member, io.BytesIO(line))

        def passwd(conn, request):
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: %d\r\n\r\n"
                         % len(packed.getvalue()) + packed.getvalue())
            return True
        self.engine.faults.clear()
        self.engine.containers.clear()
        self.engine.fault("GET /containers/[^/]+/archive", passwd)
        self.engine.fault("POST /containers/[^/]+/start", refuse)
        before = len(self.engine.calls("POST /containers/[^/]+/start"))
        self.drive(self.workspace(), "create", "start").error(self, text)
        self.assertEqual(len(self.engine.calls("POST /containers/[^/]+/start")) - before, 1)

    def test_environment_of_runner_stays_out(self):
        self.drive(self.workspace(), "create", "start", HTTP_PROXY="http://127.0.0.1:1", RUNNER_SECRET="xyzzy").ok(self)
        sent = b"".join(r.body for r in self.engine.requests)
        self.assertNotIn(b"xyzzy", sent)
        self.assertNotIn(b"HTTP_PROXY", sent)

    def test_create_whose_answer_was_lost(self):
        """The container is there, its id was not recorded: the nonce, recorded before, finds it."""
        def lose(conn, request):
            body = request.json()
            self.engine.add_container(request.query["name"], body.pop("Labels"), "created", **body)
            self.engine.fault(".*", "close")
            conn.shutdown(2)
            return True
        self.engine.fault("POST /containers/create", lose, times=1)
        self.drive(self.workspace(), "create").error(self, "create container")
        self.engine.faults.clear()
        self.assertEqual(len(self.engine.containers), 1)
        # Another one whose image got hold of the reference's labels changes nothing.
        self.engine.add_container("decoy", LABELS, "running")
        result = self.drive(self.workspace(), "create", "start", "delete").ok(self)
        self.assertNotIn("decoy", result.output)
        self.assertEqual([c.name for c in self.engine.containers.values()], ["decoy"])

    def test_directory_of_the_reference_goes_with_its_workspace(self):
        """It keeps checkouts below its own directory; what it made beside them, and no other workspace's."""
        base = self.path("providers", "docker-provider")
        for name in (f"{WORKSPACE}/app", f"{WORKSPACE}/app-data", "another/app"):
            os.makedirs(os.path.join(base, name))
        self.engine.add_container(NAME, LABELS, "running", Image=IMAGE, HostConfig={"Mounts": [
            {"Type": "bind", "Source": f"{base}/{WORKSPACE}/app", "Target": "/workspaces/app"}]})
        self.drive(self.workspace(), "stop", "delete").ok(self)
        self.assertEqual((self.engine.containers, os.listdir(base)), ({}, ["another"]))

    def test_name_held_by_leftover_of_ours(self):
        """Field case 6: the search by label misses it, the name shows it."""
        self.drive(self.workspace(), "create").ok(self)
        old, = self.engine.containers.values()
        notes = os.path.join(self.root(WORKSPACE), ".docker-notes")
        with open(notes, encoding="utf-8") as file:
            value = json.load(file)
        with open(notes, "w", encoding="utf-8") as file:
            json.dump(dict(value, container=""), file)
        self.engine.requests.clear()
        self.engine.fault(r"GET /containers/json", lambda c, r: self.engine.reply(c, r, 200, []) or True, times=1)
        self.drive(self.workspace(), "create").ok(self)
        self.assertEqual(len(self.engine.calls(f"DELETE /containers/{old.id}")), 1)
        self.assertEqual(len(self.engine.calls("POST /containers/create")), 2)

    def test_name_held_by_one_that_says_it_is_ours(self):
        """Labels alone say nothing once there is a record."""
        other = self.engine.add_container(NAME, {"daytona.workspace.id": WORKSPACE}, "exited")
        self.engine.fault(r"GET /containers/json", lambda c, r: self.engine.reply(c, r, 200, []) or True, times=1)
        self.drive(self.workspace(), "create").error(self, other.id[:12])
        self.assertEqual(self.engine.calls("DELETE"), [])

    def test_name_held_by_a_call_under_way(self):
        """The engine is still at the call of a job that was killed: the name is taken, nothing can be seen."""
        self.engine.fault("POST /containers/create", 409, times=2)
        self.drive(self.workspace(), "create").ok(self)
        self.assertEqual(len(self.engine.calls("POST /containers/create")), 3)

    def test_name_held_by_stranger(self):
        other = self.engine.add_container(NAME, {"daytona.workspace.id": "another"}, "exited")
        self.drive(self.workspace(), "create").error(self, other.id[:12])
        self.assertEqual(self.engine.calls("DELETE"), [])

    def test_container_of_the_reference_is_adopted(self):
        old = self.engine.add_container(NAME, LABELS, "running", Entrypoint=["sleep", "infinity"], User="dev")
        result = self.drive(self.workspace(), "condition", "create", "start", "info", "stop", "start", "delete").ok(self)
        self.assertEqual(result["condition"], "incomplete")
        self.assertEqual(self.engine.calls("POST /containers/create"), [])
        self.assertNotIn(old.id, self.engine.containers)

    def test_dev_container_of_the_reference(self):
        """Its checkout is not here; the label tells the user."""
        labels = dict(LABELS, **{"devcontainer.metadata": '[{"remoteUser":"a"},{"remoteUser":"node"},{"id":"f"}]'})
        self.engine.add_container(NAME, labels, "exited", Entrypoint=["/bin/sh"], User="root")
        document = self.workspace(buildConfig={"devcontainer": {"filePath": ".devcontainer/devcontainer.json"}})
        self.drive(document, "start").ok(self)
        # An ordinary user's runner has given him its own id, and his home, before that.
        self.assertEqual(self.engine.calls("POST .*/exec$")[-1].json()["User"], "node")

    def test_agent_of_the_reference_is_not_doubled(self):
        old = self.engine.add_container(NAME, LABELS, "running", Entrypoint=["sleep", "infinity"])
        self.engine.execs["e1"] = {"Running": True, "ExitCode": None,
                                   "spec": {"Cmd": ["sh", "-c", "curl x | bash; daytona agent"]}}
        old.execs.append("e1")
        self.assertIn("runs already", self.drive(self.workspace(), "start").ok(self).output)
        self.assertEqual(self.engine.calls("POST .*/exec$"), [])

    def test_agent_that_the_engine_forgot_is_not_doubled(self):
        """An exec whose output had nowhere to go after a kill is no longer listed, but its process runs."""
        old = self.engine.add_container(NAME, LABELS, "running")
        old.processes += ["/.daytona/daytona-runner agent"]
        result = self.drive(self.workspace(), "condition", "start").ok(self)
        self.assertEqual(result["condition"], "running")
        self.assertIn("runs already", result.output)
        self.assertEqual(self.engine.calls("POST .*/exec$"), [])

    def test_two_containers_with_our_labels(self):
        """None is taken over by guess; one that has the workspace's name as well is it."""
        self.engine.add_container("other-name", LABELS, "exited")
        self.engine.add_container("third", LABELS, "running", Entrypoint=["sleep", "infinity"])
        self.drive(self.workspace(), "stop").error(self, "2 containers could be .* other-name .* third")
        named = self.engine.add_container(NAME, LABELS, "running", Entrypoint=["sleep", "infinity"])
        result = self.drive(self.workspace(), "stop").ok(self)
        self.assertIn("Taking over container " + NAME, result.output)
        self.assertEqual([r.path for r in self.engine.calls("POST .*/stop")], [f"/containers/{named.id}/stop"])
        # From now on it is recorded: others with these labels are nothing.
        self.engine.add_container("fourth", LABELS, "running")
        self.drive(self.workspace(), "delete").ok(self)
        self.assertEqual(sorted(c.name for c in self.engine.containers.values()), ["fourth", "other-name", "third"])

    def test_filter_that_is_ignored(self):
        stranger = self.engine.add_container("stranger", {"daytona.workspace.id": "zzz"}, "running")
        self.engine.fault(r"GET /containers/json",
                          lambda c, r: self.engine.reply(c, r, 200, [stranger.summary()]) or True)
        self.drive(self.workspace(), "delete").ok(self)
        self.assertIn(stranger.id, self.engine.containers)

    def test_states_of_podman(self):
        container = self.engine.add_container(NAME, LABELS)
        for status, want in (("stopped", "stopped"), ("paused", "running"), ("initialized", "incomplete"),
                             ("weird", "unknown"), ("removing", "unknown"), ("", "unknown")):
            container.status = status
            result = self.drive(self.workspace(options={"Agent": "none"}), "condition").ok(self)
            self.assertEqual(result["condition"], want, status)

    def test_what_was_ended_for_want_of_memory(self):
        """Said whenever it is looked at: by a stop, a start, the description, and as the reason of a start that fails."""
        self.drive(self.workspace(), "create", "start").ok(self)
        container, = self.engine.containers.values()
        container.out_of_memory = True
        memory = r"for want of memory \(option Memory"
        result = self.drive(self.workspace(), "start", "info").ok(self)
        self.assertRegex(result.output, "A program of container .* was ended " + memory)
        self.assertIn('"daytona.runner.outOfMemory":"true"', result.output)
        container.status, container.exit_code = "exited", 137
        self.assertRegex(self.drive(self.workspace(), "stop").ok(self).output, "does not run; it was ended " + memory)
        self.assertRegex(self.drive(self.workspace(), "start").ok(self).output, "did not run; it was ended " + memory)

        def end(conn, request):
            container.status = "exited"
            self.engine.reply(conn, request, 204)
            return True
        container.status = "exited"
        self.engine.fault("POST /containers/[^/]+/start", end)
        self.drive(self.workspace(), "start").error(self, "ended at once with exit status 137, " + memory)

    def test_304_without_body(self):
        self.engine.add_container(NAME, LABELS, "running", Entrypoint=["sleep", "infinity"])
        def stop(conn, request):
            self.engine.find(NAME).status = "exited"
            self.engine.reply(conn, request, 304)
            return True
        self.engine.fault(r"POST .*/stop", stop)
        began = time.monotonic()
        self.drive(self.workspace(), "stop").ok(self)
        self.assertLess(time.monotonic() - began, 10 * common.PATIENCE)

    def test_stop_fails_with_the_engines_words(self):
        self.engine.add_container(NAME, LABELS, "running")
        self.engine.fault(r"POST .*/stop", 500)
        self.drive(self.workspace(), "stop").error(self, "stop container .*POST .*/stop: 500: injected 500")

    def test_removal_races(self):
        for sequence in ([409, "gone"], [400, "gone"], [500, "gone"], [409, 409, "go on"]):
            self.engine.containers.clear()
            self.engine.faults.clear()
            container = self.engine.add_container(NAME, LABELS, "running")
            steps = iter(sequence)

            def remove(conn, request, steps=steps, container=container, sequence=sequence):
                status = next(steps)
                if status == "go on":
                    return False
                if sequence[1] == "gone":
                    self.engine.containers.pop(container.id)
                self.engine.reply(conn, request, status, {"message": "removal is already in progress"})
                return True
            self.engine.fault(r"DELETE /containers", remove)
            self.drive(self.workspace(), "delete").ok(self)

    def test_force_delete_goes_on(self):
        """Field case 8."""
        gone = self.workspace(socket=self.path("no.sock"))
        self.drive(gone, "delete").error(self, "no.sock")
        self.assertIn("resources may remain", self.drive(gone, "force-delete").ok(self).output)
        self.engine.add_container(NAME, LABELS, "running")
        self.engine.fault(r"GET /containers/json", 500)
        self.drive(self.workspace(), "delete").ok(self)
        self.assertEqual(self.engine.containers, {})

    def test_compose_siblings(self):
        project = {"com.docker.compose.project": "p1"}
        self.engine.add_container(NAME, dict(LABELS, **project), "running", Entrypoint=["sleep"])
        sibling = self.engine.add_container("p1-db", project, "running")
        other = self.engine.add_container("p2-db", {"com.docker.compose.project": "p2"}, "running")
        self.drive(self.workspace(), "stop").ok(self)
        self.assertEqual((sibling.status, other.status), ("exited", "running"))
        self.drive(self.workspace(), "start").ok(self)
        self.assertEqual(sibling.status, "running")
        self.drive(self.workspace(), "delete").ok(self)
        self.assertEqual(list(self.engine.containers), [other.id])

    def test_project_label_of_the_image_binds_nobody(self):
        project = {"com.docker.compose.project": "p1"}
        self.engine.images["sha256:" + "1" * 64] = {"Id": "x", "Config": {"Labels": project}}
        self.engine.add_container(NAME, dict(LABELS, **project), "running")
        other = self.engine.add_container("p1-db", project, "running")
        self.drive(self.workspace(), "delete").ok(self)
        self.assertEqual(list(self.engine.containers), [other.id])

    def test_missing_container(self):
        self.drive(self.workspace(), "start").error(self, "no container")
        self.drive(self.workspace(), "stop").ok(self)
        self.drive(self.workspace(), "delete").ok(self)

    def test_target_delete_names_leftovers(self):
        self.engine.add_container(NAME, LABELS, "exited")
        self.assertIn(NAME, self.drive(self.workspace(), "target-force-delete").ok(self).output)
        self.assertEqual(self.engine.calls("DELETE"), [])


class Gpus(EngineCase):
    """What a dev container asks for (hostRequirements.gpu, --gpus), what the target allows, what the engine has."""

    def given(self, option, runtimes, config, says):
        path = self.path(f"git{len(os.listdir(self.tmp))}")
        os.mkdir(path)
        make_repo(path, files={".devcontainer.json": json.dumps({"image": IMAGE, **config})})
        self.engine.runtimes, before = runtimes, len(self.engine.calls("POST /containers/create"))
        document = self.workspace(options={"GPUs": option}, buildConfig={"devcontainer": {"filePath": ".devcontainer.json"}},
                                  repository={"id": "app", "url": f"file://{path}/app.git", "name": "app", "branch": "main",
                                              "sha": ""})
        said = self.drive(document, "create", "delete").ok(self).output
        body = self.engine.calls("POST /containers/create")[before].json()
        self.assertEqual("a GPU and has none" in said, bool(says), said)
        self.assertIn(says or "", said)
        return [request.get("Count", request.get("DeviceIDs")) for request in body["HostConfig"].get("DeviceRequests") or []]

    def test_all(self):
        need, can = {"hostRequirements": {"gpu": True}}, {"hostRequirements": {"gpu": "optional"}}
        sized = {"hostRequirements": {"gpu": {"cores": 1000, "memory": "8gb"}}}
        nvidia, none = ["runc", "nvidia"], ["runc"]
        no_runtime = "needs a GPU and has none: the engine has no runtime nvidia (nvidia-container-toolkit)"
        for option, runtimes, config, given, says in (
                ("auto", nvidia, need, [-1], None), ("auto", nvidia, can, [-1], None), ("auto", nvidia, sized, [-1], None),
                ("auto", nvidia, {"runArgs": ["--gpus=2"]}, [2], None),
                ("auto", nvidia, {"runArgs": ["--gpus", "device=0,1"], **can}, [["0", "1"]], None),
                ("auto", nvidia, {}, [], None), ("auto", nvidia, {"hostRequirements": {"gpu": False}}, [], None),
                ("auto", none, need, [], no_runtime), ("auto", none, sized, [], no_runtime),
                ("auto", none, can, [], "can use a GPU and has none: the engine has no runtime nvidia"),
                ("", nvidia, need, [], "needs a GPU and has none: the target's option GPUs gives them"),
                ("", nvidia, can, [], "can use a GPU and has none: the target's option GPUs"),
                ("", nvidia, {"runArgs": ["--gpus=all"]}, [], "needs a GPU and has none: the target's option GPUs"),
                ("1", none, need, [1], None), ("1", none, {}, [1], None)):
            with self.subTest(option=option, runtimes=runtimes, config=config):
                self.assertEqual(self.given(option, runtimes, config, says), given)
        # Nobody asks the engine without need.
        self.assertEqual(len(self.engine.calls("GET /info")), 8)


class Builds(EngineCase):
    BUILD = "b1c2d3e4f5a6"

    def build(self, *actions):
        if not os.path.exists(self.path("git")):
            os.mkdir(self.path("git"))
            make_repo(self.path("git"), files={
                ".devcontainer.json": json.dumps({"image": IMAGE, "onCreateCommand": ["/prog"]})})
        document = {"id": self.BUILD, "buildConfig": {}, "envVars": {}, "repository": {
            "id": "app", "url": "file://" + self.path("git", "app.git"), "name": "app", "branch": "main", "sha": ""}}
        with open(self.path("build.json"), "w", encoding="utf-8") as file:
            json.dump(document, file)
        workspace = self.workspace()
        return self.drive(workspace, *actions, DRIVE_BUILD=self.path("build.json"),
                          DOCKER_HOST="unix://" + self.engine.path).ok(self)

    def test_commands_need_no_passwd(self):
        """Root by number: an image FROM scratch knows no names."""
        self.build("build-run")
        specs = [r.json() for r in self.engine.calls("POST .*/exec$")]
        # The first asks for what the user's shell sets: one that is not there costs a warning.
        self.assertEqual([(s["Cmd"][0], s["User"]) for s in specs], [("/bin/sh", "0"), ("/prog", "0")])
        self.assertEqual(self.engine.containers, {})

    def test_delete_takes_what_a_cut_build_left(self):
        self.engine.add_container(self.BUILD, {"daytona.build.id": self.BUILD}, "running")
        other = self.engine.add_container("other", {"daytona.build.id": "another"}, "running")
        self.engine.add_image(f"daytona-build-{self.BUILD}:latest")
        self.build("build-delete")
        self.assertEqual(list(self.engine.containers), [other.id])
        self.assertNotIn(f"daytona-build-{self.BUILD}:latest", self.engine.images)


class Faults(EngineCase):
    CREATE = ["GET /_ping", "GET /containers/json", "GET /images/", "POST /containers/create"]
    START = [r"GET /containers/[0-9a-f]+/json", "PUT ", r"POST .*/start",
             r"POST .*/exec$", r"POST /exec/.*/start"]

    def every(self, points, actions, prepare, *verbs):
        for point in points:
            for action in actions:
                with self.subTest(point=point, action=action):
                    self.engine.faults.clear()
                    self.engine.containers.clear()
                    self.engine.execs.clear()
                    if prepare:
                        self.drive(self.workspace(), prepare).ok(self)
                    fault = self.engine.fault(point, action)
                    began = time.monotonic()
                    # Silence and a name that stays taken are met by a limit; on a slow machine, where the calls
                    # before it pass it, by a longer one.
                    for seconds in (1, 8, 64) if action in ("hang", 409) else (None,):
                        limits = [f"{name}={seconds}" for name in LIMITS] if seconds else []
                        result = self.drive(self.workspace(), *verbs, options=limits)
                        if fault.hits:
                            break
                    self.assertGreater(fault.hits, 0)
                    self.assertLess(time.monotonic() - began, 40 * common.PATIENCE)
                    text = result.actions[-1][1]
                    self.assertRegex(text, "^(ok|error)")
                    if text != "ok":
                        self.assertRegex(text, r"(GET|POST|PUT) /|engine")
                        if isinstance(action, int) and action != 404:
                            self.assertIn(f"injected {action}", text)
                    # Whatever happened: the next attempt works.
                    self.engine.faults.clear()
                    self.drive(self.workspace(), "create", "start").ok(self)
                    self.assertEqual(len(self.engine.containers), 1)

    def test_create_statuses(self):
        self.every(self.CREATE, [404, 409, 500], None, "create")

    def test_create_broken(self):
        cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
        self.every(self.CREATE, ["close", cut, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html"], None, "create")

    def test_create_hangs(self):
        self.every(self.CREATE, ["hang"], None, "create")

    def test_start_statuses(self):
        self.every(self.START, [404, 409, 500], "create", "start")

    def test_start_broken(self):
        self.every(self.START, ["close", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], "create", "start")

    def test_start_hangs(self):
        self.every(self.START, ["hang"], "create", "start")

    def test_stop_signal_ends_a_wait(self):
        self.engine.fault("POST /containers/create", "hang")
        process = self.drive_background(self.workspace(), "create", options=["call_timeout=3600"])
        common.wait_for(lambda: self.engine.calls("POST /containers/create"), 30 * common.PATIENCE, "the create")
        began = time.monotonic()
        process.terminate()
        result = process.finish()
        self.assertLess(time.monotonic() - began, 3000)
        self.assertRegex(result["create"], "stopped because")

    def test_descriptors_do_not_leak(self):
        """Field case 69: whatever the calls end in, no connection is left."""
        actions = ["condition"] * 200
        faults = iter([404, 500, "close", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[", None] * 200)

        def fault(conn, request):
            action = next(faults, None)
            if action is None:
                return False
            if isinstance(action, int):
                self.engine.reply(conn, request, action, {"message": "x"})
                return True
            if isinstance(action, bytes):
                conn.sendall(action)
            conn.shutdown(2)
            return True
        self.engine.fault("GET /containers/json", fault)
        process = self.drive_background(self.workspace(), *actions)
        process.finish(120)
        self.assertLessEqual(self.engine.open, 1)
        self.assertEqual(self.engine.wait_open(0), 0)


class Registries(EngineCase):
    ENV = {"A_CONTAINER_REGISTRY_SERVER": "a.test:5000", "A_CONTAINER_REGISTRY_USERNAME": "alice",
           "A_CONTAINER_REGISTRY_PASSWORD": '~~~???"\\', "B_CONTAINER_REGISTRY_SERVER": "b.test",
           "B_CONTAINER_REGISTRY_USERNAME": "bob", "B_CONTAINER_REGISTRY_PASSWORD": "pwB"}

    def pull(self, image):
        self.engine.pullable.add(image)
        self.engine.requests.clear()
        env = dict(self.ENV, DAYTONA_WORKSPACE_ID=WORKSPACE)
        result = self.drive(self.workspace(image=image, envVars=env), "create", "delete").ok(self)
        request = self.engine.calls("POST /images/create")[0]
        self.assertNotIn("pwB", result.output)
        create = self.engine.calls("POST /containers/create")[0].body.decode()
        self.assertNotIn("CONTAINER_REGISTRY", create)
        header = request.headers.get("x-registry-auth")
        return request, json.loads(base64.urlsafe_b64decode(header)) if header else None, header

    def test_each_registry_gets_its_own(self):
        _, auth, header = self.pull("a.test:5000/app:1")
        self.assertEqual(auth, {"username": "alice", "password": '~~~???"\\'})
        self.assertNotRegex(header, r"[+/]")
        self.assertEqual(self.pull("b.test/x/y:1")[1], {"username": "bob", "password": "pwB"})
        self.assertIsNone(self.pull("c.test/x:1")[1])
        self.assertIsNone(self.pull("acme/other:1")[1])

    def test_digest(self):
        digest = "sha256:" + "ab" * 32
        request, auth, _ = self.pull("b.test/x@" + digest)
        self.assertEqual((request.query["fromImage"], request.query["tag"]), ("b.test/x", digest))
        self.assertEqual(auth["username"], "bob")


if __name__ == "__main__":
    drivecase.main()
