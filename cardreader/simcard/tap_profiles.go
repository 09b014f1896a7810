package simcard

import "time"

// addTaps adds the profiles that are about the contactless side. By contact they
// are as the default is.
func addTaps(addAny func(name, text, pan string, alter func(*Profile, *Application))) {
	add := func(name, text, pan string, alter func(*Profile, *Application)) {
		addAny(name, text, pan, func(p *Profile, a *Application) {
			p.Tapped = true
			alter(p, a)
		})
	}
	add("phone", "contactless: a phone whose holder unlocks it after a first tap", "4761739001070014", func(_ *Profile, a *Application) {
		*a.Contactless = Contactless{Kernel: 3, KernelID: []byte{0x03}, Device: true, OnlineOnly: true}
	})
	add("phone-unlocked", "contactless: a phone unlocked before it is held to the reader", "4761739001070022", func(_ *Profile, a *Application) {
		*a.Contactless = Contactless{Kernel: 3, KernelID: []byte{0x03}, Device: true, Verified: true, OnlineOnly: true}
	})
	add("tap-signature", "contactless: signature where the reader wants the holder verified", "4761739001070030", func(_ *Profile, a *Application) {
		*a.Contactless = Contactless{Kernel: 3, KernelID: []byte{0x03}, Signature: true}
	})
	mchip := func(t Contactless) func(*Profile, *Application) {
		return func(_ *Profile, a *Application) {
			a.AID, a.Label = unhex(aidMastercard), "PAYUNIT CREDIT"
			t.Kernel, t.KernelID = 2, []byte{0x02}
			a.Contactless = &t
		}
	}
	relay := &RelayTimes{Max: 5 * time.Millisecond, Transmission: 2400 * time.Microsecond}
	balance := int64(12345)
	add("mchip", "contactless: M/Chip with CDA and relay resistance, online PIN", "5413330089070016", mchip(Contactless{OnlinePIN: true, Relay: relay}))
	add("mchip-phone", "contactless: an M/Chip phone whose holder unlocks it after a first tap", "5413330089070024", mchip(Contactless{Device: true, Relay: relay}))
	add("mchip-balance", "contactless: M/Chip that tells its balance, signature", "5413330089070032", mchip(Contactless{Signature: true, Balance: &balance}))
	add("tap-insert", "contactless: wants to be inserted, 6984", "4761739001070048", func(_ *Profile, a *Application) {
		a.Contactless.UseContact = true
	})
}
