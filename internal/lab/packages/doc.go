// Package packages tests the packages that "make package" builds: that the same commit gives the
// same bytes wherever it is built, and that dpkg, lintian and rpm find in them what they should;
// and that their checksums are signed if there is a key. "make test-package" runs it.
//
// It is a module of its own because it builds for minutes if nothing is cached, which "make
// test-unit" must not do. internal/lab/host tests what happens when a package is installed.
package packages
