//go:build release

package testkeys

// A release has no simulators and no test keys: this does not compile.
var _ = thisPackageIsLeftOutOfReleases
