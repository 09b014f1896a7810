//go:build !race

package payment_test

const raced = false
