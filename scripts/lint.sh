#!/bin/sh
# Runs golangci-lint with .golangci.yml over the packages given, or all. The
# first run builds the pinned version into .cache/bin, which takes minutes.
set -eu
cd "$(dirname "$0")/.."

version=v2.15.0
bin=$PWD/.cache/bin
tool=$bin/golangci-lint

if ! "$tool" version 2>/dev/null | grep -qF "${version#v}"; then
	echo "building golangci-lint $version into .cache/bin" >&2
	mkdir -p "$bin"
	GOBIN=$bin GOFLAGS= nice -n 10 go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"
fi
if [ $# -eq 0 ]; then
	set -- ./...
fi
GOLANGCI_LINT_CACHE=$PWD/.cache/golangci-lint exec "$tool" run "$@"
