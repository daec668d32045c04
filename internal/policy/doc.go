// Package policy holds the house rules of this repository as tests:
//
//	go test ./internal/policy
//
// It has no code of its own. The rules read the sources of the module, without
// building them; modules of their own inside the tree are not looked at.
//
//   - imports: which package may import which other package of ours, and which
//     may use a library. The table in imports_test.go gives a reason per line
//     and knows every package; a new one must be entered. What nobody uses any more
//     goes out of it, so that the picture in docs/ARCHITECTURE.md, which is drawn
//     from it, is that of the imports. POLICY_REWRITE=1 draws it anew.
//   - state: no package-level variable but error values, embedded files,
//     interface assertions and the version that the linker sets; no func init;
//     os.Exit and log.Fatal only in a command's main file and in TestMain.
//   - size: no function over 70 lines, no file over 450 (tests may be longer).
//   - comments: one package comment per package, a doc comment for each
//     exported name, nothing marked as still to be done, no name of a file that
//     is not there, no link to a name that the package does not have.
//   - tests are never skipped, and all is formatted by gofmt.
//   - documents: the files, folders and targets of make that they name are there.
//   - toolchain: all modules, the documents and the workflows name one version of Go.
//   - compatibility: each row of docs/compatibility.md names tests, and they exist.
//   - workflows: they may read only, and use actions by their commit.
//
// Each rule is tried on a snippet that breaks it, so that a rule that has
// stopped working is noticed.
package policy
