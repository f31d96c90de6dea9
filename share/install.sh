#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install.sh: puts the one file daytona-runner on this machine, replaces an older one while it runs,
# or takes it away. POSIX sh; needs curl or wget (or neither, with --offline). All of it is one
# compound command, so that a download cut anywhere does nothing.
{
set -eu

# A Server that hands this file out writes its own address here.
served_from='@BASE_URL@'

usage()
{
	cat <<'END'
Usage: install.sh [OPTION]...
  --base-url URL     where daytona-runner-linux-ARCH and SHA256SUMS are
  --version V        that version (below URL/V/) instead of the current one
  --offline FILE     install this executable or .tar.gz; no network is used
  --sha256 HEX       the file must have this SHA-256
  --public-key FILE  the file's signature (URL or FILE with .sig) must fit this PEM key
  --prefix DIR       install to DIR/bin (default /usr/local, or ~/.local if not root)
  --bin-dir DIR      install to DIR itself
  --links            add a symbolic link for every applet
  --start            start the runner, at boot too, without asking
  --no-restart       leave a running runner alone (one that has jobs always is)
  --force            replace a file of that name that is not ours
  --uninstall        remove executable, links and service; settings and data stay
Environment: DAYTONA_RUNNER_BASE_URL, DAYTONA_RUNNER_VERSION, DAYTONA_RUNNER_BIN_DIR.
END
}

say()
{
	printf '%s\n' "install: $*"
}

die()
{
	printf '%s\n' "install: $*" >&2
	exit 1
}

have()
{
	command -v "$1" >/dev/null 2>&1
}

cleanup()
{
	[ -z "${child:-}" ] || kill "$child" 2>/dev/null || :
	[ -z "${stage:-}" ] || rm -f "$stage" "$stage.sums" "$stage.sig" "$stage.tgz" 2>/dev/null || :
}

machine()	# prints the name of this machine's kind
{
	[ "$(uname -s)" = Linux ] || die "this is $(uname -s), the runner is for Linux"
	case $(uname -m) in
	x86_64 | amd64) echo x86_64 ;;
	aarch64 | arm64) echo aarch64 ;;
	armv7* | armv8l) echo armv7 ;;
	riscv64) echo riscv64 ;;
	*) die "no build for $(uname -m): there are x86_64, aarch64, armv7 and riscv64" ;;
	esac
}

# The command runs beside the shell, so that a signal is heard at once.
run()
{
	"$@" &
	child=$!
	status=0
	wait "$child" || status=$?
	child=
	return "$status"
}

download()	# URL, to standard output; in a process of its own, which becomes the program
{
	case $1 in
	https://*) redirects='=https' ;;
	*) redirects='=http,https' ;;
	esac
	if have curl; then
		exec curl -fsSL --proto-redir "$redirects" --connect-timeout 20 --max-time 900 "$1"
	elif have timeout; then
		exec timeout 900 wget -q -O - "$1"
	else
		exec wget -q -O - "$1"
	fi
}

fetch()	# URL FILE
{
	attempt=1
	until run download "$1" >"$2"; do
		[ "$attempt" -lt 3 ] || die "cannot download $1 to $2 (see above); check the URL and the free space"
		attempt=$((attempt + 1))
		sleep 1
	done
}

sha256_of()	# FILE
{
	if have sha256sum; then
		sha256sum <"$1"
	elif have shasum; then
		shasum -a 256 <"$1"
	elif have openssl; then
		openssl dgst -sha256 -r <"$1"
	elif have busybox; then
		busybox sha256sum <"$1"
	else
		die "no sha256sum, shasum or openssl here to check the file with"
	fi | {
		read -r hash rest || :
		printf '%s\n' "$hash"
	}
}

listed_hash()	# SUMS NAME: the hash that SUMS has for NAME
{
	while read -r hash name; do
		[ "${name#\*}" != "$2" ] || printf '%s\n' "$hash"
	done <"$1" | head -n 1
}

check_hash()	# FILE WANTED
{
	got=$(sha256_of "$1")
	[ "$got" = "$2" ] || die "wrong SHA-256, nothing was installed
  wanted $2
  got    $got"
}

check_signature()	# FILE SIGNATURE
{
	have openssl || die "openssl is needed to check a signature"
	openssl dgst -sha256 -verify "$public_key" -signature "$2" "$1" >/dev/null 2>&1 ||
		die "the signature does not fit $public_key, nothing was installed"
}

is_ours()	# FILE
{
	case $("$1" --version 2>/dev/null </dev/null || :) in
	"daytona-runner "*) return 0 ;;
	*) return 1 ;;
	esac
}

version_of()	# FILE
{
	"$1" --version 2>/dev/null </dev/null | {
		read -r name version rest || :
		printf '%s\n' "$version"
	}
}

choose_bin_dir()
{
	if [ -z "$bin_dir" ] && [ -n "$prefix" ]; then
		[ -d "$prefix" ] || die "$prefix does not exist; create it first"
		bin_dir=$prefix/bin
	elif [ -z "$bin_dir" ] && [ "$(id -u)" = 0 ]; then
		bin_dir=/usr/local/bin
	elif [ -z "$bin_dir" ]; then
		[ -n "${HOME:-}" ] || die "HOME is not set; say where to install with --bin-dir"
		bin_dir=$HOME/.local/bin
	fi
	[ "$uninstall" = 1 ] || mkdir -p "$bin_dir" 2>/dev/null || die "cannot create $bin_dir"
	[ -d "$bin_dir" ] || die "$bin_dir does not exist"
	bin_dir=$(cd "$bin_dir" 2>/dev/null && pwd) || die "cannot enter $bin_dir"
	[ "$bin_dir" != / ] || bin_dir=
	target=$bin_dir/daytona-runner
	[ ! -d "$target" ] || die "$target is a directory"
}

# What a run that was killed hard left behind.
remove_stale()
{
	for file in "$bin_dir"/.daytona-runner.new.*; do
		[ -f "$file" ] || continue
		pid=${file##*.new.}
		pid=${pid%%.*}
		case $pid in
		'' | *[!0-9]*) continue ;;
		esac
		kill -0 "$pid" 2>/dev/null || rm -f "$file" 2>/dev/null || :
	done
}

get_offline()
{
	given=$stage
	case $offline in
	*.tar.gz | *.tgz)
		have tar || die "tar is needed for $offline"
		given=$stage.tgz
		;;
	esac
	# From here on the copy counts: whoever can write to the file could exchange it behind the check.
	cat <"$offline" >"$given" || die "cannot copy $offline into $bin_dir"
	folder=.
	case $offline in
	*/*) folder=${offline%/*} ;;
	esac
	wanted=$sha256
	if [ -z "$wanted" ] && [ -f "$folder/SHA256SUMS" ]; then
		wanted=$(listed_hash "$folder/SHA256SUMS" "${offline##*/}")
	fi
	if [ -z "$wanted" ]; then
		say "no --sha256 and no SHA256SUMS beside $offline: taken as it is"
	else
		check_hash "$given" "$wanted"
	fi
	[ -z "$public_key" ] || check_signature "$given" "$offline.sig"
	if [ "$given" != "$stage" ]; then
		member=$(tar -tzf "$given" 2>/dev/null | grep -E '(^|/)daytona-runner$' | head -n 1) || :
		[ -n "$member" ] || die "$offline holds no daytona-runner"
		tar -xzOf "$given" "$member" >"$stage" || die "cannot unpack $offline into $bin_dir"
		rm -f "$given"
	fi
}

get_online()
{
	have curl || have wget || die "neither curl nor wget here: copy the file by hand and use --offline FILE"
	name=daytona-runner-linux-$(machine)
	url=${base_url%/}
	[ -z "$version" ] || url=$url/$version
	say "downloading $url/$name"
	wanted=$sha256
	if [ -z "$wanted" ]; then
		fetch "$url/SHA256SUMS" "$stage.sums"
		wanted=$(listed_hash "$stage.sums" "$name")
		[ -n "$wanted" ] || die "$url/SHA256SUMS has no line for $name"
	fi
	if [ -z "$public_key" ] && is_there "$wanted"; then
		return 0
	fi
	fetch "$url/$name" "$stage"
	check_hash "$stage" "$wanted"
	if [ -n "$public_key" ]; then
		fetch "$url/$name.sig" "$stage.sig"
		check_signature "$stage" "$stage.sig"
	fi
}

is_there()	# HASH: the file is in its place already
{
	[ -f "$target" ] && [ ! -h "$target" ] && [ -x "$target" ] && [ "$(sha256_of "$target")" = "$1" ] && same=1
}

put_in_place()
{
	chmod 0755 "$stage"
	sync "$stage" 2>/dev/null || sync
	# A helper of the download (busybox timeout has one) may hold the file open for a moment more: text file busy.
	is_ours "$stage" || { sleep 1 && is_ours "$stage"; } || die "the new file does not run on this machine as daytona-runner ($bin_dir may forbid it: noexec), nothing was changed"
	new=$(version_of "$stage")
	if [ -e "$target" ] || [ -h "$target" ]; then
		[ "$force" = 1 ] || is_ours "$target" ||
			die "$target is there and is not daytona-runner; --force replaces it"
		rm -f "$target.old"
		if [ ! -h "$target" ]; then
			ln "$target" "$target.old" 2>/dev/null || cp -p "$target" "$target.old" ||
				die "cannot keep a copy of the old file, nothing was changed"
		fi
	fi
	mv -f "$stage" "$target" || die "cannot write $target"
	[ "$(version_of "$target")" = "$new" ] || die "$target does not run after all"
	say "$target is version $new"
}

services()	# the files by which an init system starts the runner, one a line
{
	if [ "$(id -u)" = 0 ]; then
		set -- /etc/systemd/system/daytona-runner.service /etc/init.d/daytona-runner
	else
		set -- "${XDG_CONFIG_HOME:-${HOME:-}/.config}/systemd/user/daytona-runner.service"
	fi
	for file in "$@"; do
		! grep -q '^# Service of daytona-runner' "$file" 2>/dev/null || printf '%s\n' "$file"
	done
}

service_dir()	# FILE Configuration|State: that directory of the runner that the file starts
{
	while read -r mark word dir; do
		[ "$mark $word" != "# $2:" ] || printf '%s\n' "$dir"
	done <"$1" | head -n 1
}

read_status()	# [OPTION...]: what the runner says, in $status, and its process in $pid
{
	status=$("$target" status --format json "$@" 2>/dev/null </dev/null) || :
	status=$(printf '%s' "$status" | tr -d ' \n\t')
	pid=${status#*'"pid":'}
	pid=${pid%%[!0-9]*}
	case $status in
	*'"running":true'*) return 0 ;;
	*) return 1 ;;
	esac
}

# A runner goes on with the old program until it is restarted; one with jobs is not disturbed.
look_after()	# [OPTION...]
{
	read_status "$@" || return 0
	[ -z "$pid" ] || [ "$pid" != "$seen" ] || return 0
	seen=$pid
	case $status in
	*'"running_jobs":0'[!0-9]*) ;;
	*)
		say "the runner is busy and goes on with the old version; later: daytona-runner restart"
		return 0
		;;
	esac
	if [ "$restart" = 0 ]; then
		say "the runner still runs the old version; use it with: daytona-runner restart"
	elif "$target" restart "$@" </dev/null; then
		say "the runner was restarted"
		read_status "$@" || :
		seen=$pid
	else
		say "the restart failed, the old file is $target.old"
		return 1
	fi
}

look_after_running()
{
	seen=''
	file=$(services | head -n 1)
	[ -z "$file" ] || look_after --config-dir "$(service_dir "$file" Configuration)" \
		--state-dir "$(service_dir "$file" State)" || return 1
	look_after
}

hints()
{
	case :${PATH:-}: in
	*:"$bin_dir":*) ;;
	*) say "$bin_dir is not in PATH; add: export PATH=\"$bin_dir:\$PATH\"" ;;
	esac
	if [ -n "$(services)" ]; then
		say "start at boot is set up: $(services | head -n 1)"
	elif [ -d /run/systemd/system ]; then
		say "start at boot (systemd) is not set up; do it with: daytona-runner service install"
	elif have rc-update; then
		say "start at boot (OpenRC) is not set up; do it with: daytona-runner service install"
	else
		say "start at boot is not set up: no systemd or OpenRC here; daytona-runner start needs neither"
	fi
	uninstall_line
	is_configured || [ -n "$(services)" ] || say "next: daytona-runner configure, then daytona-runner start"
}

install_it()
{
	[ -w "$bin_dir/" ] || die "cannot write to $bin_dir; choose another with --bin-dir"
	if [ -n "$offline" ]; then
		[ -f "$offline" ] && [ -r "$offline" ] || die "cannot read $offline"
	else
		[ -n "$base_url" ] || die "say where from: --base-url URL or --offline FILE"
		case $base_url in
		http://?* | https://?*) ;;
		*) die "$base_url is no http or https URL" ;;
		esac
	fi
	[ -z "$public_key" ] || [ -r "$public_key" ] || die "cannot read $public_key"
	remove_stale
	umask 022
	stage=$bin_dir/.daytona-runner.new.$$
	trap cleanup EXIT
	trap 'exit 130' HUP INT TERM
	(set -C && : >"$stage") 2>/dev/null || die "cannot write to $bin_dir; choose another with --bin-dir"
	if [ -n "$offline" ]; then
		get_offline
	else
		get_online
	fi
	[ "$same" = 1 ] || ! is_there "$(sha256_of "$stage")" || :
	if [ "$same" = 1 ]; then
		rm -f "$stage"
		say "$target is version $(version_of "$target") already, nothing is changed"
	else
		put_in_place
	fi
	[ "$links" = 0 ] || "$target" --install -s "$bin_dir" >/dev/null || die "cannot make the links in $bin_dir"
	hints
	[ "$same" = 1 ] || look_after_running || return 1
	offer_start
}

# What this run was, to take it back with.
uninstall_line()
{
	line=''
	if [ -f "$0" ]; then
		line="sh '$0' --uninstall"
	else
		case $served_from in
		*/download) line="curl -fsS ${served_from%/download}/install.sh | sh -s -- --uninstall" ;;
		http*) line="curl -fsS $served_from/install.sh | sh -s -- --uninstall" ;;
		esac
	fi
	[ -z "$line" ] || say "remove it with: $line --bin-dir '$bin_dir'"
}

offer_start()
{
	[ -z "$(services)" ] || return 0
	question='start the runner now' command=start
	if [ -d /run/systemd/system ] || have rc-update; then
		question="$question and at boot" command='service install --start'
	fi
	if [ "$start" = 0 ]; then
		is_configured && [ -t 1 ] && (: </dev/tty) 2>/dev/null || return 0
		! read_status || return 0
		printf '%s' "install: $question? [y/N] "
		read -r answer </dev/tty || return 0
		case $answer in
		[yY]*) ;;
		*) return 0 ;;
		esac
	fi
	"$target" $command </dev/null
}

is_configured()
{
	case $("$target" config --format json 2>/dev/null </dev/null || :) in
	*'"fileExists": true'*) return 0 ;;
	*) return 1 ;;
	esac
}

stop_running()	# [OPTION...]
{
	! read_status "$@" || "$target" stop "$@" </dev/null ||
		die "the runner still runs; stop it first: daytona-runner stop"
}

# The program is gone already: what it wrote for the init system is not.
remove_services()
{
	services | while read -r file; do
		user=
		case $file in
		/etc/*) ;;
		*) user=--user ;;
		esac
		! have systemctl || systemctl $user disable --now daytona-runner.service >/dev/null 2>&1 || :
		rm -f "$file" || die "cannot remove $file"
		! have update-rc.d || update-rc.d -f daytona-runner remove >/dev/null 2>&1 || :
		! have rc-update || rc-update del daytona-runner default >/dev/null 2>&1 || :
		rm -f "${file%/*}"/*.target.wants/daytona-runner.service
		say "removed $file"
	done
}

uninstall_it()
{
	if [ ! -e "$target" ] && [ ! -h "$target" ]; then
		remove_services
		say "$target is not there, nothing more to do"
		return 0
	fi
	[ "$force" = 1 ] || is_ours "$target" || die "$target is not daytona-runner, left alone"
	services | while read -r file; do
		stop_running --config-dir "$(service_dir "$file" Configuration)" \
			--state-dir "$(service_dir "$file" State)"
	done || exit 1
	[ -z "$(services)" ] || "$target" service uninstall </dev/null || die "cannot remove the service"
	stop_running
	for file in "$bin_dir"/*; do
		[ -h "$file" ] || continue
		to=$(readlink "$file") || continue
		if [ "$to" = daytona-runner ] || [ "$to" = "$target" ]; then
			rm -f "$file" || die "cannot remove $file"
		fi
	done
	rm -f "$target" "$target.old" || die "cannot remove $target"
	remove_stale
	say "removed $target; settings and data are left as they are"
}

main()
{
	base_url=${DAYTONA_RUNNER_BASE_URL:-} version=${DAYTONA_RUNNER_VERSION:-}
	bin_dir=${DAYTONA_RUNNER_BIN_DIR:-} prefix='' offline='' sha256='' public_key=''
	links=0 restart=1 force=0 uninstall=0 start=0 same=0
	while [ $# -gt 0 ]; do
		case $1 in
		--base-url | --version | --offline | --sha256 | --public-key | --prefix | --bin-dir)
			[ $# -ge 2 ] || die "$1 needs a value"
			option=$1
			value=$2
			shift
			;;
		--*=*)
			option=${1%%=*}
			value=${1#*=}
			;;
		*)
			option=$1
			value=
			;;
		esac
		case $option in
		--base-url) base_url=$value ;;
		--version) version=$value ;;
		--offline) offline=$value ;;
		--sha256) sha256=$(printf '%s' "$value" | tr 'A-F' 'a-f') ;;
		--public-key) public_key=$value ;;
		--prefix) prefix=$value bin_dir='' ;;
		--bin-dir) bin_dir=$value ;;
		--links) links=1 ;;
		--no-restart) restart=0 ;;
		--start) start=1 ;;
		--force) force=1 ;;
		--uninstall) uninstall=1 ;;
		-h | --help)
			usage
			exit 0
			;;
		*)
			printf '%s\n' "install: unknown option $1" >&2
			usage >&2
			exit 2
			;;
		esac
		case $option$value in
		--base-url | --offline | --sha256 | --public-key | --prefix | --bin-dir) die "$option needs a value" ;;
		esac
		shift
	done
	if [ -z "$base_url" ]; then
		case $served_from in
		@*) ;;
		*) base_url=$served_from ;;
		esac
	fi
	choose_bin_dir
	if [ "$uninstall" = 1 ]; then
		uninstall_it
	else
		install_it
	fi
}

main "$@"
exit
# The file ends with this brace and without a line end, so that no byte of it can be missing.
}