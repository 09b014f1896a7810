package dukpt

import (
	"bytes"
	"crypto/aes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/mac"
	"github.com/payunit/payunit/pinpad/pinblock"
)

// known is one known answer: facts of X9.24-1:2009, A.4 and of the test vectors
// to X9.24-3:2017.
type known struct {
	BDK    string `json:"bdk"`
	IK     string `json:"ik"`
	IKID   string `json:"ikid"`
	KSN    string `json:"ksn"`
	Txn    string `json:"txn_key"`
	PIN    string `json:"pin"`
	PAN    string `json:"pan"`
	Clear0 string `json:"clear_pinblock_iso0"`
	Block  string `json:"enc_pinblock"`
	Field4 string `json:"pin_field_fmt4"`
	Block4 string `json:"enc_pinblock_fmt4"`

	PIN128  string `json:"pin_key_aes128"`
	PIN256  string `json:"pin_key_aes256"`
	MAC128  string `json:"cmac_aes128_key"`
	MAC256  string `json:"cmac_aes256_key"`
	Data128 string `json:"data_aes128_key"`
	Data256 string `json:"data_aes256_key"`

	MACData string `json:"mac_data_ascii"`
	MACReq  string `json:"mac_request"`
	MACRes  string `json:"mac_response"`
	CBCReq  string `json:"enc_data_request"`
	// CMACs under the MAC keys of TDES DUKPT are no part of X9.24-1; other
	// libraries have them.
	TCMACReq string `json:"cmac_request_nonstandard"`
	TCMACRes string `json:"cmac_response_nonstandard"`

	Text    string `json:"data_ascii"`
	CMACReq string `json:"cmac_request"`
	CMACRes string `json:"cmac_response"`
	HMACReq string `json:"hmac128_request"`
	HMACRes string `json:"hmac128_response"`
	AESReq  string `json:"enc_data_request_cbc_zero_iv"`
	AESRes  string `json:"enc_data_response_cbc_zero_iv"`

	Update     string `json:"update_key"`
	UpdateType string `json:"derived_key_type"`
}

// used counts the answers that were compared, so that one which no code looks at
// is noticed.
type used map[string]int

func (u used) same(t *testing.T, what, want string, got []byte) {
	t.Helper()
	if want == "" {
		return
	}
	u[what]++
	w := unhex(t, want)
	if len(got) < len(w) || len(w) == 0 || !bytes.Equal(got[:len(w)], w) {
		t.Errorf("%s: %X, want %s", what, got, want)
	}
}

func (k known) algorithm(tdes bool) Algorithm {
	if tdes {
		return TDES
	}
	return map[int]Algorithm{32: AES128, 48: AES192, 64: AES256}[max(len(k.BDK), len(k.IK))]
}

func (k known) run(t *testing.T, u used, tdes bool) {
	alg, ksn := k.algorithm(tdes), unhex(t, k.KSN)
	before := bytes.Clone(ksn)
	if k.Update != "" {
		k.update(t, u, alg)
		return
	}
	x := k.transaction(t, u, alg, ksn)
	u.same(t, "transaction key", k.Txn, x.key.Reveal())
	k.pin(t, u, x)
	k.keys(t, u, x)
	k.codes(t, u, x)
	k.data(t, u, x)
	if d := cmp.Diff(ksn, x.KSN()); d != "" {
		t.Error(d)
	}
	if !bytes.Equal(ksn, before) {
		t.Errorf("the caller's KSN became %X", ksn)
	}
}

// transaction derives from the base and from the initial key.
func (k known) transaction(t *testing.T, u used, alg Algorithm, ksn []byte) *HostTransaction {
	t.Helper()
	id, _, err := alg.SplitKSN(ksn)
	if err != nil {
		t.Fatal(err)
	}
	var fromBase, fromInitial *HostTransaction
	if k.BDK != "" {
		h, err := NewHost(alg, secret.NewBytes(unhex(t, k.BDK)))
		if err != nil {
			t.Fatal(err)
		}
		ik, err := h.InitialKey(id)
		if err != nil {
			t.Fatal(err)
		}
		u.same(t, "initial key", k.IK, ik.Reveal())
		if fromBase, err = h.Transaction(ksn); err != nil {
			t.Fatal(err)
		}
		if fromInitial, err = TransactionFrom(alg, ik, ksn); err != nil {
			t.Fatal(err)
		}
	} else if fromInitial, err = TransactionFrom(alg, secret.NewBytes(unhex(t, k.IK)), ksn); err != nil {
		t.Fatal(err)
	}
	if fromBase != nil && !fromBase.key.Equal(fromInitial.key) {
		t.Error("base and initial key lead to different keys")
	}
	return fromInitial
}

func (k known) pin(t *testing.T, u used, x *HostTransaction) {
	if k.PIN == "" {
		return
	}
	card, pin := pan(t, k.PAN), secret.CopyBytes([]byte(k.PIN))
	device := Transaction{x.keys}
	if k.Block != "" {
		got, err := device.EncryptPINAs(KeyTDES2, 0, pin, card, nil)
		if err != nil {
			t.Fatal(err)
		}
		u.same(t, "PIN block of format 0", k.Block, got)
		if again, err := x.DecryptPIN(got, card); err != nil || !again.Equal(pin) {
			t.Errorf("PIN block: %v", err)
		}
	}
	if k.Clear0 != "" {
		got, err := pinblock.Encode0(pin, card)
		if err != nil {
			t.Fatal(err)
		}
		u.same(t, "clear PIN block", k.Clear0, got.Reveal())
	}
	if k.Block4 != "" {
		// The published blocks are under AES-128 working keys.
		got, err := device.EncryptPINAs(KeyAES128, 4, pin, card, bytes.NewReader(unhex(t, k.Field4)[8:]))
		if err != nil {
			t.Fatal(err)
		}
		u.same(t, "PIN block of format 4", k.Block4, got)
		if again, err := x.DecryptPINAs(KeyAES128, 4, got, card); err != nil || !again.Equal(pin) {
			t.Errorf("PIN block: %v", err)
		}
	}
}

func (k known) keys(t *testing.T, u used, x *HostTransaction) {
	for _, w := range []struct {
		what, want string
		usage      Usage
		kt         KeyType
	}{
		{"PIN key, AES-128", k.PIN128, PINEncryption, KeyAES128}, {"PIN key, AES-256", k.PIN256, PINEncryption, KeyAES256},
		{"MAC key, AES-128", k.MAC128, MACGeneration, KeyAES128}, {"MAC key, AES-256", k.MAC256, MACGeneration, KeyAES256},
		{"data key, AES-128", k.Data128, DataEncrypt, KeyAES128}, {"data key, AES-256", k.Data256, DataEncrypt, KeyAES256},
	} {
		if w.want == "" {
			continue
		}
		got, err := x.WorkingKey(w.usage, w.kt)
		if err != nil {
			t.Fatal(err)
		}
		u.same(t, w.what, w.want, got.Reveal())
	}
}

func (k known) codes(t *testing.T, u used, x *HostTransaction) {
	device := Transaction{x.keys}
	for usage, want := range map[Usage]string{MACGeneration: k.TCMACReq, MACVerification: k.TCMACRes} {
		if want == "" {
			continue
		}
		key, err := x.WorkingKey(usage, KeyTDES2)
		if err != nil {
			t.Fatal(err)
		}
		b, err := mac.TDES(key)
		if err != nil {
			t.Fatal(err)
		}
		u.same(t, "CMAC under a TDES key, "+usage.String(), want, mac.CMAC(b, []byte(k.MACData)))
	}
	for _, w := range []struct {
		what, want, data string
		usage            Usage
		kt               KeyType
		short            func([]byte) ([]byte, error)
	}{
		{"X9.19 of a request", k.MACReq, k.MACData, MACGeneration, KeyTDES2, device.MACRequest},
		{"X9.19 of a response", k.MACRes, k.MACData, MACVerification, KeyTDES2, x.MACResponse},
		{"CMAC of a request", k.CMACReq, k.Text, MACGeneration, KeyAES128, device.MACRequest},
		{"CMAC of a response", k.CMACRes, k.Text, MACVerification, KeyAES128, x.MACResponse},
		{"HMAC of a request", k.HMACReq, k.Text, MACGeneration, KeyHMAC128, nil},
		{"HMAC of a response", k.HMACRes, k.Text, MACVerification, KeyHMAC128, nil},
	} {
		if w.want == "" {
			continue
		}
		got, err := x.MAC(w.usage, w.kt, []byte(w.data))
		if err != nil {
			t.Fatal(err)
		}
		u.same(t, w.what, w.want, got)
		if w.short == nil {
			continue
		}
		if short, err := w.short([]byte(w.data)); err != nil || !bytes.Equal(short, got[:8]) {
			t.Errorf("%s: %X, %v", w.what, short, err)
		}
	}
}

func (k known) data(t *testing.T, u used, x *HostTransaction) {
	device := Transaction{x.keys}
	for _, w := range []struct {
		what, want, data string
		encrypt, decrypt func(iv, data []byte) ([]byte, error)
	}{
		{"TDES data of a request", k.CBCReq, k.MACData, device.EncryptRequest, x.DecryptRequest},
		{"AES data of a request", k.AESReq, k.Text, device.EncryptRequest, x.DecryptRequest},
		{"AES data of a response", k.AESRes, k.Text, x.EncryptResponse, device.DecryptResponse},
	} {
		if w.want == "" {
			continue
		}
		size := aes.BlockSize
		if x.alg == TDES {
			size = 8
		}
		plain := append([]byte(w.data), make([]byte, (size-len(w.data)%size)%size)...)
		got, err := w.encrypt(nil, plain)
		if err != nil {
			t.Fatal(err)
		}
		u.same(t, w.what, w.want, got)
		if again, err := w.decrypt(make([]byte, size), got); err != nil || !bytes.Equal(again, plain) {
			t.Errorf("%s deciphers to %X: %v", w.what, again, err)
		}
	}
}

func (k known) update(t *testing.T, u used, alg Algorithm) {
	kt, ok := map[string]KeyType{"TDES2": KeyTDES2, "TDES3": KeyTDES3, "AES128": KeyAES128, "AES192": KeyAES192, "AES256": KeyAES256}[k.UpdateType]
	if !ok {
		t.Fatalf("key type %s", k.UpdateType)
	}
	got, err := UpdateKeyFrom(alg, secret.NewBytes(unhex(t, k.IK)), unhex(t, k.IKID), kt)
	if err != nil {
		t.Fatal(err)
	}
	u.same(t, "update key of "+k.UpdateType, k.Update, got.Reveal())
}

const (
	bdkTDES = "0123456789ABCDEFFEDCBA9876543210"
	bdk128  = "FEDCBA9876543210F1F1F1F1F1F1F1F1"
	bdk256  = "FEDCBA9876543210F1F1F1F1F1F1F1F1FEDCBA9876543210F1F1F1F1F1F1F1F1"
	ik128   = "1273671EA26AC29AFA4D1084127652A1"
	ik256   = "CE9CE0C101D1138F97FB6CAD4DF045A7083D4EAE2D35A31789D01CCF0949550F"
)

func TestKnownAnswers(t *testing.T) {
	u := used{}
	for _, k := range []known{
		{BDK: bdkTDES, IK: "6AC292FAA1315B4D858AB3A3D7D5933A", KSN: "FFFF9876543210E00001", Txn: "042666B49184CFA368DE9628D0397BC9",
			PIN: "1234", PAN: "4012345678909", Clear0: "041274EDCBA9876F", Block: "1B9C1845EB993A7A", MACData: "4012345678909D987", MACReq: "9CCC7817",
			MACRes: "20364223", CBCReq: "FC0D53B7EA1FDA9EE68AAF2E70D9B9506229BE2AA993F04F"},
		{BDK: bdkTDES, KSN: "FFFF9876543210EFF801", Txn: "5BEE92627E97825C911BF619DF72CA3B",
			PIN: "1234", PAN: "4012345678909", Block: "3A86BF003F835C9D", MACData: "4012345678909D987", MACReq: "97623632", MACRes: "69D1EF47",
			CBCReq: "55374FDBB3B2B4ED0751243FC0C54DB1F3F3CF76F0C0B3C4"},
	} {
		t.Run("TDES "+k.KSN, func(t *testing.T) { k.run(t, u, true) })
	}
	for i, k := range []known{
		{BDK: bdk128, IK: ik128, KSN: "123456789012345600000001", Txn: "4F21B565BAD9835E112B6465635EAE44", PIN: "1234", PAN: "4111111111111111",
			Field4: "441234AAAAAAAAAA2F69ADDE2E9E7ACE", Block4: "A912150391AB65A67E52883D81CE2D15", PIN128: "AF8CB133A78F8DC2D1359F18527593FB",
			MAC128: "A2DC23DE6FDE0824A2BC321E08E4B8B7", Data128: "A35C412EFD41FDB98B69797C02DCD08F"},
		{BDK: bdk128, KSN: "123456789012345600000002", Txn: "2F34D68DE10F68D38091A73B9E7C437C", Text: "4012345678909D987",
			CMACReq: "4D104704C53491A60944193DCAF6B411", CMACRes: "008CEAAE2B913BEEE76209EE9406DAC1",
			HMACReq: "A884FD458692820E8458AD9FF4FCE58D6B809AB3AE617AE1FC6B70E9E9C12B08", HMACRes: "32C4EEBF5FB820C4E90A580C0769E5BF8188007191AFAEF53F7C585B03285314",
			AESReq: "A17A9658EE0F451D6CA11B65B592EF9C5F90BB175D926F1457B63B3273042476", AESRes: "699ED7BC85994F1C11DE1C40177A629530E85262EA0B02FB80771255DC1F65B6"},
		{BDK: bdk128, KSN: "1234567890123456FFFE8000", Txn: "0387625F189B58AE03EF0E8CCA41105E"},
		{BDK: bdk256, IK: ik256, KSN: "123456789012345600000003", Txn: "8EEEF7C464AE415BB1D73FAED21993CD669F7999092A579EC6DD3CC680C65171",
			PIN128: "C2CBD3D766B16F9F82F4EE3F74478918", PIN256: "96A1AB5D37CB7CF81DDE64F66C46E0389B833E7AD5F4E44C791F04FAFDA6DA0E",
			MAC128: "5A742A4A0403B3D7BB30842DAFBB5972", MAC256: "35BD00A46F2A2BD127F565FBF2974B735AE3BB70242C0A415857CF69B2C2691A",
			Data128: "706E4E629E466BED956548E7B0D90C3D", Data256: "8E70D5DF53F48ED2F2A0B54FC4F45C844579BE96F6F161222CDD50193E2F737F"},
		{BDK: bdk256, KSN: "1234567890123456FFFF0000", Txn: "6D6DB7AAAE8B3EA90E57A39E4BBA71E173B21B446B30A78D64BFC6A8806C55EE"},
		{IK: ik128, IKID: "1234567890123456", KSN: "1234567890123456FFFFFFFF", UpdateType: "AES128", Update: "9A9770AEE1ACD1B13473D0463A1883B9"},
		{IK: ik256, IKID: "1234567890123456", KSN: "1234567890123456FFFFFFFF", UpdateType: "AES128", Update: "90E54E4A70160C7E085C09D2B241D343"},
		{IK: ik128, IKID: "1234567890123456", KSN: "1234567890123456FFFFFFFF", UpdateType: "TDES2", Update: "4744A5ECBC62B5C4BB76FBEAE1E244A3"},
		{IK: ik128, IKID: "1234567890123456", KSN: "1234567890123456FFFFFFFF", UpdateType: "TDES3", Update: "AF82BE8533CFCA526DA71708667AD0BBC7A7517504C78C8A"},
	} {
		t.Run(fmt.Sprint("AES ", i, " ", k.KSN), func(t *testing.T) { k.run(t, u, false) })
	}
	if len(u) != 23 {
		t.Errorf("%d kinds of answers were compared: %v", len(u), u)
	}
}

// shared reads a file of known answers that lies beside the repository.
func shared(t *testing.T, name string) []known {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "..", "shared", "vectors", name))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("known answers are missing: %v", err)
		}
		t.Skipf("known answers beside the repository are missing: %v", err)
	}
	var f struct{ Vectors []known }
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f.Vectors
}

func TestSharedKnownAnswers(t *testing.T) {
	for name, tdes := range map[string]bool{"dukpt_tdes.json": true, "dukpt_aes.json": false} {
		u := used{}
		for i, k := range shared(t, name) {
			t.Run(fmt.Sprint(name, " ", i+1, " ", k.KSN), func(t *testing.T) { k.run(t, u, tdes) })
		}
		if len(u) == 0 {
			t.Errorf("%s: nothing was compared", name)
		}
	}
}
