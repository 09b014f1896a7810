package trace

import (
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// extended does extended data authentication again (EMV 4.4 Book 2, 12), as far
// as each step's key is there.
func (r *odaRun) extended(rid oda.RID, keys oda.Keys) {
	index := r.data[tags.CAPublicKeyIndex]
	if len(index) != 1 {
		r.skip(oda.StepCA, "the card names no CA key (8F)")
		return
	}
	cert := r.data[tags.IssuerCertificate]
	issuer, err := oda.RecoverECIssuerFrom(keys, rid, index[0], cert, r.pan, r.on)
	if errors.Is(err, oda.ErrNoCAKey) {
		r.skip(oda.StepCA, fmt.Sprintf("no elliptic-curve key of %X with index %02X was given", rid[:], index[0]))
		return
	}
	if r.masked(oda.StepIssuer) {
		return
	}
	r.details = issuerFields(cert)
	if !r.add(oda.StepIssuer, err, fmt.Sprintf("signed by CA key %X index %02X; issuer key for %s, serial %X, valid to %s",
		rid[:], index[0], issuer.Key.Suite, issuer.Serial[:], issuer.Expiry.Format("2006-01-02"))) {
		return
	}
	records, ok := r.signedRecords()
	if !ok {
		return
	}
	certified, err := oda.CertifiedCardData(records, [2]byte(r.aip), r.aid, r.data[tags.PDOL])
	r.add(oda.StepRecords, err, fmt.Sprintf("%d records, %d bytes with AIP, AID and PDOL", len(records), len(certified)))
	cert, ok = r.data[tags.ICCCertificate]
	if err != nil || !ok {
		return
	}
	r.details = iccFields(cert)
	icc, err := oda.RecoverECICC(issuer.Key, cert, certified, r.on)
	if !r.add(oda.StepICC, err, fmt.Sprintf("card key for %s, serial %X, valid to %s, the card's data as read",
		icc.Key.Suite, icc.Serial[:], icc.Expiry.Format("2006-01-02 15:04"))) {
		return
	}
	for i, m := range r.gac {
		template, ok, _ := tlv.Child(m.data, tags.ResponseFormat2)
		if !ok || !m.sw.OK() || i > 1 {
			continue
		}
		sig, rest := withoutSignature(template)
		if sig == nil {
			continue
		}
		lists := [][]byte{r.pdol.data, r.cdol[0].data}
		if i == 1 {
			lists = [][]byte{r.cdol[1].data}
		}
		data := oda.XDAData(rest, lists...)
		r.details = []Detail{
			{What: "format", Value: fmt.Sprintf("%02X", sig[:min(1, len(sig))])},
			{What: "signature over", Value: fmt.Sprintf("%d bytes of format, list and response data", len(data))},
		}
		cid, _ := tlv.Find(rest, tags.CID)
		kind := "a cryptogram"
		if len(cid) == 1 {
			kind = tags.CIDValue(cid[0]).Cryptogram().String()
		}
		r.add(oda.StepDynamic, oda.VerifyXDA(icc.Key, sig, data), "XDA, "+kind)
	}
}

// field is a part of a certificate with its length.
type field struct {
	name string
	n    int
}

// issuerFields says what an issuer certificate holds (Book 2, table 35).
func issuerFields(cert []byte) []Detail {
	return fields(cert, []field{{"format", 1}, {"encoding", 1}, {"issuer identifier", 5}, {"key's suite", 1}, {"valid to", 4},
		{"serial number", 3}, {"RID", 5}, {"CA key index", 1}})
}

// iccFields says what a card certificate holds (Book 2, table 36), but for the
// hash over the card's data, with which masked digits could be tried out.
func iccFields(cert []byte) []Detail {
	return fields(cert, []field{{"format", 1}, {"encoding", 1}, {"key's suite", 1}, {"valid to", 6}, {"serial number", 6},
		{"hash encoding", 1}, {"hash algorithm", 1}})
}

func fields(b []byte, list []field) []Detail {
	var out []Detail
	for _, f := range list {
		if len(b) < f.n {
			return append(out, Detail{What: f.name, Value: upper(b), Wrong: "cut off"})
		}
		value := upper(b[:f.n])
		if f.name == "key's suite" {
			if s := oda.Suite(b[0]).String(); s != "" {
				value += ", " + s
			}
		}
		out = append(out, Detail{What: f.name, Value: value})
		b = b[f.n:]
	}
	return append(out, Detail{What: "key and signature", Value: count(len(b), "byte")})
}
