#!/bin/sh
# Every fuzz target for SECONDS under ASan and UBSan; corpora are kept in build/corpus. Closing line as tests'.
set -u
seconds=${1:-300}
passed=0 failed=0
for target in build/fuzz/tests/fuzz/fuzz_*; do
	case $target in *.o|*.d|*\**) continue ;; esac
	name=$(basename "$target")
	corpus=build/corpus/$name
	mkdir -p "$corpus"
	set -- "$corpus"
	[ ! -d "tests/fuzz/corpus/$name" ] || set -- "$corpus" "tests/fuzz/corpus/$name"
	if "$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="build/corpus/crash-$name-" "$@" >"build/corpus/$name.log" 2>&1; then
		passed=$((passed + 1))
		runs=$(sed -n 's/stat::number_of_executed_units: *//p' "build/corpus/$name.log")
		echo "ok   $name $runs runs"
	else
		failed=$((failed + 1))
		echo "FAIL $name"
		tail -n 30 "build/corpus/$name.log"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
