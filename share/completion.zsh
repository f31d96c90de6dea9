#compdef daytona-runner
# SPDX-License-Identifier: Apache-2.0
_daytona_runner()
{
	local -a found
	if (( CURRENT == 2 )) || [[ $words[2] == help ]]; then
		found=(${(f)"$(daytona-runner --list 2>/dev/null)"})
	elif [[ $words[CURRENT-1] == --log-level ]]; then
		found=(error warn info debug)
	elif [[ $words[CURRENT-1] == --format ]]; then
		found=(json yaml)
	elif [[ $words[2] == (workspace|ws|target|job|key|env) ]] && (( CURRENT == 3 )); then
		found=(${(f)"$(daytona-runner $words[2] --print-verbs 2>/dev/null)"})
	elif [[ $words[2] == (workspace|ws|target|job|key|env) && $PREFIX != -* ]]; then
		found=(${(f)"$(daytona-runner $words[2] --print-names 2>/dev/null)"})
	elif [[ $words[2] == (workspace|ws|target|job|key|env) ]]; then
		found=(${(f)"$(daytona-runner $words[2] $words[3] --print-options 2>/dev/null |
			awk -F '\t' '$1 { print "-" $1 } $2 { print "--" $2 }')"})
	else
		found=(${(f)"$(daytona-runner $words[2] --print-options 2>/dev/null |
			awk -F '\t' '$1 { print "-" $1 } $2 { print "--" $2 }')"})
		case $words[2] in
		completion) found+=(bash zsh fish) ;;
		provider) found+=(list check enable disable docker-provider native-provider) ;;
		image) found+=(list pull load save remove prune) ;;
		service) found+=(install uninstall print) ;;
		exec | shell | forward | tunnel | cp | ssh)
			[[ $PREFIX == -* ]] || found=(${(f)"$(daytona-runner workspace --print-names 2>/dev/null)"})
			;;
		esac
		[[ $PREFIX == -* ]] || _files
	fi
	compadd -a found
}
if [[ $zsh_eval_context[-1] == (loadautofunc|shfunc) ]]; then
	_daytona_runner "$@"
else
	compdef _daytona_runner daytona-runner
fi
