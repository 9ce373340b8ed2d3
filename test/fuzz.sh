#!/bin/sh
# Runs every fuzz target of the tree for FUZZTIME each.
set -eu
: "${GO:=go}" "${TAGS:=disable_grpc_modules,grpcnotrace}" "${FUZZTIME:=5s}"
grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do
	package=$(dirname "$file")
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
		echo "fuzz: $package $target for $FUZZTIME"
		"$GO" test -tags "$TAGS" -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" "$package" </dev/null
	done
done
