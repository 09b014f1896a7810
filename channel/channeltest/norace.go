//go:build !race

package channeltest

const raced = false
