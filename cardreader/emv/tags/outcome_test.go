package tags_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// TestContactlessWords tells the data objects of the contactless kernels.
func TestContactlessWords(t *testing.T) {
	for _, c := range []struct {
		tag         tlv.Tag
		value, want string
	}{
		{tags.KernelIdentifier, "03", "International kernel 3: Visa"},
		{tags.KernelIdentifier, "00", "No kernel preferred"},
		{tags.KernelIdentifier, "810978", "Domestic kernel in the EMVCo format, 810978"},
		{tags.KernelIdentifier, "C11111", "Domestic kernel in a proprietary format, C11111"},
		{tags.CardAuthenticationRelatedData, "01AABBCCDD8080", "fDDA version 01; Card's unpredictable number AABBCCDD; Qualifiers: Online PIN required; Qualifiers: Consumer device CVM performed"},
		{tags.CardAuthenticationRelatedData, "01AABBCCDD", "fDDA version 01; Card's unpredictable number AABBCCDD"},
		{tags.CardholderInteraction, "000100", "Verification on the device required"},
		{tags.AvailableOfflineSpending, "000200", "Application capabilities information of kernel 2, version 0, data storage version 0; Balance reading supported"},
		{tags.AvailableOfflineSpending, "000000012345", "12345 minor units"},
		{tags.RelayMaxTime, "0032", "5.0 ms"},
		{0xDF811B, "B0", "Magnetic stripe mode not supported; Verification on the device supported; Relay resistance protocol supported"},
		{0xDF8129, "30F0F02080F0FF00", "Status: Online Request; Start: N/A; Online response data: N/A; CVM: Online PIN; User interface request on outcome"},
		{0xDF8129, "7010F0F0C0F00D0A", "Status: Try Again; Start: B; Online response data: N/A; CVM: N/A; User interface request on outcome; User interface request on restart; Field off for 1300 ms; Removal within 1000 ms"},
		{0xDF8116, "0300001300000000000000000020" + "000000012345" + "0978", "Message 03; Status not ready; Held for 1300 ms; Balance 000000012345, currency 0978"},
		{0xDF8116, "15020000006465656E00000000" + "00" + "000000000000" + "0000", "Message 15; Status ready to read; Languages deen"},
	} {
		b, err := hex.DecodeString(c.value)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, strings.Join(tags.Describe(c.tag, b), "; ")); d != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.tag, c.value, d)
		}
	}
}
