# SPDX-License-Identifier: Apache-2.0
_daytona_runner()
{
	local cur=${COMP_WORDS[COMP_CWORD]} word
	COMPREPLY=()
	while IFS=$'\t' read -r word _; do
		[[ -z $word || $word != "$cur"* ]] || COMPREPLY+=("$(printf %q "$word")")
	done < <(_daytona_runner_words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null </dev/null)
}
complete -o default -F _daytona_runner daytona-runner
