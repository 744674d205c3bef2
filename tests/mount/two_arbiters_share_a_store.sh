#!/bin/bash
# A second arbiter on a store, on a socket or on an address in use is refused with a sentence, and the first goes on.
. "$(dirname "$0")/kit.sh"
start_arbiter
expect 0 "" drivebay blade add blade01
before=$(sha256sum "$work/arbiter/arbiter.db" "$work/arbiter/arbiter.db-wal")

# second NAME SOCKET ADDRESS STATE_DIR: its configuration
second() {
    cat >"$work/etc/$1.cfg" <<CONFIG
socket = "$2";
listen = [ "$3" ];
security = "none";
state_dir = "$4";
audit_log = "$work/$1-audit.log";
CONFIG
}
second store /run/drivebay/second.sock 127.0.0.1:4741 "$work/arbiter"
second socket /run/drivebay/arbiter.sock 127.0.0.1:4741 "$work/second"
second address /run/drivebay/second.sock 127.0.0.1:4740 "$work/third"
expect 1 "$work/arbiter/arbiter.db is in use by another process" drivebay-arbiterd --foreground --config "$work/etc/store.cfg"
expect 1 "another program answers on /run/drivebay/arbiter.sock already" drivebay-arbiterd --foreground --config "$work/etc/socket.cfg"
expect 1 "cannot listen on 127.0.0.1:4740" drivebay-arbiterd --foreground --config "$work/etc/address.cfg"
# Into the background it is refused just so
expect 1 "is in use by another process" drivebay-arbiterd --config "$work/etc/store.cfg"
[ ! -e /run/drivebay/second.sock ] || fail "a refused arbiter left its socket"

expect 0 "blade01" drivebay blade list
expect 0 "blade01" drivebay --server 127.0.0.1:4740 blade list
[ "$(sha256sum "$work/arbiter/arbiter.db" "$work/arbiter/arbiter.db-wal")" = "$before" ] || fail "the store was changed"
expect 0 "" drivebay blade add blade02
# What a killed one leaves is no hindrance
end_now arbiter
start_arbiter
expect 0 "blade02" drivebay blade list
