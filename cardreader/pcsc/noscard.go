//go:build !pcsc || !(cgo || windows)

package pcsc

// system is the machine's service; this build has none.
func system() (service, *watcher, error) { return nil, nil, ErrNotBuilt }
