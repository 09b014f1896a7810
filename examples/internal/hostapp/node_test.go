//go:build node

package hostapp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/examples/internal/hostapp"
	"github.com/payunit/payunit/payment"
)

// TestWebAssembly makes a whole payment with the unit, the app and the software
// card in node, and the bank outside.
func TestWebAssembly(t *testing.T) {
	b, address := newBank(t, "o1")
	code, err := b.Activate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "stdio.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./stdio")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec_node.js"), program)
	// wasm_exec takes no more than 8 KiB of arguments and environment.
	node.Env = []string{"PATH=" + os.Getenv("PATH")}
	var stderr bytes.Buffer
	node.Stderr = &stderr
	in, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	order, err := json.Marshal(hostapp.Order{ID: "o1", Activation: code, Terminal: terminalData(t), PIN: simcard.TestPIN})
	if err != nil {
		t.Fatal(err)
	}
	side := &outside{t: t, address: address, frames: hostapp.NewFrames(in), conns: map[byte]net.Conn{}}
	if err := side.frames.Send(0, order); err != nil {
		t.Fatal(err)
	}
	result := side.run(t.Context(), out)
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := node.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var r payment.Result
	if err := json.Unmarshal(result, &r); err != nil {
		t.Fatalf("%v: %q, %s", err, result, stderr.String())
	}
	if r.Outcome != payment.Approved || r.Minor != 5678 || r.CVM == "" {
		t.Errorf("result %+v", r)
	}
	if a, err := b.Audit(t.Context()); err != nil || a.Pending > 0 {
		t.Error("audit", a, err)
	}
}

// outside dials the bank for each connection that is opened inside.
type outside struct {
	t       *testing.T
	address string
	frames  *hostapp.Frames
	conns   map[byte]net.Conn
	readers sync.WaitGroup
}

// run relays until the program ends its output, and returns frame 0.
func (o *outside) run(ctx context.Context, r io.Reader) (result []byte) {
	defer func() {
		for _, c := range o.conns {
			_ = c.Close()
		}
		o.readers.Wait()
	}()
	for {
		number, b, err := hostapp.Receive(r)
		if err != nil {
			return result
		}
		if number == 0 {
			result = append(result, b...)
			continue
		}
		c, known := o.conns[number]
		switch {
		case len(b) == 0 && known:
			_ = c.Close()
			continue
		case len(b) == 0:
			continue
		case !known:
			var d net.Dialer
			if c, err = d.DialContext(ctx, "tcp", o.address); err != nil {
				o.t.Error(err)
				return result
			}
			o.conns[number] = c
			o.readers.Go(func() { o.read(number, c) })
		}
		if _, err := c.Write(b); err != nil {
			o.t.Log("the bank's side of a connection:", err)
		}
	}
}

func (o *outside) read(number byte, c net.Conn) {
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if n > 0 {
			if o.frames.Send(number, b[:n]) != nil {
				return
			}
		}
		if err != nil {
			_ = o.frames.Send(number, nil)
			return
		}
	}
}
