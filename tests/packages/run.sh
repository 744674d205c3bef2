#!/bin/sh
# Makes the packages from the programs in BUILD, which are not compiled again, and runs their tests: run.sh BUILD [TEST…]
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1
shift
case $build in
    *release) ;;
    *)
        echo "skip packages: they are of the release build, as this machine's Debian has its packages"
        echo "packages: 0 passed, 0 failed, 1 skipped"
        exit 0
        ;;
esac
started=$(date +%s)
# The symbols are make deb's: nothing here looks at them, and packing them takes longest.
if ! DEB_BUILD_OPTIONS=noautodbgsym debian/make-packages "$build" "$build/deb" >/dev/null; then
    echo "packages: 0 passed, 1 failed, 0 skipped"
    exit 1
fi
echo "     the packages of $build, in $(($(date +%s) - started)) s"
set -- tests/chassis/run.py --build "$build" --tests tests/packages "$@"
[ $# -eq 5 ] || exec "$@"
# Beside the three machines of the one: machines of an emulated processor leave the others idle for much of their time.
report=$(mktemp -d)
beside=
trap '[ -z "$beside" ] || kill "$beside"; wait; rm -rf "$report"' EXIT
trap 'exit 130' INT TERM HUP
"$@" test_debs test_one_machine test_pages >"$report/beside" 2>&1 &
beside=$!
"$@" test_install >"$report/install" 2>&1
wait
beside=
cat "$report/beside" "$report/install" | awk '
    /^packages: / { passed += $2; failed += $4; skipped += $6; ends++; next }
    { print }
    END {
        failed += 2 - ends
        printf "packages: %d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed > 0
    }'
