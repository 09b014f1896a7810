//go:build race

package noise

const raced = true
