// Package policy holds the house rules of this repository that no linter knows. It has tests
// only:
//
//	go test ./internal/policy
//
// Everything else is in .golangci.yml: which package may import which other, with a reason per
// line; no package-level state, no init, no exit outside of main; the size of functions and files;
// doc comments, package comments, formatting, skipped tests and postponed work.
//
// The rules here:
//
//   - packages: each has its import rule in .golangci.yml, and docs/ARCHITECTURE.md draws what
//     they import (POLICY_REWRITE=1 redraws it).
//   - names: the files and the names in brackets that a comment points to exist, comments fit
//     into 100 columns, and the name of a test can be typed after -run.
//   - steps: each step of a request is in the file of its name, and only the daemon's loop
//     touches the state.
//   - documents: the files, folders, tests and make targets that they name exist, all modules
//     and workflows name one version of Go, and workflows use actions by their commit.
//   - words: no text has a private word or phrase, and the finding says what to write instead.
package policy
