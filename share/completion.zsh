# SPDX-License-Identifier: Apache-2.0
_daytona_runner()
{
	local -a found
	found=("${(@f)$(_daytona_runner_words "${(@)words[2,CURRENT]}" 2>/dev/null </dev/null)}")
	found=("${(@)found%%$'\t'*}")
	if [[ -n $found[1] ]]; then
		compadd -a found
	else
		_files
	fi
}
if [[ $zsh_eval_context[-1] == (loadautofunc|shfunc) ]]; then
	_daytona_runner "$@"
else
	compdef _daytona_runner daytona-runner
fi
