// Package packaging has what the packages hold beside the program, and the tests of it that need no
// package to be built; goreleaser.yaml puts it together.
//
//	systemd/    units, the user, the textfile's folder
//	deb/        maintainer scripts, copyright, README.Debian
//	rpm/        scriptlets, preset, README.RHEL
//	version     the version of the packages, from what git says
//	prepare     makes what the tree does not hold: compressed manuals, completions
//	notes       what the changelog says of a release
//	sign        signs SHA256SUMS
//	repository  makes the folders that apt and dnf install from
//	releases    downloads the packages of the last releases for it
//	key         finds the key that the last three work with
//
// It has no code of its own. The packages themselves are tested by internal/lab/packages, and apt
// and dnf with the repository by internal/lab/host.
package packaging
