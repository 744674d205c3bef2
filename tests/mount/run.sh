#!/bin/bash
# Runs the native tests: run.sh [BUILD FOLDER [TEST…]]. One line a test; the logs of a failed one stay where it says.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build/release}
shift
limit=${LIMIT:-180}
passed=0 failed=0 skipped=0
mkdir -p "$build/mount"
tests=("$@")
if [ ${#tests[@]} -eq 0 ]; then
    for file in tests/mount/*.sh; do
        case $(basename "$file" .sh) in kit | run) ;; *) tests+=("$(basename "$file" .sh)") ;; esac
    done
fi
for test in "${tests[@]}"; do
    log=$build/mount/$test.log
    started=${EPOCHREALTIME/./}
    BUILD=$build timeout -k 10 "$limit" "tests/mount/$test.sh" >"$log" 2>&1
    status=$?
    seconds=$(((${EPOCHREALTIME/./} - started) / 100000))
    seconds=$((seconds / 10)).$((seconds % 10))
    case $status in
        0)
            passed=$((passed + 1))
            echo "ok    $test ($seconds s)"
            rm -rf "${build:?}/mount/$test" "$log"
            ;;
        77)
            skipped=$((skipped + 1))
            echo "skip  $test: $(grep -m 1 '^skip: ' "$log" | cut -c 7-)"
            ;;
        *)
            failed=$((failed + 1))
            [ $status -ne 124 ] || echo "FAIL: took more than $limit s" >>"$log"
            echo "FAIL  $test ($seconds s): $(grep -m 1 '^FAIL: ' "$log" | cut -c 7-)"
            echo "      logs: $log and $build/mount/$test/logs/"
            ;;
    esac
done
echo "mount: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
