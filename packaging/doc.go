// Package packaging has what the packages hold beside the program, and the tests
// of it that need no package to be built; goreleaser.yaml puts it together.
//
//	systemd/  units, the user, the textfile's folder
//	deb/      maintainer scripts, copyright, README.Debian
//	rpm/      scriptlets, preset, README.RHEL
//	version   the version of the packages, from what git says
//	prepare   makes what the tree does not hold: compressed manuals, completions
//	notes     what the changelog says of a release
//
// It has no code of its own. The packages themselves are tested by
// internal/lab/packages.
package packaging
