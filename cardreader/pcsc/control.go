//go:build !windows

package pcsc

// featureRequest is CM_IOCTL_GET_FEATURE_REQUEST (PC/SC part 10, 2.2) as
// pcsc-lite and macOS code it.
const featureRequest = 0x42000000 + 3400
