#!/bin/sh
# Runs every suite, however the ones before it ended, and adds up their last lines. Arguments go to make.
set -u
cd "$(dirname "$0")/.."
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
broken=0

run() {
    suite=$1
    shift
    started=$(date +%s)
    make --no-print-directory -j"$(nproc)" "$@" "check-$suite" 2>&1 | tee "$reports/$suite"
    grep -qE "^$suite: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$" "$reports/$suite" || {
        echo "$suite: the suite did not come to its end"
        echo "$suite: 0 passed, 1 failed, 0 skipped" >>"$reports/$suite"
    }
    echo "-- $suite took $(($(date +%s) - started)) s"
}

make --no-print-directory -j"$(nproc)" "$@" all || broken=1
# The simulator knows no clock: it has what the unit tests leave of the processors.
run sim "$@" >"$reports/sim.said" &
run unit "$@"
wait
cat "$reports/sim.said"
run mount "$@"
run kill "$@"
run partitions "$@"
run chassis "$@"
run packages "$@"

rm "$reports/sim.said"
cat "$reports"/* | awk -v broken=$broken '
    /^[a-z]+: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { passed += $2; failed += $4; skipped += $6 }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed + broken, skipped; exit failed + broken > 0 }'
