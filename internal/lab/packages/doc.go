// Package packages tests the packages that "make package" builds: that the same commit gives the
// same bytes wherever it is built, and that dpkg, lintian and rpm find in them what they should;
// and that their sums are signed where there is a key. "make test-package" runs it.
//
// It is a module of its own because it builds for minutes where nothing is cached, which the quick
// loop of "make test-unit" must not. What happens when a package is installed is the business of
// internal/lab/host.
package packages
