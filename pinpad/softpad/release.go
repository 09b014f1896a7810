//go:build release && !software

package softpad

// A release has modules of software only where the tag software names them:
// without it, this does not compile.
var _ = thisPackageNeedsTheTagSoftware
