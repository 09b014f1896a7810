// Package sealed seals a file under a passphrase, in the format of age
// (age-encryption.org/v1): what it writes, the age tool opens too.
package sealed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
)

// ErrPassphrase: the file is sealed and there is no passphrase, or not its.
var ErrPassphrase = errors.New("sealed: the passphrase does not open the file")

const magic = "age-encryption.org/v1"

// Passphrase returns the first line of a file, without its end.
func Passphrase(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	defer clear(b)
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return "", fmt.Errorf("sealed: the first line of %s is empty", file)
	}
	return string(line), nil
}

// work is the logarithm of scrypt's cost, as age has it by default: a second.
const work = 18

// Writer seals what is written to it, to w. Close ends the file and leaves w
// open.
func Writer(w io.Writer, passphrase string) (io.WriteCloser, error) {
	return writer(w, passphrase, work)
}

func writer(w io.Writer, passphrase string, work int) (io.WriteCloser, error) {
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("sealed: %w", err)
	}
	r.SetWorkFactor(work)
	return age.Encrypt(w, r)
}

// Reader returns what is in r: as it is, or opened with the passphrase when it
// is sealed.
func Reader(r io.Reader, passphrase string) (io.Reader, error) {
	b := bufio.NewReader(r)
	head, err := b.Peek(len(magic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(head) != magic {
		return b, nil
	}
	if passphrase == "" {
		return nil, fmt.Errorf("%w: there is none", ErrPassphrase)
	}
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("sealed: %w", err)
	}
	opened, err := age.Decrypt(b, id)
	if err != nil {
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			return nil, ErrPassphrase
		}
		return nil, fmt.Errorf("sealed: %w", err)
	}
	return opened, nil
}
