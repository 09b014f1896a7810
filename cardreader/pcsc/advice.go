//go:build !windows && !darwin

package pcsc

const startAdvice = "start pcscd (package pcscd; systemctl start pcscd.socket)"
