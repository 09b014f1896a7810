package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
)

func FuzzBlob(f *testing.F) {
	good := blob{[]byte("name"), []byte("public"), []byte("private")}.encode()
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), 0))
	f.Add([]byte(blobMagic + "\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := parseBlob(in)
		if err != nil {
			if !errors.Is(err, trusted.ErrTampered) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(b.encode(), in) {
			t.Errorf("%x is encoded as %x", in, b.encode())
		}
	})
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"Config.TPM":       {},
		"Config.Auth":      {TPM: answers(nil), Auth: secret.CopyBytes(make([]byte, 33))},
		"zero byte":        {TPM: answers(nil), Auth: secret.CopyBytes([]byte{1, 0, 1})},
		"Config.OwnerAuth": {TPM: answers(nil), OwnerAuth: secret.CopyBytes([]byte{0})},
		"Config.Index":     {TPM: answers(nil), Index: 0x81000001},
	} {
		if _, err := Open(t.Context(), t.TempDir(), c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if err := Forget(t.Context(), c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Forget, %s: %v", name, err)
		}
	}
}

// answers is a TPM that gives the same response codes in turn, then success.
func answers(codes []tpm2.TPMRC) *fixed { return &fixed{codes: codes} }

type fixed struct {
	codes []tpm2.TPMRC
	sent  [][]byte
}

func (f *fixed) Send(command []byte) ([]byte, error) {
	f.sent = append(f.sent, bytes.Clone(command))
	var code tpm2.TPMRC
	if len(f.codes) > 0 {
		code, f.codes = f.codes[0], f.codes[1:]
	}
	return response(code), nil
}

func response(code tpm2.TPMRC) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMSTNoSessions))
	b = binary.BigEndian.AppendUint32(b, 10)
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

// TestBusyTPM: what was not executed is sent again as it is, everything else
// once.
func TestBusyTPM(t *testing.T) {
	for code, sent := range map[tpm2.TPMRC]int{
		tpm2.TPMRCRetry: 3, tpm2.TPMRCYielded: 3, tpm2.TPMRCTesting: 3, tpm2.TPMRCNVRate: 3, tpm2.TPMRCLockout: 1, tpm2.TPMRCFailure: 1, 0: 1,
	} {
		f := answers([]tpm2.TPMRC{code, code})
		if _, err := (&chip{t: f}).Send([]byte("command")); err != nil {
			t.Fatal(err)
		}
		if len(f.sent) != sent || string(f.sent[len(f.sent)-1]) != "command" {
			t.Errorf("%v: sent %d times, want %d", code, len(f.sent), sent)
		}
	}
}

// stuck is a TPM that does not answer.
type stuck struct{ asked, release chan struct{} }

func (s stuck) Send([]byte) ([]byte, error) {
	close(s.asked)
	<-s.release
	return response(tpm2.TPMRCFailure), nil
}

func TestStuckTPM(t *testing.T) {
	s := stuck{make(chan struct{}), make(chan struct{})}
	defer close(s.release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-s.asked
		cancel()
	}()
	if _, err := Open(ctx, t.TempDir(), Config{TPM: s}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
}

func TestClassify(t *testing.T) {
	for err, want := range map[error]error{
		tpm2.TPMRCLockout:           ErrLockout,
		tpm2.TPMRCAuthFail | 0x900:  ErrAuth, // session 1
		tpm2.TPMRCBadAuth | 0x900:   ErrAuth,
		tpm2.TPMRCIntegrity | 0x1C0: trusted.ErrTampered, // parameter 1
		tpm2.TPMRCObjectMemory:      ErrTPM,
		io.ErrUnexpectedEOF:         ErrTPM,
	} {
		got := classify(err)
		if !errors.Is(got, want) || !errors.Is(got, err) {
			t.Errorf("%v becomes %v, want %v", err, got, want)
		}
	}
}

// serve listens on a socket and answers each command in parts.
func serve(t *testing.T, network, address string, parts ...[]byte) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 64)
			if _, err := c.Read(buf); err == nil {
				for _, p := range parts {
					if _, err := c.Write(p); err != nil {
						break
					}
				}
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func TestConnect(t *testing.T) {
	whole := response(0)
	long := append(response(0), "more than that"...)
	binary.BigEndian.PutUint32(long[2:], uint32(len(long)))
	for name, c := range map[string]struct {
		parts [][]byte
		want  []byte
	}{
		"whole":            {[][]byte{whole}, whole},
		"in parts":         {[][]byte{long[:3], long[3:12], long[12:]}, long},
		"cut off":          {[][]byte{long[:12]}, nil},
		"header cut off":   {[][]byte{long[:9]}, nil},
		"nothing":          {nil, nil},
		"longer than said": {[][]byte{append(bytes.Clone(whole), 1)}, nil},
		"shorter than any": {[][]byte{append([]byte{0x80, 1, 0, 0, 0, 9}, whole[6:]...)}, nil},
		"longer than any":  {[][]byte{append([]byte{0x80, 1, 0, 1, 0, 1}, whole[6:]...)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, address := range []string{serve(t, "unix", filepath.Join(t.TempDir(), "s"), c.parts...), serve(t, "tcp", "127.0.0.1:0", c.parts...)} {
				conn, err := Connect(address)
				if err != nil {
					t.Fatal(err)
				}
				got, err := conn.Send([]byte("command"))
				if c.want == nil && err == nil || c.want != nil && !bytes.Equal(got, c.want) {
					t.Errorf("%x, %v", got, err)
				}
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, address := range []string{filepath.Join(t.TempDir(), "nothing"), "no port", "127.0.0.1:0"} {
		if _, err := Connect(address); !errors.Is(err, ErrTPM) {
			t.Errorf("%s: %v", address, err)
		}
	}
	device := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(device)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send([]byte("command")); !errors.Is(err, io.EOF) {
		t.Errorf("a device that does not answer: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
