#!/bin/sh
# Runs the unit tests of one build folder and says how many there were.
set -u
build=$1
log=$build/unit-tests.log
# What the daemons' code logs while it is tested stands in unit-tests.err.
"$build/unit-tests" --log_level=error --log_sink=stdout --report_level=detailed --report_sink="$log" \
    ${TESTS:+"--run_test=$TESTS"} 2>"$build/unit-tests.err"
status=$?
[ "$status" -eq 0 ] || { echo "unit: the last of $build/unit-tests.err:"; tail -n 20 "$build/unit-tests.err"; }
# A case's line in the detailed report: Test case "suite/name" has passed|failed|was skipped …
passed=$(grep -cE '^ *Test case .* has passed' "$log")
failed=$(grep -cE '^ *Test case .* (has failed|was aborted)' "$log")
skipped=$(grep -cE '^ *Test case .* was skipped' "$log")
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "unit: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
