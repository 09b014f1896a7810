package acquirer

import (
	"strings"
	"time"
)

// original makes field 90 of 1987 (message type 4, STAN 6, transmission time 10,
// acquirer 11, forwarder 11, right justified) or field 56 of 1993 (message type
// 4, STAN 6, date and time 12, length and digits of the acquirer). The time of the
// latter is the original's transmission time in UTC as well, where ISO 8583:1993
// has the local one.
func (d *Dialect) original(mem Member, o *Original) ([]byte, string) {
	if o == nil {
		return nil, ""
	}
	if _, _, reason := parseMTI(o.MTI); reason != "" {
		return nil, "has a message type that " + reason
	}
	if len(o.STAN) != 6 || !digitsOnly(o.STAN) {
		return nil, "has a STAN that is not six digits"
	}
	if len(o.AcquirerID) > 11 || !digitsOnly(o.AcquirerID) || strings.HasPrefix(o.AcquirerID, "0") {
		return nil, "has an acquirer that is no number of up to eleven digits"
	}
	if o.TransmissionTime.IsZero() {
		return nil, "has no transmission time"
	}
	v := append(make([]byte, 0, 42), '0'+d.t.Version)
	v = append(v, o.MTI[1:]...)
	v = append(v, o.STAN...)
	if mem == MemberOriginalElements {
		v = o.TransmissionTime.UTC().AppendFormat(v, "060102150405")
		v = append(v, byte('0'+len(o.AcquirerID)/10), byte('0'+len(o.AcquirerID)%10))
		return append(v, o.AcquirerID...), ""
	}
	v = o.TransmissionTime.UTC().AppendFormat(v, "0102150405")
	v = append(v, strings.Repeat("0", 11-len(o.AcquirerID))...)
	v = append(v, o.AcquirerID...)
	return append(v, "00000000000"...), ""
}

// parseOriginal is the inverse of original.
func (d *Dialect) parseOriginal(mem Member, v []byte) (*Original, string) {
	s := string(v)
	if len(s) < 24 || s[0] != '0'+d.t.Version {
		return nil, "has a message type of another edition"
	}
	o := &Original{MTI: "0" + s[1:4], STAN: s[4:10]}
	if _, _, reason := parseMTI(o.MTI); reason != "" {
		return nil, "has a message type that " + reason
	}
	var reason string
	var t time.Time
	if mem == MemberOriginalElements {
		t, reason = d.centuried(s[10:22])
		n := int(s[22]-'0')*10 + int(s[23]-'0')
		if n > 11 || len(s) != 24+n {
			return nil, "has an acquirer of another length than it says"
		}
		o.AcquirerID = s[24:]
		if strings.HasPrefix(o.AcquirerID, "0") {
			return nil, "has an acquirer with leading zeros"
		}
	} else {
		t, reason = d.dated(s[10:20])
		o.AcquirerID = strings.TrimLeft(s[20:31], "0")
		if strings.Trim(s[31:], "0") != "" {
			return nil, "names a forwarding institution"
		}
	}
	if reason != "" {
		return nil, reason
	}
	o.TransmissionTime = t
	return o, ""
}
