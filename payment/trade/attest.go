package trade

// Attest asks for a challenge: the unit is about to prove its device again, at
// a moment of a payment, "payment" or "pin" (channel/attest has what they mean).
type Attest struct {
	Moment string `json:"moment"`
	Order  string `json:"order"`
}

// Challenge is the server's nonce, 32 bytes. It serves for one answer.
type Challenge struct {
	Nonce []byte `json:"nonce"`
}

// Evidence answers a challenge: a statement of a platform over SHA-256 of a
// label, the nonce, the channel's binding, the moment and the order.
type Evidence struct {
	Type      string `json:"type"`
	Statement []byte `json:"statement"`
}

// Attested says that the evidence was accepted.
type Attested struct {
	// Seconds is how long it counts, by the server's clock, for information:
	// the server asks again when it does not.
	Seconds int64 `json:"seconds"`
}
