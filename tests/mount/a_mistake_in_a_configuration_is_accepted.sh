#!/bin/bash
# A10: each kind of mistake in each daemon's configuration is named with file and line; the daemon does not start with it.
. "$(dirname "$0")/kit.sh"
cases=0
# mistake FILE LINE PART, the file's text on stdin
mistake() {
    cases=$((cases + 1))
    cat >"$work/etc/$1"
    expect 1 "$1:$2" drivebay check-config "$work/etc/$1"
    grep -qF -e "$3" "$work/said" || fail "\"$3\" is missing in: $(cat "$work/said")"
    expect 2 "$1:$2" "$(program_of "$1")" --config "$work/etc/$1" --foreground
}
program_of() {
    case $1 in arbiter*) echo drivebay-arbiterd ;; fusefs*) echo drivebayfs ;; gadgetd*) echo drivebay-gadgetd ;; esac
}
for file in arbiter fusefs gadgetd; do
    expect 0 "accepts" drivebay check-config "$top/etc/$file.cfg"
    : >"$work/etc/$file-empty.cfg"
    expect 0 "accepts" drivebay check-config "$work/etc/$file-empty.cfg"
    expect 0 "accepts" drivebay check-config --for $file "$work/etc/$file-empty.cfg"
    "$(program_of $file)" --dump-config >"$work/etc/$file-dump.cfg" 2>"$work/said" || fail "$file: --dump-config: $(cat "$work/said")"
    expect 0 "accepts" drivebay check-config "$work/etc/$file-dump.cfg"
    expect 1 "is-not-there.cfg" drivebay check-config --for $file "$work/etc/is-not-there.cfg"
    expect 1 "" drivebay check-config --for $file "$work/etc"
done
expect 2 "--for" drivebay check-config "$work/etc/other.cfg"

mistake arbiter-unknown.cfg 2 'listen' <<<$'socket = "/run/drivebay/arbiter.sock";\nlistne = [ "127.0.0.1:4740" ];'
mistake arbiter-type.cfg 1 'socket' <<<'socket = 7;'
mistake arbiter-nested.cfg 3 'lease.ttl_ms' <<<$'lease:\n{\n  ttl_ms = "long";\n};'
mistake arbiter-range.cfg 1 'lease.ttl_ms' <<<'lease: { ttl_ms = -5; };'
mistake arbiter-address.cfg 1 'listen' <<<'listen = [ "127.0.0.1:99999" ];'
mistake arbiter-syntax.cfg 2 '' <<<$'socket = "/x";\nlisten = [ "127.0.0.1:4740" ;'
mistake fusefs-role.cfg 2 'management' <<<$'# a comment\nrole = "managment";'
mistake fusefs-unknown.cfg 1 'nbd.lisen' <<<'nbd: { lisen = [ "127.0.0.1:10809" ]; };'
mistake fusefs-type.cfg 2 'pause_limit_ms' <<<$'role = "blade";\npause_limit_ms = true;'
mistake fusefs-range.cfg 1 'pause_limit_ms' <<<'pause_limit_ms = -1;'
mistake fusefs-syntax.cfg 1 '' <<<'role = ;'
mistake gadgetd-slots.cfg 1 'slots' <<<'slots = [ "disk", "floppy" ];'
mistake gadgetd-unknown.cfg 1 'blade' <<<'bladee = "blade01";'
mistake gadgetd-name.cfg 1 'blade' <<<'blade = "a/b";'
mistake gadgetd-type.cfg 1 'slots' <<<'slots = "disk";'
mistake gadgetd-syntax.cfg 1 '' <<<'}'
echo "$cases mistakes"
