//go:build unix

// Package pgtest runs a PostgreSQL server of its own for a test: a cluster in a
// directory that goes away with it, on a Unix socket, with the programs of the
// machine's installation. It imports no driver. It is imported by tests only,
// those that are built with the tag postgres.
package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Cluster is a running server.
type Cluster struct {
	t        testing.TB
	bin, dir string
	as       *syscall.Credential
	schemas  int
}

// Start makes a cluster and starts its server. It fails the test where there is
// no PostgreSQL. The server syncs what it commits, as a real one does.
func Start(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t, bin: programs(t)}
	// The path of a socket has a limit that a test's own directory may break.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	c.dir = dir
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if os.Getuid() == 0 {
		// The server does not run as root.
		c.as = account(t)
		if err := os.Chown(dir, int(c.as.Uid), int(c.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	c.run("initdb", "-D", c.data(), "-U", "payunit", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	c.start()
	t.Cleanup(func() { c.run("pg_ctl", "-D", c.data(), "-m", "immediate", "-w", "stop") })
	return c
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// programs finds the installation's newest programs, or those on the path.
func programs(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		t.Fatalf("no PostgreSQL: %v", err)
	}
	return filepath.Dir(path)
}

func account(t testing.TB) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (c *Cluster) run(name string, args ...string) {
	c.t.Helper()
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	// Not a pipe: the server that pg_ctl leaves behind would hold it open.
	log, err := os.OpenFile(filepath.Join(c.dir, name+".out"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(log.Name())
		c.t.Errorf("%s: %v\n%s", name, err, said)
	}
}

func (c *Cluster) start() {
	c.t.Helper()
	options := fmt.Sprintf("-k %s -c listen_addresses='' -c max_connections=200", c.dir)
	c.run("pg_ctl", "-D", c.data(), "-o", options, "-l", filepath.Join(c.dir, "data", "log"), "-w", "start")
}

// Crash stops the server as a power loss would, and starts it again: what was
// not committed is gone, and so is every connection.
func (c *Cluster) Crash() {
	c.t.Helper()
	c.run("pg_ctl", "-D", c.data(), "-m", "immediate", "-w", "stop")
	c.start()
}

// SQL runs a statement with the server's own client.
func (c *Cluster) SQL(statement string) {
	c.t.Helper()
	c.run("psql", "-h", c.dir, "-U", "payunit", "-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement)
}

// Schema makes an empty schema and returns its address, as libpq spells it.
func (c *Cluster) Schema() string {
	c.t.Helper()
	c.schemas++
	name := fmt.Sprintf("s%d", c.schemas)
	c.SQL("CREATE SCHEMA " + name)
	return fmt.Sprintf("postgres://payunit@/postgres?host=%s&search_path=%s", c.dir, name)
}
