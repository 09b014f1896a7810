package noise

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fixedKey is a StaticKey in the open, for tests.
type fixedKey struct{ k *ecdh.PrivateKey }

func (f fixedKey) PublicKey(context.Context) ([]byte, error) { return f.k.PublicKey().Bytes(), nil }

func (f fixedKey) ECDH(_ context.Context, peer []byte) ([]byte, error) {
	p, err := f.k.Curve().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return f.k.ECDH(p)
}

type vector struct {
	ProtocolName     string     `json:"protocol_name"`
	InitPrologue     hexBytes   `json:"init_prologue"`
	RespPrologue     hexBytes   `json:"resp_prologue"`
	InitPSKs         []hexBytes `json:"init_psks"`
	RespPSKs         []hexBytes `json:"resp_psks"`
	InitStatic       hexBytes   `json:"init_static"`
	RespStatic       hexBytes   `json:"resp_static"`
	InitEphemeral    hexBytes   `json:"init_ephemeral"`
	RespEphemeral    hexBytes   `json:"resp_ephemeral"`
	InitRemoteStatic hexBytes   `json:"init_remote_static"`
	RespRemoteStatic hexBytes   `json:"resp_remote_static"`
	HandshakeHash    hexBytes   `json:"handshake_hash"`
	Messages         []struct {
		Payload    hexBytes `json:"payload"`
		Ciphertext hexBytes `json:"ciphertext"`
	} `json:"messages"`
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) error {
	out, err := hex.DecodeString(string(b))
	*h = out
	return err
}

func private(t *testing.T, b []byte) *ecdh.PrivateKey {
	t.Helper()
	if len(b) == 0 {
		return nil
	}
	k, err := ecdh.X25519().NewPrivateKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (v vector) side(t *testing.T, initiator bool) *handshakeState {
	t.Helper()
	p, err := parseName(v.ProtocolName)
	if err != nil {
		t.Fatal(err)
	}
	c := handshakeConfig{protocol: p, initiator: initiator, prologue: v.RespPrologue, remote: v.RespRemoteStatic, ephemeral: private(t, v.RespEphemeral)}
	static, psks := v.RespStatic, v.RespPSKs
	if initiator {
		c.prologue, c.remote, c.ephemeral = v.InitPrologue, v.InitRemoteStatic, private(t, v.InitEphemeral)
		static, psks = v.InitStatic, v.InitPSKs
	}
	if k := private(t, static); k != nil {
		c.static = fixedKey{k}
	}
	for _, p := range psks {
		c.psks = append(c.psks, p)
	}
	h, err := newHandshake(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// run plays a vector's messages and compares every byte.
func (v vector) run(t *testing.T) {
	sides := [2]*handshakeState{v.side(t, true), v.side(t, false)}
	var send, receive [2]cipherState
	oneWay := len(sides[0].c.protocol.pattern.messages) == 1
	for i, m := range v.Messages {
		from, to := i%2, (i+1)%2
		if oneWay {
			from, to = 0, 1
		}
		if !sides[from].done() {
			wire, err := sides[from].write(t.Context(), nil, m.Payload)
			if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			if d := cmp.Diff([]byte(m.Ciphertext), wire); d != "" {
				t.Fatalf("message %d: %s", i, d)
			}
			got, err := sides[to].read(t.Context(), wire)
			if err != nil || !bytes.Equal(got, m.Payload) {
				t.Fatalf("message %d: payload %x, %v", i, got, err)
			}
			if !sides[0].done() {
				continue
			}
			for k, s := range sides {
				if len(v.HandshakeHash) > 0 && !bytes.Equal(v.HandshakeHash, s.y.h[:]) {
					t.Errorf("side %d: handshake hash %x", k, s.y.h)
				}
				if send[k], receive[k], _, err = s.split(); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		wire, err := send[from].encrypt(nil, nil, m.Payload)
		if err != nil || !bytes.Equal(wire, m.Ciphertext) {
			t.Fatalf("transport %d: %x, %v", i, wire, err)
		}
		got, err := receive[to].decrypt(nil, nil, wire)
		if err != nil || !bytes.Equal(got, m.Payload) {
			t.Fatalf("transport %d: payload %x, %v", i, got, err)
		}
	}
}

// sharedVectors reads a file of known answers that lies beside the repository.
func sharedVectors(t *testing.T, name string, into any) {
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
	path := filepath.Join(dir, "..", "shared", "vectors", name)
	b, err := os.ReadFile(path)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("known answers are missing: %v", err)
		}
		t.Skipf("known answers beside the repository are missing: %v", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// ownVectors reads a file of known answers of the project's own, which names
// its sources.
func ownVectors(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type vectorFile struct {
	Vectors []vector `json:"vectors"`
}

func (f vectorFile) run(t *testing.T, least int) {
	if len(f.Vectors) < least {
		t.Fatalf("%d vectors, want at least %d", len(f.Vectors), least)
	}
	for _, v := range f.Vectors {
		t.Run(v.ProtocolName, v.run)
	}
}

func TestVectors(t *testing.T) {
	var f vectorFile
	ownVectors(t, "noise.json", &f)
	f.run(t, 40)
}

func TestSharedVectors(t *testing.T) {
	var f vectorFile
	sharedVectors(t, "noise.json", &f)
	f.run(t, 400)
}

type hybridFile struct {
	Vectors []hybridVector `json:"vectors"`
}

type hybridVector struct {
	ProtocolName  string   `json:"protocol_name"`
	CS1           hexBytes `json:"cs1_k"`
	CS2           hexBytes `json:"cs2_k"`
	HandshakeHash hexBytes `json:"handshake_hash"`
	InitEphemeral hexBytes `json:"init_ephemeral"`
	RespEphemeral hexBytes `json:"resp_ephemeral"`
	InitStatic    hexBytes `json:"init_static"`
	RespStatic    hexBytes `json:"resp_static"`
	Seed          hexBytes `json:"init_kem_seed_d_z"`
	M             hexBytes `json:"resp_encap_m"`
	A             hexBytes `json:"msg_a"`
	B             hexBytes `json:"msg_b"`
	C             hexBytes `json:"msg_c"`
}

func TestHybridVector(t *testing.T) {
	var f hybridFile
	ownVectors(t, "noise_hfs.json", &f)
	f.run(t)
}

func TestSharedHybridVector(t *testing.T) {
	var f hybridFile
	sharedVectors(t, "noise_hfs.json", &f)
	f.run(t)
}

func (f hybridFile) run(t *testing.T) {
	if len(f.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range f.Vectors {
		p, err := parseName(v.ProtocolName)
		if err != nil {
			t.Fatal(err)
		}
		i, err := newHandshake(t.Context(), handshakeConfig{protocol: p, initiator: true,
			static: fixedKey{private(t, v.InitStatic)}, ephemeral: private(t, v.InitEphemeral), rand: bytes.NewReader(v.Seed)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := newHandshake(t.Context(), handshakeConfig{protocol: p,
			static: fixedKey{private(t, v.RespStatic)}, ephemeral: private(t, v.RespEphemeral),
			encap: func(ek *mlkem.EncapsulationKey768) ([]byte, []byte, error) { return mlkemtest.Encapsulate768(ek, v.M) }})
		if err != nil {
			t.Fatal(err)
		}
		for n, want := range []hexBytes{v.A, v.B, v.C} {
			from, to := i, r
			if n == 1 {
				from, to = r, i
			}
			got, err := from.write(t.Context(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("message %d differs", n+1)
			}
			if _, err := to.read(t.Context(), got); err != nil {
				t.Fatalf("message %d: %v", n+1, err)
			}
		}
		if !bytes.Equal(i.y.h[:], v.HandshakeHash) {
			t.Error("handshake hash differs")
		}
		send, receive, _, err := i.split()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			have cipherState
			want []byte
		}{{send, v.CS1}, {receive, v.CS2}} {
			var want cipherState
			if err := want.set(p.suite, x.want); err != nil {
				t.Fatal(err)
			}
			a, err := x.have.encrypt(nil, nil, []byte("one"))
			b, berr := want.encrypt(nil, nil, []byte("one"))
			if err != nil || berr != nil || !bytes.Equal(a, b) {
				t.Error("transport keys differ")
			}
		}
	}
}
