//go:build !unix

package swtpmtest

import (
	"errors"
	"net"
	"os"
)

func pair() (net.Conn, *os.File, error) { return nil, nil, errors.ErrUnsupported }
