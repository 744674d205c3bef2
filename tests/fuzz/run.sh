#!/bin/sh
# Runs each fuzzer for so many seconds, from its corpus and from what it found before (BUILD/found/NAME), and says what came of
# it. A crash stays in BUILD/crashes: feed it to BUILD/fuzz_NAME alone to see it again.
set -u
build=$1
seconds=$2
shift 2
crashes=$build/crashes
mkdir -p "$crashes"
failed=0
passed=0
for name in "$@"; do
    found=$build/found/$name
    log=$build/$name.log
    mkdir -p "$found"
    # A transmission is at most 64 requests; longer inputs only slow the others down.
    if "$build/fuzz_$name" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 \
        -artifact_prefix="$crashes/$name-" "$found" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
        passed=$((passed + 1))
        end="no crash"
    else
        failed=$((failed + 1))
        end="CRASHED"
        tail -n 40 "$log"
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(grep -oE 'cov: [0-9]+ ft: [0-9]+ corp: [0-9]+/[0-9a-zA-Z]+' "$log" | tail -n 1)
    echo "$name: $end, ${executions:-?} executions in $seconds s, ${coverage:-no coverage}"
done
echo "fuzz: $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
