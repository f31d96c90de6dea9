# SPDX-License-Identifier: Apache-2.0
_daytona_runner()
{
	local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} applet=${COMP_WORDS[1]} words
	if [ "$COMP_CWORD" -eq 1 ]; then
		words=$(daytona-runner --list 2>/dev/null)
	elif [ "$applet" = help ]; then
		words=$(daytona-runner --list 2>/dev/null)
	elif [ "$before" = --log-level ]; then
		words="error warn info debug"
	elif [ "$before" = --format ]; then
		words="json yaml"
	elif [[ " workspace ws target job key env " == *" $applet "* ]] && [ "$COMP_CWORD" -eq 2 ]; then
		words=$(daytona-runner "$applet" --print-verbs 2>/dev/null)
	elif [[ " workspace ws target job key env " == *" $applet "* ]]; then
		words=$(daytona-runner "$applet" "${COMP_WORDS[2]}" --print-options 2>/dev/null |
			awk -F '\t' '$1 { print "-" $1 } $2 { print "--" $2 }')
		[[ $cur == -* ]] || words=$(daytona-runner "$applet" --print-names 2>/dev/null)
	else
		words=$(daytona-runner "$applet" --print-options 2>/dev/null |
			awk -F '\t' '$1 { print "-" $1 } $2 { print "--" $2 }')
		case $applet in
		completion) words="$words bash zsh fish" ;;
		provider) words="$words list check enable disable docker-provider native-provider" ;;
		image) words="$words list pull load save remove prune" ;;
		service) words="$words install uninstall print" ;;
		exec | shell | forward | tunnel | cp | ssh)
			[[ $cur == -* ]] || words=$(daytona-runner workspace --print-names 2>/dev/null)
			;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o default -F _daytona_runner daytona-runner
