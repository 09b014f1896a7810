package pcsc

// featureRequest is CM_IOCTL_GET_FEATURE_REQUEST (PC/SC part 10, 2.2), which
// Windows codes in its own way.
const featureRequest = 0x31<<16 | 3400<<2
