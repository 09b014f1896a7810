//go:build release

package hostile

// A release has no simulators and no test keys: this does not compile.
var _ = thisPackageIsLeftOutOfReleases
