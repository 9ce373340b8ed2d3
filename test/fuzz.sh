#!/bin/sh
# Runs every fuzz target of the tree for FUZZTIME each: a count of inputs like
# 20000x, or a time like 10m. What must never fail by chance uses a count: at the
# end of a time Go's fuzzer now and then reports its own deadline as a failure.
set -eu
: "${GO:=go}" "${TAGS:=disable_grpc_modules,grpcnotrace}" "${FUZZTIME:=20000x}"
grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do
	package=$(dirname "$file")
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
		echo "fuzz: $package $target for $FUZZTIME"
		"$GO" test -tags "$TAGS" -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 100x "$package" </dev/null
	done
done
