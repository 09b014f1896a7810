//go:build goexperiment.runtimesecret

package secret

import runtimesecret "runtime/secret"

// Erases reports whether Do erases what its function leaves in registers, on the
// stack and on the heap. It does in builds with GOEXPERIMENT=runtimesecret, on
// linux/amd64 and linux/arm64.
const Erases = true

// Do calls f and has the runtime erase what f leaves behind.
func Do(f func()) { runtimesecret.Do(f) }
