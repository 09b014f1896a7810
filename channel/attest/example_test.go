package attest_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
)

// keys is a key store of one key.
type keys struct{ k ed25519.PrivateKey }

func (s keys) VerificationKey(context.Context, string) ([]byte, error) {
	return s.k.Public().(ed25519.PublicKey), nil
}

func (s keys) Sign(_ context.Context, _ string, m []byte) ([]byte, error) {
	return ed25519.Sign(s.k, m), nil
}

// A server that takes software devices says so, and still refuses evidence for
// another channel.
func ExampleNewPolicy() {
	policy, err := attest.NewPolicy(attest.PolicyConfig{
		Verifiers: map[string]channel.Verifier{attest.TypeSoftware: attest.SoftwareVerifier{}},
		Minimum:   channel.AssuranceSoftware,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	device := attest.Software{Keys: keys{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))}}
	ctx := context.Background()
	ours := attest.Challenge([]byte("hash of this handshake"), channel.PurposePay)
	evidence, err := device.Attest(ctx, ours)
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := policy.Verify(ctx, ours, evidence)
	fmt.Println(claims.Assurance, err)
	_, err = policy.Verify(ctx, attest.Challenge([]byte("hash of another"), channel.PurposePay), evidence)
	fmt.Println(err)
	// Output:
	// software <nil>
	// channel: attestation evidence refused (signature): the signature over the challenge does not verify
}
