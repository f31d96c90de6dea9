#compdef daytona-runner
# SPDX-License-Identifier: Apache-2.0
# For every shell: what may stand for the last of the words behind the program's name, one a line; options with their help behind
# a tab. Nothing: a file. Names come from the Server, so no shell may expand what is printed.
_daytona_runner_words()
{
	local cur= before= noun= word
	for word in "$@"; do
		before=$cur cur=$word
	done
	case $1 in
	workspace | ws | target | job | key | env) noun=$1 ;;
	esac
	case $#:$1 in
	[01]:* | 2:help)
		daytona-runner --list
		return
		;;
	esac
	case $before in
	--format) printf '%s\n' json yaml ;;
	--log-level) printf '%s\n' error warn info debug ;;
	--log-format) printf '%s\n' text json ;;
	--log-target) printf '%s\n' stderr journal syslog ;;
	--color) printf '%s\n' always never auto ;;
	--type) printf '%s\n' systemd openrc sysv ;;
	--provider | --providers | --target-config) printf '%s\n' native-provider docker-provider exec-provider ;;
	--target) daytona-runner target --print-names ;;
	--workspace) daytona-runner workspace --print-names ;;
	-*)
		if daytona-runner "$1" ${noun:+"$2"} --print-options |
			awk -F '\t' -v o="$before" '$3 != "" && ("-" $1 == o || "--" $2 == o) { found = 1 } END { exit !found }'; then
			return
		fi
		_daytona_runner_operand "$cur" "$#" "$@"
		;;
	*) _daytona_runner_operand "$cur" "$#" "$@" ;;
	esac
}
_daytona_runner_operand()
{
	case $1:$2:$3:$4 in
	-*) ;;
	*:2:workspace:* | *:2:ws:* | *:2:target:* | *:2:job:* | *:2:key:* | *:2:env:*) daytona-runner "$3" --print-verbs; return ;;
	*:workspace:create | *:ws:create) ;;
	*:workspace:* | *:ws:* | *:target:* | *:job:* | *:key:* | *:env:*) daytona-runner "$3" --print-names; return ;;
	*:2:provider:*) printf '%s\n' list check enable disable; return ;;
	*:provider:*) printf '%s\n' native-provider docker-provider exec-provider; return ;;
	*:2:image:*) printf '%s\n' list pull load save remove prune; return ;;
	*:image:save | *:image:remove | *:image:rm) daytona-runner image list | awk 'NR > 1 { print $1 ":" $2 }'; return ;;
	*:2:service:*) printf '%s\n' install uninstall print; return ;;
	*:2:server:*) printf '%s\n' key backup restore restart; return ;;
	*:3:server:key) printf '%s\n' create list delete; return ;;
	*:completion:*) printf '%s\n' bash zsh fish; return ;;
	*:2:delete:* | *:2:rm:* | *:2:purge:* | *:2:logs:*) daytona-runner list | sed -n 's/^Name:  //p'; return ;;
	*:2:exec:* | *:2:shell:* | *:2:forward:* | *:2:tunnel:* | *:cp:* | *:2:ssh:*) daytona-runner workspace --print-names; return ;;
	*:exec:* | *:ssh:* | *:image:load) return ;;
	esac
	case $3 in
	workspace | ws | target | job | key | env) daytona-runner "$3" "$4" --print-options ;;
	*) daytona-runner "$3" --print-options ;;
	esac | awk -F '\t' '$1 { print "-" $1 "\t" $4 } $2 { print "--" $2 "\t" $4 }'
}
