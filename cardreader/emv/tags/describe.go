package tags

import (
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// Describe says the value of a data element in words, a line a fact. It is empty
// for an element without any, for a value of the wrong length, and for one that
// is not Public: words would give it away.
func Describe(t tlv.Tag, v []byte) []string {
	info, ok := Lookup(t)
	if !ok || info.Secrecy != Public || t.Constructed() {
		return []string{}
	}
	return meaning(info, v)
}

// meaning is Describe for who may see everything.
func meaning(info Info, v []byte) []string {
	if len(v) < info.Min || info.Max > 0 && len(v) > info.Max {
		return []string{fmt.Sprintf("%d bytes, the standard says %s", len(v), span(info.Min, info.Max))}
	}
	if out, ok := coded(info.Tag, v); ok {
		return out
	}
	if out, ok := listed(info.Tag, v); ok {
		return out
	}
	if out, ok := plain(info.Tag, v); ok {
		return out
	}
	switch info.Format {
	case tlv.FormatA, tlv.FormatAN, tlv.FormatANS:
		if len(v) > 0 {
			return []string{text(v)}
		}
	}
	return []string{}
}

func span(low, high int) string {
	switch {
	case high == 0:
		return fmt.Sprintf("at least %d", low)
	case low == high:
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// coded says the elements whose bits have meanings.
func coded(t tlv.Tag, v []byte) ([]string, bool) {
	switch t {
	case AIP:
		return AIPValue(v).Describe(), true
	case AUC:
		return AUCValue(v).Describe(), true
	case TVR, IACDefault, IACDenial, IACOnline, 0xDF8120, 0xDF8121, 0xDF8122:
		return TVRValue(v).Describe(), true
	case TSI:
		return TSIValue(v).Describe(), true
	case CVMResults:
		return CVMResultsValue(v).Describe(), true
	case CVMList:
		l, err := ParseCVMList(v)
		if err != nil {
			return []string{err.Error()}, true
		}
		return append([]string{fmt.Sprintf("X %d, Y %d", l.X, l.Y)}, l.Describe()...), true
	case TerminalCapabilities:
		return CapabilitiesValue(v).Describe(), true
	case AdditionalTerminalCapabilities:
		return AdditionalCapabilitiesValue(v).Describe(), true
	case TerminalType:
		return TerminalTypeValue(v[0]).Describe(), true
	case CID:
		return CIDValue(v[0]).Describe(), true
	case PriorityIndicator:
		return priority(v[0]), true
	case IssuerApplicationData:
		return ParseIAD(v).Describe(), true
	case TTQ:
		return describe(v, ttqWords()), true
	case CTQ:
		return describe(v, ctqWords()), true
	}
	return contactless(t, v)
}

func priority(b byte) []string {
	out := []string{fmt.Sprintf("Priority %d", b&0x0F)}
	if b&0x0F == 0 {
		out[0] = "No priority"
	}
	if b&0x80 != 0 {
		out = append(out, "Not to be selected without the cardholder's confirmation")
	}
	return out
}

// listed says data object lists, tag lists and the file locator.
func listed(t tlv.Tag, v []byte) ([]string, bool) {
	out := []string{}
	switch t {
	case PDOL, CDOL1, CDOL2, DDOL, TDOL, LogFormat, DRDOL:
		d, err := tlv.ParseDOL(v)
		out = append(out, DescribeDOL(d)...)
		if err != nil {
			out = append(out, err.Error())
		}
		return out, true
	case SDATagList:
		l, err := tlv.ParseTagList(v)
		if err != nil {
			return []string{err.Error()}, true
		}
		for _, t := range l {
			out = append(out, named(t))
		}
		return out, true
	case AFL:
		return locator(v), true
	case LogEntry:
		return []string{fmt.Sprintf("File %d, %d records", v[0], v[1])}, true
	}
	return nil, false
}

// DescribeDOL says a data object list in words, a line an entry.
func DescribeDOL(d tlv.DOL) []string {
	out := []string{}
	for _, e := range d {
		out = append(out, fmt.Sprintf("%s, %s", named(e.Tag), count(e.Len, "byte", "bytes")))
	}
	return out
}

func named(t tlv.Tag) string {
	if i, ok := Lookup(t); ok {
		return t.String() + " " + i.Name
	}
	return t.String() + " unknown to the dictionary"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// locator says the application file locator, four bytes an entry (Book 3, 10.2).
func locator(v []byte) []string {
	if len(v)%4 != 0 {
		return []string{fmt.Sprintf("%d bytes, not a multiple of 4", len(v))}
	}
	out := []string{}
	for ; len(v) > 0; v = v[4:] {
		line := fmt.Sprintf("File %d, records %d to %d", v[0]>>3, v[1], v[2])
		if v[1] == v[2] {
			line = fmt.Sprintf("File %d, record %d", v[0]>>3, v[1])
		}
		if v[3] > 0 {
			line += fmt.Sprintf(", the first %d for offline data authentication", v[3])
		}
		out = append(out, line)
	}
	return out
}

// plain says numbers, codes, dates and names.
func plain(t tlv.Tag, v []byte) ([]string, bool) {
	switch t {
	case AmountAuthorised, AmountOther, 0xDF8123, 0xDF8124, 0xDF8125, 0xDF8126, AvailableOfflineSpending:
		if n, err := tlv.ParseN(v); err == nil {
			return []string{fmt.Sprintf("%d minor units", n)}, true
		}
	case AmountAuthorisedBinary, AmountOtherBinary, AmountReferenceCurrency, TerminalFloorLimit:
		return []string{fmt.Sprintf("%d minor units", number(v))}, true
	case TransactionCurrencyCode, ApplicationCurrencyCode, TransactionReferenceCurrency, ApplicationReferenceCurrency:
		return currencies(v), true
	case TransactionDate, ExpirationDate, EffectiveDate:
		return []string{fmt.Sprintf("20%02X-%02X-%02X", v[0], v[1], v[2])}, true
	case TransactionTime:
		return []string{fmt.Sprintf("%02X:%02X:%02X", v[0], v[1], v[2])}, true
	case ATC, LastOnlineATC, LowerConsecutiveOfflineLimit, UpperConsecutiveOfflineLimit:
		return []string{fmt.Sprint(number(v))}, true
	case PINTryCounter:
		return []string{count(int(v[0]), "try", "tries")}, true
	case TransactionType:
		return []string{transaction(v[0])}, true
	case PointOfServiceEntryMode:
		return []string{entryMode(v[0])}, true
	case AccountType:
		return []string{account(v[0])}, true
	case SFI:
		return []string{fmt.Sprintf("File %d", v[0])}, true
	case AID, DFName, TerminalAID, DDFName:
		return application(v), true
	case IssuerCodeTableIndex:
		return []string{fmt.Sprintf("ISO/IEC 8859-%X", v[0])}, true
	case LanguagePreference:
		return languages(v), true
	case ARC:
		return []string{responseCode(string(v))}, true
	case IssuerCountryCode, TerminalCountryCode:
		return []string{"ISO 3166 number " + fmt.Sprintf("%X", v)[1:]}, true
	}
	return nil, false
}

func number(v []byte) uint64 {
	var n uint64
	for _, b := range v {
		n = n<<8 | uint64(b)
	}
	return n
}

// currencies says one or more codes of two bytes.
func currencies(v []byte) []string {
	out := []string{}
	for ; len(v) >= 2; v = v[2:] {
		n, err := tlv.ParseN(v[:2])
		if err != nil || n > 999 {
			out = append(out, fmt.Sprintf("%X is no currency", v[:2]))
			continue
		}
		c, err := money.ByNumeric(uint16(n))
		if err != nil {
			out = append(out, fmt.Sprintf("%03d, not in the list of currencies", n))
			continue
		}
		out = append(out, c.Code())
	}
	return out
}

// transaction says tag 9C, the first digits of ISO 8583's processing code.
func transaction(b byte) string {
	switch b {
	case 0x00:
		return "Goods and services"
	case 0x01:
		return "Cash"
	case 0x09:
		return "Goods and services with cashback"
	case 0x20:
		return "Refund"
	case 0x21:
		return "Deposit"
	case 0x30, 0x31:
		return "Inquiry"
	case 0x40:
		return "Transfer"
	case 0x50:
		return "Payment"
	}
	return fmt.Sprintf("Transaction type %02X", b)
}

// entryMode says tag 9F39, the first digits of ISO 8583's entry mode.
func entryMode(b byte) string {
	switch b {
	case 0x01:
		return "Keyed"
	case 0x02, 0x90:
		return "Magnetic stripe"
	case 0x05, 0x95:
		return "Chip"
	case 0x07:
		return "Contactless chip"
	case 0x80:
		return "Magnetic stripe after the chip failed"
	case 0x91:
		return "Contactless magnetic stripe data"
	}
	return fmt.Sprintf("Entry mode %02X", b)
}

func account(b byte) string {
	switch b {
	case 0x00:
		return "Default account"
	case 0x10:
		return "Savings account"
	case 0x20:
		return "Cheque or debit account"
	case 0x30:
		return "Credit account"
	}
	return fmt.Sprintf("Account type %02X", b)
}

func languages(v []byte) []string {
	if len(v)%2 != 0 {
		return []string{text(v)}
	}
	out := []string{}
	for ; len(v) >= 2; v = v[2:] {
		out = append(out, text(v[:2]))
	}
	return []string{strings.Join(out, ", ")}
}

// responseCode says the codes that the terminal makes itself (Book 4, A6); the
// others are the host's, of ISO 8583.
func responseCode(s string) string {
	switch s {
	case "Y1":
		return "Offline approved"
	case "Z1":
		return "Offline declined"
	case "Y2", "Z2":
		return "Referral, of earlier editions"
	case "Y3":
		return "Unable to go online, offline approved"
	case "Z3":
		return "Unable to go online, offline declined"
	case "00":
		return "Approved"
	}
	return "Response code " + text([]byte(s))
}

// application names the scheme of an application identifier.
func application(v []byte) []string {
	if s := string(v); s == "1PAY.SYS.DDF01" || s == "2PAY.SYS.DDF01" {
		return []string{"Payment system environment " + s}
	}
	if len(v) < 5 {
		return []string{}
	}
	if n := Scheme([5]byte(v[:5])); n != "" {
		return []string{n}
	}
	return []string{}
}

// Scheme returns the name of the payment system that has a registered
// application provider identifier, "" for one that is not known here.
func Scheme(rid [5]byte) string {
	if rid[0] == 0xD5 && rid == [5]byte{0xD5, 0x78, 0x00, 0x00, 0x02} {
		return "BankAxept"
	}
	if rid[0] != 0xA0 || rid[1] != 0 || rid[2] != 0 {
		return ""
	}
	switch number(rid[3:]) {
	case 0x0003:
		return "Visa"
	case 0x0004, 0x0005:
		return "Mastercard"
	case 0x0025:
		return "American Express"
	case 0x0029:
		return "LINK"
	case 0x0042:
		return "CB"
	case 0x0065:
		return "JCB"
	case 0x0121:
		return "Dankort"
	case 0x0141:
		return "PagoBANCOMAT"
	case 0x0152:
		return "Discover"
	case 0x0228:
		return "mada"
	case 0x0277:
		return "Interac"
	case 0x0333:
		return "UnionPay"
	case 0x0359:
		return "girocard"
	case 0x0371:
		return "Verve"
	case 0x0384:
		return "eftpos"
	case 0x0524:
		return "RuPay"
	case 0x0651:
		return "Elo"
	case 0x0658:
		return "Mir"
	case 0x0672:
		return "TROY"
	}
	return ""
}

// text shows characters, and the codes of those that a screen must not be sent.
func text(v []byte) string {
	var b strings.Builder
	for _, c := range v {
		if c >= 0x20 && c < 0x7F {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "<%02X>", c)
		}
	}
	return b.String()
}
