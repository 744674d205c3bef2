#!/bin/sh
# Runs the unit tests of one build folder and says how many there were.
set -u
build=$1
log=$build/unit-tests.log
"$build/unit-tests" --log_level=error --report_level=detailed --report_sink="$log" ${TESTS:+"--run_test=$TESTS"}
status=$?
# A case's line in the detailed report: Test case "suite/name" has passed|failed|was skipped …
passed=$(grep -cE '^ *Test case .* has passed' "$log")
failed=$(grep -cE '^ *Test case .* (has failed|was aborted)' "$log")
skipped=$(grep -cE '^ *Test case .* was skipped' "$log")
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "unit: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
