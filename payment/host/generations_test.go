package host

import (
	"errors"
	"slices"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// nextKeys are base keys that follow testKeys.
func nextKeys() Keys {
	old := testKeys()
	return Keys{
		PIN: Base{[4]byte{5}, key(0x21, 16)}, MAC: Base{[4]byte{6}, key(0x22, 16)},
		PINTDES: Base{[4]byte{7}, secret.CopyBytes([]byte("zyxwvutsrqponmlk"))}, MACTDES: Base{[4]byte{8}, secret.CopyBytes([]byte("klmnopqrstuvwxyz"))},
		Earlier: []Generation{{old.PIN, old.MAC, old.PINTDES, old.MACTDES}},
	}
}

// with makes the rig's server anew, with other base keys.
func (r *rig) with(k Keys) {
	r.t.Helper()
	c := r.s.c
	c.Keys = k
	s, err := New(c)
	if err != nil {
		r.t.Fatal(err)
	}
	r.s = s
}

func (r *rig) inUse(want ...KeyUse) {
	r.t.Helper()
	got, err := KeysInUse(r.t.Context(), r.l)
	if err != nil || !slices.Equal(got, want) {
		r.t.Errorf("in use %v, %v; want %v", got, err, want)
	}
}

// TestGenerations: new terminals get the newest keys, old ones go on with theirs
// until they change, and a generation that terminals have can't be taken away.
func TestGenerations(t *testing.T) {
	r := newRig(t)
	old, oldTDES := r.enrol(1, 4), r.enrol(2, 0)
	oldTDES.card = old.card
	for n := range 8 {
		r.order([]string{"o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7"}[n], 100)
	}
	old.want("before", old.sale("o0", 100, testPIN), codeApproved)
	r.with(nextKeys())
	if err := r.s.CheckKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh := r.enrol(3, 4)
	fresh.card = old.card
	r.inUse(KeyUse{"01000000", 1}, KeyUse{"03000000", 1}, KeyUse{"05000000", 1})
	old.want("old keys", old.sale("o1", 100, testPIN), codeApproved)
	oldTDES.want("old TDES keys", oldTDES.sale("o2", 100, testPIN), codeApproved)
	fresh.want("new keys", fresh.sale("o3", 100, testPIN), codeApproved)
	for _, u := range []*unit{old, oldTDES, fresh} {
		var v ledger.Terminal
		err := r.l.View(t.Context(), func(tx ledger.Tx) (err error) { v, err = tx.Terminal(u.grant.TerminalID); return err })
		if err != nil || r.s.worn(v) != (u != fresh) {
			t.Errorf("%s is to change its keys: %v, %v", v.ID, r.s.worn(v), err)
		}
	}
	// Without the earlier keys: refused to serve, and refused by what serves.
	alone := nextKeys()
	alone.Earlier = nil
	r.with(alone)
	var missing *KeysInUseError
	err := r.s.CheckKeys(t.Context())
	if !errors.As(err, &missing) || !errors.Is(err, ErrKeysInUse) || !slices.Equal(missing.Uses, []KeyUse{{"01000000", 1}, {"03000000", 1}}) {
		t.Errorf("check without the earlier keys: %v", err)
	}
	if _, err := old.at(r).send(old.sale("o4", 100, testPIN)); code(err) != trade.CodeRefused {
		t.Errorf("a terminal without keys: %v", err)
	}
	r.with(nextKeys())
	// One changes its keys, the other goes out of service: the earlier ones are
	// not needed any more.
	changed := old.at(r).changed()
	changed.want("changed keys", changed.sale("o5", 100, testPIN), codeApproved)
	if _, err := old.at(r).send(old.sale("o6", 100, testPIN)); code(err) != trade.CodeRefused {
		t.Errorf("keys that were changed: %v", err)
	}
	r.inUse(KeyUse{"03000000", 1}, KeyUse{"05000000", 2})
	if err := r.reg.Revoke(t.Context(), oldTDES.grant.TerminalID); err != nil {
		t.Fatal(err)
	}
	r.inUse(KeyUse{"05000000", 2})
	r.with(alone)
	if err := r.s.CheckKeys(t.Context()); err != nil {
		t.Errorf("check when nobody has them: %v", err)
	}
	changed.at(r).want("afterwards", changed.sale("o7", 100, testPIN), codeApproved)
}

// TestGenerationsOfOld: terminals from before generations had names are of the
// oldest one.
func TestGenerationsOfOld(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	err := r.l.Update(t.Context(), func(tx ledger.Tx) error {
		v, err := tx.Terminal(u.grant.TerminalID)
		if err != nil {
			return err
		}
		v.Generation = ""
		return tx.PutTerminal(v)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.order("o0", 100)
	r.with(nextKeys())
	u.at(r).want("before it has a name", u.sale("o0", 100, testPIN), codeApproved)
	r.inUse(KeyUse{"", 1})
	if err := r.s.CheckKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.inUse(KeyUse{"01000000", 1})
}

func TestGenerationsConfig(t *testing.T) {
	r := newRig(t)
	for name, alter := range map[string]func(*Keys){
		"without a MAC key": func(k *Keys) { k.Earlier[0].MAC = Base{} },
		"half of TDES":      func(k *Keys) { k.Earlier[0].PINTDES = Base{} },
		"a name twice":      func(k *Keys) { k.Earlier[0].PIN.ID = k.PIN.ID },
		"a key twice":       func(k *Keys) { k.Earlier[0].MACTDES.Key = k.PIN.Key },
		"of another length": func(k *Keys) { k.Earlier[0].PIN.Key = key(1, 15) },
	} {
		k := nextKeys()
		alter(&k)
		c := r.s.c
		c.Keys = k
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// changed is the unit with new keys.
func (u *unit) changed() *unit {
	u.r.t.Helper()
	e, err := trade.Encode(trade.KindRotate, 1, struct{}{})
	if err != nil {
		u.r.t.Fatal(err)
	}
	out, err := (&handler{u.r.s, u.newChannel()}).Handle(u.r.t.Context(), &conn{id: u.identity}, e)
	if err != nil {
		u.r.t.Fatal(err)
	}
	var g trade.Grant
	if err := out.Decode(&g); err != nil {
		u.r.t.Fatal(err)
	}
	c := *u
	c.channel = nil
	c.take(g, 4)
	return &c
}
