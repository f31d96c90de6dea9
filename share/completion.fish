# SPDX-License-Identifier: Apache-2.0
function __daytona_runner_words
	set -l typed (commandline -opc) (commandline -ct)
	set -l found (begin; daytona-runner completion sh; echo '_daytona_runner_words "$@" </dev/null'; end |
		sh -s -- $typed[2..] 2>/dev/null)
	if set -q found[1]
		printf '%s\n' $found
	else
		__fish_complete_path (commandline -ct)
	end
end
complete -c daytona-runner -f -a '(__daytona_runner_words)'
