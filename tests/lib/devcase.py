# SPDX-License-Identifier: Apache-2.0
"""Dev containers on the machine's real engine, driven without a runner: repositories, documents, a stand-in for the CLI."""
import json
import os
import shutil

import common
import dockercase
import drivecase
from dockercase import docker
from gitserver import make_repo

TARGET = "0a1b2c3d4e5f"

# Stands in for the CLI: makes a container with the labels it was given, as the real one does.
CLI = r"""
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
static char answer[65536];
static void send_(const char *method, const char *path, const char *body)
{
	static char out[65536];
	struct sockaddr_un a = { AF_UNIX, "/var/run/docker.sock" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	size_t n = 0;
	ssize_t k;
	connect(s, (struct sockaddr *)&a, sizeof(a));
	snprintf(out, sizeof(out), "%s %s HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\n"
	         "Content-Length: %zu\r\n\r\n%s", method, path, strlen(body), body);
	write(s, out, strlen(out));
	while ((k = read(s, answer + n, sizeof(answer) - 1 - n)) > 0)
		n += (size_t)k;
	answer[n] = 0;
	close(s);
}
#define call(path, body) send_("POST", path, body)
/* The health check of the container that this runs in. */
static void say_health(void)
{
	char host[80], path[120], *at, *end;
	gethostname(host, sizeof(host));
	snprintf(path, sizeof(path), "/containers/%s/json", host);
	send_("GET", path, "");
	at = strstr(answer, "\"Healthcheck\":");
	end = at ? strchr(at, '}') : 0;
	if (end)
		fprintf(stderr, "the CLI has %.*s\n", (int)(end + 1 - (at + 14)), at + 14);
}
int main(int argc, char **argv)
{
	char body[8192] = "{\"Image\":\"IMAGE\",\"Entrypoint\":[\"sleep\",\"1000\"],\"HostConfig\":{\"NetworkMode\":"
	                  "\"host\"},\"Labels\":{", id[65], path[200];
	int first = 1;
	char *at;
	fprintf(stderr, "the CLI was asked to %s\n", argv[1]);
	say_health();
	for (int i = 2; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--id-label")) {
			char *eq = strchr(argv[i + 1], '=');
			size_t n = strlen(body);
			*eq = 0;
			snprintf(body + n, sizeof(body) - n, "%s\"%s\":\"%s\"", first ? "" : ",", argv[i + 1], eq + 1);
			first = 0;
		} else if (!strcmp(argv[i], "--override-config") && access(argv[i + 1], R_OK)) {
			return 3;
		}
	strcat(body, "}}");
	call("/containers/create?name=NAME", body);
	if (!(at = strstr(answer, "\"Id\":\"")))
		call("/containers/NAME/start", ""), strcpy(id, "NAME");
	else
		memcpy(id, at + 6, 64), id[64] = 0;
	snprintf(path, sizeof(path), "/containers/%s/start", id);
	call(path, "");
	printf("noise {\n{\"outcome\":\"success\",\"containerId\":\"%s\",\"remoteUser\":\"dev\"}\n", id);
	return 0;
}
"""


class DevCase(drivecase.DriveCase):
    provider = "docker-provider"
    number = 0

    def setUp(self):
        super().setUp()
        self.tag = f"dr-test/shell-{os.getpid()}:1"
        dockercase.shell_image(self.tag)
        self.addCleanup(docker, "rmi", "-f", self.tag, check=False)
        DevCase.number += 1
        self.id = f"feed{os.getpid():06d}{DevCase.number:02d}"[:12]
        self.addCleanup(self.drop)
        os.mkdir(self.path("git"))

    def drop(self):
        for label in ("daytona.workspace.id", "daytona.build.id", "daytona.runner.helper"):
            for container in docker("ps", "-aq", "--filter", f"label={label}={self.id}").split():
                docker("rm", "-f", "-v", container, check=False)
        docker("rmi", "-f", f"daytona-workspace-{self.id}", check=False)
        for volume in docker("volume", "ls", "-q", "--filter", f"name=daytona-{len(self.id)}-{self.id}.").split():
            docker("volume", "rm", "-f", volume, check=False)

    def repository(self, files):
        repo, _ = make_repo(self.path("git"))
        work = self.path("git", "work")
        common.run(["git", "clone", "-q", repo, work], check=True)
        for name, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(work, name)), exist_ok=True)
            if text.startswith("-> "):
                os.symlink(text[3:], os.path.join(work, name))
                continue
            with open(os.path.join(work, name), "w", encoding="utf-8") as file:
                file.write(text)
        git = ["git", "-C", work, "-c", "user.name=t", "-c", "user.email=t@localhost"]
        common.run([*git, "add", "-A", "."], check=True)
        common.run([*git, "commit", "-q", "-m", "more"], check=True)
        common.run([*git, "push", "-q", "origin", "HEAD"], check=True)
        return f"file://{repo}"

    def workspace(self, url, image=None, env=None, options='{"Network":"host"}', **changes):
        document = {
            "id": self.id, "name": "app", "image": image or self.tag, "user": "dev", "targetId": TARGET, "labels": None,
            "buildConfig": {},
            "repository": {"id": "app", "url": url, "name": "app", "branch": "main", "sha": "", "owner": "a", "source": "b"},
            "envVars": {"DAYTONA_WORKSPACE_ID": self.id, "DAYTONA_SERVER_API_URL": "http://127.0.0.1:9", "FOO": "bar",
                        **(env or {})},
            "apiKey": "a-secret-workspace-key", "metadata": None, "lastJobId": None, "lastJob": None,
            "state": {"name": "creating", "error": None, "updatedAt": "2026-01-01T00:00:00Z"},
            "target": {"id": TARGET, "name": "local", "targetConfigId": "c", "envVars": {}, "default": True,
                       "targetConfig": {"id": "c", "name": "local", "options": options, "deleted": False,
                                        "providerInfo": {"name": "docker-provider", "agentlessTarget": True}}}}
        document.update(changes)
        path = self.path("workspace.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return path

    def container(self, label="daytona.workspace.id"):
        found = docker("ps", "-aq", "--filter", f"label={label}={self.id}").split()
        self.assertEqual(len(found), 1)
        return found[0]

    def inside(self, *args):
        return docker("exec", self.container(), *args)

    def build_document(self, url):
        path = self.path("build.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"id": self.id, "image": None, "user": None, "containerConfig": {"image": "x", "user": "dev"},
                       "buildConfig": {}, "repository": {
                           "id": "app", "url": url, "name": "app", "branch": "main", "owner": "a", "source": "b",
                           "sha": "0123456789abcdef0123456789abcdef01234567"},
                       "envVars": {"FOO": "bar"}, "lastJobId": None, "lastJob": None, "prebuildId": None,
                       "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
                       "state": {"name": "running", "error": None, "updatedAt": "2026-01-01T00:00:00Z"}}, file)
        return path

    def cli_image(self, changes=()):
        """A builder image with it."""
        if not shutil.which("gcc"):
            self.skipTest("no gcc for a stand-in of the CLI")
        source = CLI.replace("IMAGE", self.tag).replace("NAME", f"dr-cli-{self.id}")
        with open(self.path("cli.c"), "w", encoding="utf-8") as file:
            file.write(source)
        common.run(["gcc", "-static", "-w", "-o", self.path("devcontainer"), self.path("cli.c")], check=True)
        builder = f"dr-test/builder-{os.getpid()}:1"
        dockercase.shell_image(builder, [("bin/devcontainer", self.path("devcontainer"))], changes)
        self.addCleanup(docker, "rmi", "-f", builder, check=False)
        return builder
