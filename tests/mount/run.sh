#!/bin/bash
# Runs the native tests: run.sh [BUILD FOLDER [TEST…]], JOBS of them at a time, each in namespaces of its own. One line a test;
# the logs of a failed one stay where it says.
set -u
cd "$(dirname "$0")/../.." || exit 1
export build=${1:-build/release}
shift
export limit=${LIMIT:-180}
mkdir -p "$build/mount"
tests=("$@")
if [ ${#tests[@]} -eq 0 ]; then
    for file in tests/mount/*.sh; do
        case $(basename "$file" .sh) in kit | run) ;; *) tests+=("$(basename "$file" .sh)") ;; esac
    done
fi

run_test() {
    local test=$1
    local log=$build/mount/$test.log started=${EPOCHREALTIME/./} status seconds
    BUILD=$build timeout -k 10 "$limit" "tests/mount/$test.sh" >"$log" 2>&1 </dev/null
    status=$?
    seconds=$(((${EPOCHREALTIME/./} - started) / 100000))
    seconds=$((seconds / 10)).$((seconds % 10))
    case $status in
        0)
            echo "ok    $test ($seconds s)"
            rm -rf "${build:?}/mount/$test" "$log"
            ;;
        77) echo "skip  $test: $(grep -m 1 '^skip: ' "$log" | cut -c 7-)" ;;
        *)
            [ $status -ne 124 ] || echo "FAIL: took more than $limit s" >>"$log"
            printf '%s\n' "FAIL  $test ($seconds s): $(grep -m 1 '^FAIL: ' "$log" | cut -c 7-)" \
                "      logs: $log and $build/mount/$test/logs/"
            ;;
    esac
}
export -f run_test

report=$build/mount/report
printf '%s\n' "${tests[@]}" | xargs -P "${JOBS:-2}" -I TEST bash -c 'run_test TEST' | tee "$report"
failed=$(grep -c '^FAIL ' "$report")
echo "mount: $(grep -c '^ok ' "$report") passed, $failed failed, $(grep -c '^skip ' "$report") skipped"
[ "$failed" -eq 0 ]
