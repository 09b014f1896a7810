// A program that names what a release leaves out.
package main

import (
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/attest/android"
	"github.com/payunit/payunit/channel/attest/tpm"
	"github.com/payunit/payunit/trusted/vault"
)

func main() {
	_ = attest.InsecureAcceptAnything{}
	_ = attest.Software{}
	_ = attest.SoftwareVerifier{}
	_ = tpm.InsecureAnyPCRs{}
	_ = android.InsecureNoRevocations{}
	_ = vault.InsecureKeyFile()
	_ = vault.DevelopmentPassphrase
}
