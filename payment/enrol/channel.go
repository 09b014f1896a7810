package enrol

import (
	"io"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/comm"
)

// End is what a device's end of a channel is made of. One of ServerKey, to pay,
// and Activation, to enrol, is set.
type End struct {
	Keys       trusted.KeyStore
	Key        string // the device key's name
	Attester   channel.Attester
	ServerKey  []byte
	Activation *noise.Activation
	// DeviceClass, TerminalID and MerchantID are declared to the server.
	DeviceClass, TerminalID, MerchantID string
	// Resume lets a channel be resumed, where its kind can.
	Resume bool
	// Timeout, Rand and Now have the defaults of Config.
	Timeout time.Duration
	Rand    io.Reader
	Now     func() time.Time
}

// Channel makes a device's end of the channel.
type Channel func(e End) (channel.Handshaker, error)

var _ Channel = Noise

// Noise makes the end of channel/noise. The device's key is its X25519 key.
func Noise(e End) (channel.Handshaker, error) {
	return noise.NewClient(noise.ClientConfig{
		Static: comm.StaticKey{Keys: e.Keys, Name: e.Key}, Attester: e.Attester, ServerKey: e.ServerKey, Activation: e.Activation,
		DeviceClass: e.DeviceClass, TerminalID: e.TerminalID, MerchantID: e.MerchantID, Resume: e.Resume, Timeout: e.Timeout, Rand: e.Rand, Now: e.Now,
	})
}
