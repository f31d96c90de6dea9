# SPDX-License-Identifier: Apache-2.0
function __daytona_runner_options
	set -l tokens (commandline -opc)
	set -l words $tokens[2]
	contains -- $tokens[2] workspace ws target job key env; and test (count $tokens) -gt 2; and set -a words $tokens[3]
	daytona-runner $words --print-options 2>/dev/null | while read -d \t -l letter name arg help
		test -n "$name"; and printf '%s\t%s\n' --$name $help
		test -n "$letter"; and printf '%s\t%s\n' -$letter $help
	end
end
function __daytona_runner_nouns
	set -l tokens (commandline -opc)
	switch (count $tokens)
		case 2
			daytona-runner $tokens[2] --print-verbs 2>/dev/null
		case '*'
			daytona-runner $tokens[2] --print-names 2>/dev/null
	end
end
complete -c daytona-runner -n '__fish_seen_subcommand_from workspace ws target job key env' -f -a '(__daytona_runner_nouns)'
complete -c daytona-runner -n '__fish_seen_subcommand_from exec shell forward tunnel cp ssh' -a '(daytona-runner workspace --print-names 2>/dev/null)'
complete -c daytona-runner -n __fish_use_subcommand -f -a '(daytona-runner --list 2>/dev/null)'
complete -c daytona-runner -n '__fish_seen_subcommand_from help' -f -a '(daytona-runner --list 2>/dev/null)'
complete -c daytona-runner -n '__fish_seen_subcommand_from provider' -f -a 'list check enable disable docker-provider native-provider'
complete -c daytona-runner -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'
complete -c daytona-runner -l log-level -x -a 'error warn info debug'
complete -c daytona-runner -l format -x -a 'json yaml'
complete -c daytona-runner -n '__fish_seen_subcommand_from image' -f -a 'list pull load save remove prune'
complete -c daytona-runner -n '__fish_seen_subcommand_from service' -f -a 'install uninstall print'
complete -c daytona-runner -n 'not __fish_use_subcommand' -a '(__daytona_runner_options)'
