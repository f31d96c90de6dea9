#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A program for exec-provider (docs/exec-provider.md): workspaces on another host, over ssh. The runner's own executable is
# copied there and is the workspace's agent: it clones, keeps the workspace known to the Server, and adopts its processes.
# Needs jq here, and git on the other host. In runner.ini:
#   [provider "exec-provider"]
#   program = /etc/daytona-runner/exec-provider-ssh.sh
#   host = builder@10.0.0.7
set -eu
umask 077
facts=$(cat)

get()	# FILTER: a text of the facts, "" if it is not there
{
	printf '%s' "$facts" | jq -r "$1 // \"\""
}

fail()
{
	jq -cn --arg text "$1" '{error: $text}'
	exit 1
}

host=$(get '.target.options.host // .options.host')
[ -n "$host" ] || fail 'there is no "host" in the options of the target or of the provider'
case $host in -*) fail 'the host begins with a dash' ;; esac
id=$(get .workspace.id)
case $1:$id in
workspace-*: | *:. | *:.. | *:*[!A-Za-z0-9._-]*) fail 'that is no id' ;;
esac

there()	# SCRIPT: run on the host, with its standard input; what it says is the log
{
	ssh -o BatchMode=yes -o ConnectTimeout=10 "$host" "umask 077; dir=.daytona/workspaces/$id; $1"
}

pids='pid=$(cat "$dir/pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null'

case $1 in
check)
	command -v jq >/dev/null || { echo 'jq is not installed'; exit 1; }
	there 'command -v git >/dev/null || { echo "git is not installed there"; exit 1; }' </dev/null
	;;
workspace-create)
	there 'mkdir -p "$dir" .daytona/bin && cat >.daytona/bin/runner.new && chmod 0700 .daytona/bin/runner.new &&
		mv .daytona/bin/runner.new .daytona/bin/daytona-runner' <"$(get .runner.program)"
	;;
workspace-start)
	# Secrets go through standard input into a file that only that user can read, and never into a command line.
	printf '%s' "$facts" | jq -r '
		(.workspace.env + {
			DAYTONA_AGENT_CLONE: "1",
			DAYTONA_AGENT_KEEP: "1",
			DAYTONA_WORKSPACE_REPOSITORY_URL: .workspace.repository.url,
			DAYTONA_AGENT_BRANCH: (.workspace.repository.branch // ""),
			DAYTONA_AGENT_SHA: (.workspace.repository.sha // "")
		}) | to_entries[] | select(.key | test("^[A-Za-z_][A-Za-z0-9_]*$")) | "export \(.key)=\(.value | @sh)"' |
		there "if $pids; then echo 'it runs already'; exit 0; fi
			mkdir -p \"\$dir\" && cat >\"\$dir/env\" && . \"\$dir/env\" && rm \"\$dir/env\"
			DAYTONA_AGENT_DIR=\$PWD/\$dir/$(get .workspace.repository.name | tr -cd 'A-Za-z0-9._-')
			export DAYTONA_AGENT_DIR
			setsid .daytona/bin/daytona-runner agent </dev/null >\"\$dir/log\" 2>&1 & echo \$! >\"\$dir/pid\"
			for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
				grep -q 'Daytona Agent started' \"\$dir/log\" && exit 0
				$pids || break
				sleep 1
			done
			cat \"\$dir/log\"; exit 1"
	;;
workspace-stop)
	there "if $pids; then kill \"\$pid\"; for i in 1 2 3 4 5 6 7 8 9 10; do $pids || break; sleep 1; done; $pids && kill -9 \"\$pid\"; fi
		rm -f \"\$dir/pid\"" </dev/null
	;;
workspace-delete)
	there "if $pids; then kill -9 \"\$pid\"; fi; rm -rf \"\$dir\"" </dev/null
	;;
workspace-condition)
	state=$(there "if [ ! -d \"\$dir\" ]; then echo missing; elif $pids; then echo running; else echo stopped; fi" </dev/null)
	jq -cn --arg state "$state" '{condition: $state}'
	;;
workspace-info)
	jq -cn --arg host "$host" '{info: {host: $host}}'
	;;
*)
	exit 3
	;;
esac
