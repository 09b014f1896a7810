package enrol

import (
	"io"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/comm"
	"github.com/payunit/payunit/trusted/config"
)

// End is what a device's end of a channel is made of. One of ServerKey, to pay,
// and Activation, to enrol, is set.
type End struct {
	Keys       trusted.KeyStore
	Key        string // the device key's name
	Attester   channel.Attester
	ServerKey  []byte
	Activation *noise.Activation
	// Server, when set, is the server's configuration, and stands in the place
	// of ServerKey: see ServerKeys.
	Server *config.Statement
	// DeviceClass, TerminalID and MerchantID are declared to the server.
	DeviceClass, TerminalID, MerchantID string
	// Resume lets a channel be resumed, where its kind can.
	Resume bool
	// Timeout, Rand and Now have the defaults of Config.
	Timeout time.Duration
	Rand    io.Reader
	Now     func() time.Time
}

// ServerKeys returns the server's keys of a suite that the device may pay
// under, the one to use first; none to enrol. Errors: config.ErrRefused.
func (e End) ServerKeys(s config.Suite) ([][]byte, error) {
	switch {
	case e.Activation != nil:
		return nil, nil
	case e.Server == nil:
		return [][]byte{e.ServerKey}, nil
	}
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	return e.Server.Use(s, channel.PurposePay, now())
}

// Routing is the routing data that handshakes bind: the name that the server's
// configuration gives it.
func (e End) Routing() []byte {
	if e.Server == nil {
		return nil
	}
	return []byte(e.Server.Name)
}

// Resumes reports whether channels may be resumed.
func (e End) Resumes() bool {
	return e.Resume && (e.Server == nil || e.Server.Purposes.Has(channel.PurposeResume))
}

// Channel makes a device's end of the channel.
type Channel func(e End) (channel.Handshaker, error)

var _ Channel = Noise

// Noise makes the end of channel/noise. The device's key is its X25519 key.
func Noise(e End) (channel.Handshaker, error) {
	keys, err := e.ServerKeys(config.SuiteX25519)
	if err != nil {
		return nil, err
	}
	c := noise.ClientConfig{
		Static: comm.StaticKey{Keys: e.Keys, Name: e.Key}, Attester: e.Attester, Activation: e.Activation, Routing: e.Routing(),
		DeviceClass: e.DeviceClass, TerminalID: e.TerminalID, MerchantID: e.MerchantID, Resume: e.Resumes(), Timeout: e.Timeout, Rand: e.Rand, Now: e.Now,
	}
	if len(keys) > 0 {
		c.ServerKey = keys[0]
	}
	return noise.NewClient(c)
}
