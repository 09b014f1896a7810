//go:build release

package scripted

// A release has no simulators and no test keys: this does not compile.
var _ = thisPackageIsLeftOutOfReleases
