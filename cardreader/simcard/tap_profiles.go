package simcard

// addTaps adds the profiles that are about the contactless side. By contact they
// are as the default is.
func addTaps(add func(name, text, pan string, alter func(*Profile, *Application))) {
	add("phone", "contactless: a phone whose holder unlocks it after a first tap", "4761739001070014", func(_ *Profile, a *Application) {
		*a.Contactless = Contactless{Kernel: 3, KernelID: []byte{0x03}, Device: true, OnlineOnly: true}
	})
	add("phone-unlocked", "contactless: a phone unlocked before it is held to the reader", "4761739001070022", func(_ *Profile, a *Application) {
		*a.Contactless = Contactless{Kernel: 3, KernelID: []byte{0x03}, Device: true, Verified: true, OnlineOnly: true}
	})
	add("tap-signature", "contactless: signature where the reader wants the holder verified", "4761739001070030", func(_ *Profile, a *Application) {
		*a.Contactless = Contactless{Kernel: 3, KernelID: []byte{0x03}, Signature: true}
	})
	add("tap-insert", "contactless: wants to be inserted, 6984", "4761739001070048", func(_ *Profile, a *Application) {
		a.Contactless.UseContact = true
	})
}
